//! A bad record is found, the policy is applied to it alone, and nothing of a failed call happens.
use weir_core::RecordView;

use super::*;
use crate::job::JobOptions;
use crate::metrics::JobMetrics;

/// Upper-cases; fails where a value starts with `bad`, naming the record only if `names_it`.
struct Fussy {
    names_it: bool,
    calls: usize,
}

impl Operator for Fussy {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        self.calls += 1;
        let mut writer = FrameWriter::new(Vec::new());
        for (index, record) in call.frame.records().enumerate() {
            assert_eq!(record.source as usize, index, "an input record's source is its own index");
            let value = record.value.unwrap_or_default();
            if value.starts_with(b"bad") {
                let (index, message) = (self.names_it.then_some(index as u32), "bad value".to_owned());
                return Err(CallError::Failed { index, code: 1, message });
            }
            let upper = value.to_ascii_uppercase();
            writer.push(RecordView { value: Some(&upper), ..record });
        }
        effects.outputs.push((0, writer.finish()));
        Ok(())
    }
}

/// Hands over one frame, whatever comes in.
struct Fixed(u32, Frame);

impl Operator for Fixed {
    fn process(&mut self, _: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        effects.outputs.push((self.0, self.1.clone()));
        Ok(())
    }
}

fn frame(values: &[&str], source: Option<u32>) -> Frame {
    let mut writer = FrameWriter::new(Vec::new());
    for (index, value) in values.iter().enumerate() {
        let source = source.unwrap_or(index as u32);
        writer.push(RecordView { timestamp_ms: 1, source, key: None, value: Some(value.as_bytes()), headers: &[] });
    }
    writer.finish()
}

fn batch(values: &[&str]) -> Batch {
    let origins = (0..values.len()).map(|i| Origin { split: 0, offset: 100 + i as i64 }).collect();
    Batch { frame: frame(values, None), origins }
}

fn runner(operator: impl Operator + 'static, on_error: OnError) -> Runner {
    let options = JobOptions {
        name: weir_core::JobName::new("t").unwrap(),
        shard: weir_core::ShardId(0),
        delivery: weir_core::Delivery::None,
        marker_place: crate::MarkerPlace::Nowhere,
        epoch_interval: std::time::Duration::from_millis(100),
        stall_after: std::time::Duration::from_secs(1),
        has_patient_sink: false,
        state_memory_bytes: 1 << 20,
        transaction_timeout: std::time::Duration::from_secs(15),
        restart: weir_core::Restart::Never,
        bounds: crate::Bounds::default(),
    };
    let metrics = JobMetrics::new(&options).operator("o");
    let (key, tables) = (KeySpec::Key, Vec::new());
    let options =
        RunnerOptions { index: 0, name: "o".into(), key, tables, outputs: vec![None], on_error, origin: false };
    Runner::new(options, Box::new(operator), None, metrics, Arc::default())
}

/// (offset, value) of everything emitted.
fn run(runner: &mut Runner, values: &[&str]) -> (Vec<(i64, String)>, Result<(), Error>) {
    let mut out = Vec::new();
    let outcome = runner.run(&batch(values), &mut |output, batch| {
        assert_eq!(output, 0);
        for (record, origin) in batch.frame.records().zip(&batch.origins) {
            out.push((origin.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        }
        Ok(())
    });
    (out, outcome)
}

#[test]
fn skip_drops_only_the_bad_records_and_keeps_the_order() {
    for names_it in [true, false] {
        let mut runner = runner(Fussy { names_it, calls: 0 }, OnError::Skip);
        let (out, outcome) = run(&mut runner, &["a", "bad1", "b", "c", "bad2", "d"]);
        outcome.unwrap();
        let wanted = [(100, "A"), (102, "B"), (103, "C"), (105, "D")].map(|(o, v)| (o, v.to_owned()));
        assert_eq!(out, wanted, "names_it: {names_it}");
    }
}

#[test]
fn fail_names_the_record_and_what_came_before_it_is_out() {
    for names_it in [true, false] {
        let (out, outcome) = run(&mut runner(Fussy { names_it, calls: 0 }, OnError::Fail), &["a", "b", "bad", "c"]);
        assert_eq!(out, [(100, "A".to_owned()), (101, "B".to_owned())]);
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("offset 102"), "{error}");
        assert_eq!(error.fault(), weir_core::Fault::User);
    }
}

#[test]
fn what_a_plugin_hands_over_is_checked() {
    let cases = [
        (Fixed(1, frame(&["x"], None)), "output 1"),
        (Fixed(0, frame(&["x"], Some(5))), "source 5"),
        (Fixed(0, frame(&["x"], Some(NO_SOURCE))), "without source"),
    ];
    for (operator, wanted) in cases {
        let (out, outcome) = run(&mut runner(operator, OnError::Fail), &["a"]);
        let error = crate::error::chain(&outcome.unwrap_err());
        assert!(error.contains(wanted) && out.is_empty(), "{error} should say {wanted}");
    }
}
