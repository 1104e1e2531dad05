//! A version takes over in a runner, and fails on probation.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_core::ports::{Call, Effects};
use weir_core::{Batch, FrameWriter, Origin, RecordView};

use super::*;
use crate::runner::Runner;
use crate::testing::{Alone, Counters, options};

/// On a probation of so many seconds, of whose end the counters are told.
fn probation(seconds: u64, counters: &Arc<Counters>) -> Probation {
    let counters = Arc::clone(counters);
    let failed = Box::new(move |_: &CallError| {
        counters.fell_back.fetch_add(1, Ordering::Relaxed);
    });
    Probation { lasts: Duration::from_secs(seconds), failed }
}

/// Gives records its name; traps, or fails, on those that it does not like.
struct Named {
    name: &'static str,
    traps_on: &'static str,
    fails_on: &'static str,
}

fn named(name: &'static str, traps_on: &'static str, fails_on: &'static str) -> Version {
    let operator = Box::new(Named { name, traps_on, fails_on });
    Version { terms: Terms::default(), operator }
}

impl Operator for Named {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let mut writer = FrameWriter::new(Vec::new());
        for (index, record) in (0..).zip(call.frame.records()) {
            let value = std::str::from_utf8(record.value.unwrap()).unwrap();
            if value == self.traps_on {
                return Err(CallError::Trapped { message: self.name.into() });
            }
            if value == self.fails_on {
                return Err(CallError::Failed { index: Some(index), code: 1, message: self.name.into() });
            }
            let value = format!("{}{value}", self.name);
            writer.push(RecordView { value: Some(value.as_bytes()), source: index, ..record });
        }
        effects.outputs.push((0, writer.finish()));
        Ok(())
    }
}

/// A runner of version `a`.
fn runner(on_error: OnError) -> (Runner, Arc<Counters>) {
    let counters = Arc::<Counters>::default();
    let Version { operator, .. } = named("a", "", "");
    (Runner::new(options(Terms::default(), on_error), operator, None, Box::new(Alone(Arc::clone(&counters)))), counters)
}

/// What comes out of these values, as one batch.
fn run(runner: &mut Runner, values: &[&str]) -> Result<String, String> {
    let mut writer = FrameWriter::new(Vec::new());
    for (index, value) in (0..).zip(values) {
        let value = Some(value.as_bytes());
        writer.push(RecordView { timestamp_ms: 0, source: index, key: None, value, headers: &[] });
    }
    let origins = (0..).take(values.len()).map(|offset| Origin::new(0, offset)).collect();
    let mut out = Vec::new();
    let ran = runner.run(0, &Batch { frame: writer.finish(), origins }, &mut out);
    let mut all = Vec::new();
    for (_, batch) in out {
        all.extend(batch.frame.records().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()));
    }
    ran.map(|()| all.join(" ")).map_err(|error| error.to_string())
}

#[test]
fn a_version_takes_over_between_two_batches() {
    let (mut runner, counters) = runner(OnError::Fail);
    assert_eq!(run(&mut runner, &["1", "2"]).unwrap(), "a1 a2");
    runner.take_over(named("b", "", ""), probation(60, &counters));
    assert_eq!(run(&mut runner, &["3"]).unwrap(), "b3");
    assert_eq!(counters.fell_back.load(Ordering::Relaxed), 0);
}

#[test]
fn a_trap_on_probation_brings_the_version_before_back_on_that_very_batch() {
    for on_error in [OnError::Fail, OnError::Skip] {
        let (mut runner, counters) = runner(on_error);
        runner.take_over(named("b", "bad", ""), probation(60, &counters));
        assert_eq!(run(&mut runner, &["1", "2"]).unwrap(), "b1 b2");
        assert_eq!(run(&mut runner, &["3", "bad", "4"]).unwrap(), "a3 abad a4", "nothing of the failed call happened");
        assert_eq!(run(&mut runner, &["5"]).unwrap(), "a5");
        assert_eq!((counters.fell_back.load(Ordering::Relaxed), counters.skipped.load(Ordering::Relaxed)), (1, 0));
    }
}

#[test]
fn a_failure_that_would_end_the_job_ends_the_probation() {
    let (mut runner, counters) = runner(OnError::Fail);
    runner.take_over(named("b", "", "bad"), probation(60, &counters));
    // What came before the record is through.
    assert_eq!(run(&mut runner, &["1", "bad", "2"]).unwrap(), "b1 abad a2");
}

#[test]
fn a_few_records_may_be_left_out_and_many_may_not() {
    let (mut runner, counters) = runner(OnError::Skip);
    runner.take_over(named("b", "", "bad"), probation(60, &counters));
    let few: Vec<_> = (0..200).map(|at| if at % 20 == 0 { "bad" } else { "x" }).collect();
    let out = run(&mut runner, &few).unwrap();
    assert_eq!((out.matches('b').count(), counters.skipped.load(Ordering::Relaxed)), (190, 10));
    let out = run(&mut runner, &["bad"; 50]).unwrap();
    // One in ten of all is too many: those before are lost to the policy, those after are not.
    let skipped = counters.skipped.load(Ordering::Relaxed) - 10;
    assert_eq!((counters.fell_back.load(Ordering::Relaxed), out.matches("abad").count()), (1, 50 - skipped));
    assert!((10..20).contains(&skipped), "{skipped}");
}

#[test]
fn after_the_probation_a_failure_is_like_any_other() {
    for lasts in [Duration::ZERO, Duration::from_millis(1)] {
        let (mut runner, counters) = runner(OnError::Fail);
        runner.take_over(named("b", "bad", ""), Probation { lasts, ..probation(0, &counters) });
        std::thread::sleep(Duration::from_millis(5));
        // The very first call.
        assert!(run(&mut runner, &["bad"]).is_err());
        assert_eq!(counters.fell_back.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_record_that_both_fail_on_is_left_to_the_policy() {
    let (mut runner, counters) = runner(OnError::Skip);
    runner.take_over(named("a", "bad", ""), probation(60, &counters));
    runner.take_over(named("b", "bad", ""), probation(60, &counters));
    assert_eq!(run(&mut runner, &["1", "bad", "2"]).unwrap(), "a1 a2");
    let told = (counters.fell_back.load(Ordering::Relaxed), counters.skipped.load(Ordering::Relaxed));
    assert_eq!(told, (1, 1));
}
