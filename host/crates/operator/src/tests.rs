//! A bad record is found, the policy is applied to it alone, and nothing of a failed call happens.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_core::frame::NO_SOURCE;
use weir_core::ports::{RecordForm, RecordLimit};
use weir_core::{Frame, FrameWriter, RecordView};

use super::*;
use crate::testing::{Alone, options};

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
    let origins = (0..values.len()).map(|i| Origin::new(0, 100 + i as i64)).collect();
    Batch { frame: frame(values, None), origins }
}

fn runner(operator: impl Operator + 'static, on_error: OnError) -> Runner {
    Runner::new(options(Terms::default(), on_error), Box::new(operator), None, Box::new(Alone(Arc::default())))
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// (offset, value) of everything emitted.
fn run(runner: &mut Runner, values: &[&str]) -> (Vec<(i64, String)>, Result<(), NodeError>) {
    let (mut emitted, mut out) = (Vec::new(), Vec::new());
    let outcome = runner.run(0, &batch(values), &mut emitted);
    for (output, batch) in emitted {
        assert_eq!(output, 0);
        for (record, origin) in batch.frame.records().zip(&batch.origins) {
            out.push((origin.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        }
    }
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
        let error = chain(&outcome.unwrap_err());
        assert!(error.contains(wanted) && out.is_empty(), "{error} should say {wanted}");
    }
}

/// How a plugin says that a record is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// It fails and names the record.
    Which,
    /// It fails.
    Nothing,
    /// It undoes the record by itself and goes on.
    Rejected,
    /// It rejects the record and emits it all the same.
    Both,
}

/// Passes on what does not start with `bad`, and counts its calls and the records in them.
struct Picky {
    says: Says,
    calls: Arc<AtomicUsize>,
    records: Arc<AtomicUsize>,
}

impl Operator for Picky {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(call.frame.len(), Ordering::Relaxed);
        let mut writer = FrameWriter::new(Vec::new());
        for record in call.frame.records() {
            let is_bad = record.value.unwrap_or_default().starts_with(b"bad");
            let (index, message) = (Some(record.source), "bad value".to_owned());
            match self.says {
                Says::Which if is_bad => return Err(CallError::Failed { index, code: 1, message }),
                Says::Nothing if is_bad => return Err(CallError::Trapped { message }),
                Says::Rejected | Says::Both if is_bad => effects.updates.extend(reject(record.source, &message)),
                _ => {}
            }
            if !is_bad || self.says == Says::Both {
                writer.push(record);
            }
        }
        effects.outputs.push((0, writer.finish()));
        Ok(())
    }
}

fn reject(record: u32, message: &str) -> Vec<u8> {
    let words = [100, record, message.len() as u32].map(u32::to_le_bytes);
    [&[3][..], &words.concat(), message.as_bytes()].concat()
}

/// What came out, the outcome, and how many calls of how many records it took.
type Picked = (Vec<(i64, String)>, Result<(), NodeError>, usize, usize);

fn pick(says: Says, on_error: OnError, values: &[&str]) -> Picked {
    let (calls, records) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let picky = Picky { says, calls: Arc::clone(&calls), records: Arc::clone(&records) };
    let mut runner = runner(picky, on_error);
    // A plugin whose speed is known: time is not what cuts its calls here.
    (0..64).for_each(|_| runner.pace.took(30_000, Duration::ZERO));
    let (out, outcome) = run(&mut runner, values);
    (out, outcome, calls.load(Ordering::Relaxed), records.load(Ordering::Relaxed))
}

#[test]
fn batches_of_bad_records_take_about_a_call_a_record_and_none_where_they_are_rejected() {
    for says in [Says::Which, Says::Nothing, Says::Rejected] {
        for records in [1_024, 30_000] {
            let (out, outcome, calls, called) = pick(says, OnError::Skip, &vec!["bad"; records]);
            outcome.unwrap();
            assert_eq!(out, []);
            let (calls_max, called_max) =
                if says == Says::Rejected { (1, records) } else { (records + 16, 4 * records) };
            assert!(calls <= calls_max, "{says:?}: {calls} calls for {records} records");
            assert!(called <= called_max, "{says:?}: {called} records in the calls for {records}");
        }
    }
}

#[test]
fn every_second_record_is_skipped_and_no_other() {
    let values: Vec<&str> = (0..3_000).map(|at| if at % 2 == 0 { "bad" } else { "good" }).collect();
    let wanted: Vec<i64> = (0..3_000).filter(|at| at % 2 == 1).map(|at| 100 + at).collect();
    for says in [Says::Which, Says::Nothing, Says::Rejected] {
        let (out, outcome, ..) = pick(says, OnError::Skip, &values);
        outcome.unwrap();
        assert_eq!(out.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), wanted, "{says:?}");
    }
}

#[test]
fn the_first_rejected_record_ends_a_job_that_fails_on_it() {
    let (out, outcome, ..) = pick(Says::Rejected, OnError::Fail, &["a", "b", "bad1", "c", "bad2"]);
    assert_eq!(out, [(100, "a".to_owned()), (101, "b".to_owned())], "what came before it, and nothing after it");
    let error = chain(&outcome.unwrap_err());
    assert!(error.contains("offset 102") && error.contains("failure 100: bad value"), "{error}");
}

#[test]
fn a_record_cannot_be_rejected_and_make_output() {
    let (out, outcome, ..) = pick(Says::Both, OnError::Skip, &["a", "bad", "b"]);
    outcome.unwrap();
    assert_eq!(out, [(100, "a".to_owned()), (102, "b".to_owned())]);
}

/// Needs `each` for a record, and has a deadline.
struct Slow {
    each: Duration,
    deadline: Duration,
    longest: Arc<AtomicUsize>,
    cut_off: Arc<AtomicUsize>,
}

impl Operator for Slow {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let needed = self.each * call.frame.len() as u32;
        if needed > self.deadline {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(self.deadline);
            return Err(CallError::Deadline { limit_ms: self.deadline.as_millis() as u64 });
        }
        self.longest.store(call.frame.len(), Ordering::Relaxed);
        std::thread::sleep(needed);
        effects.outputs.push((0, call.frame.clone()));
        Ok(())
    }
}

#[test]
fn a_call_is_cut_by_time_so_that_slow_plugins_meet_their_deadline() {
    for (each_ms, deadline_ms, longest_max) in [(2, 100, 12), (1, 8, 3)] {
        let (longest, cut_off) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (each, deadline) = (Duration::from_millis(each_ms), Duration::from_millis(deadline_ms));
        let slow = Slow { each, deadline, longest: Arc::clone(&longest), cut_off: Arc::clone(&cut_off) };
        let mut runner = runner(slow, OnError::Fail);
        // It was fast until now.
        (0..64).for_each(|_| runner.pace.took(30_000, Duration::ZERO));
        for _ in 0..2 {
            let (out, outcome) = run(&mut runner, &["v"; 300]);
            outcome.unwrap();
            assert_eq!(out.len(), 300);
        }
        assert!(cut_off.load(Ordering::Relaxed) <= 3, "it learns from the calls that are cut off: {cut_off:?}");
        assert!(longest.load(Ordering::Relaxed) <= longest_max, "calls of {longest:?} records of {each:?}");
    }
}

/// A form that holds three bytes of value.
#[derive(Debug)]
struct Narrow;

impl RecordForm for Narrow {
    fn check(&self, record: &RecordView<'_>) -> Result<(), String> {
        let is_wide = record.value.is_some_and(|value| value.len() > 3);
        if is_wide { Err("it is too wide".to_owned()) } else { Ok(()) }
    }
}

#[test]
fn a_record_that_a_sink_does_not_take_is_found_at_once_and_alone() {
    let limit = RecordCheck::Limit(RecordLimit {
        sink: "topic \"out\"".into(),
        bytes: 3,
        setting: "max.message.bytes = 85".into(),
        needs_key: false,
        timestamps: None,
    });
    let form = RecordCheck::Form { sink: "stdout".into(), form: Arc::new(Narrow) };
    for (check, says) in [(limit, "topic \"out\" has max.message.bytes"), (form, "does not fit stdout: it is too wide")]
    {
        for (on_error, wanted) in [(OnError::Skip, 3), (OnError::Fail, 1)] {
            let mut runner = runner(Fussy { names_it: true, calls: 0 }, on_error);
            runner.options.outputs = vec![vec![check.clone()]];
            let (out, outcome) = run(&mut runner, &["a", "long", "b", "c"]);
            assert_eq!(out.len(), wanted, "{out:?}");
            if let Err(error) = outcome {
                let error = chain(&error);
                assert!(error.contains("offset 101") && error.contains(says), "{error}");
            }
        }
    }
}
