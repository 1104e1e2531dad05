//! Two tasks of one operator: what comes to both changes the table of each, and one of them writes and tells.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use weir_core::frame::NULL;
use weir_core::ports::{Call, CallTask, Operator, Table, TableKind};
use weir_core::{Batch, FrameWriter, Origin, RecordView, TableId};

use super::*;
use crate::runner::RunnerOptions;
use crate::testing::{Alone, Counters, Memory, Stored, options};
use crate::version::Terms;

const RATES: Table = Table { id: TableId(0), kind: TableKind::Broadcast, ttl: None };
/// The input that goes to all tasks; the other one reads what it wrote.
const TO_ALL: u32 = 1;

/// Keeps what comes in by the second input, and puts that of its key behind each record of the first.
struct Rates;

impl Operator for Rates {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let CallTask::Process(input) = call.task else { panic!("{:?}", call.task) };
        let mut writer = FrameWriter::new(Vec::new());
        for (index, (record, slot)) in (0..).zip(call.frame.records().zip(call.slots)) {
            let (key, value) = (record.key.unwrap(), record.value.unwrap());
            if value == b"bad" {
                return Err(CallError::Failed { index: Some(index), code: 7, message: "bad".into() });
            }
            if input == TO_ALL && value != b"emit" {
                assert_eq!((*slot, call.values), (NULL, &[][..]), "it is under no key");
                let entry = [&(key.len() as u32).to_le_bytes()[..], key, value].concat();
                let words = [0, NULL, entry.len() as u32].map(u32::to_le_bytes).concat();
                effects.updates.extend([&[5][..], &words, &entry].concat());
                continue;
            }
            let wanted = [&NULL.to_le_bytes()[..], &(key.len() as u32).to_le_bytes(), key].concat();
            let mut found = Vec::new();
            call.state.as_mut().unwrap().get_many(0, &wanted, &mut found)?;
            let joined = [value, b"@", &found[4..]].concat();
            writer.push(RecordView { value: Some(&joined), ..record });
        }
        if !writer.is_empty() {
            effects.outputs.push((0, writer.finish()));
        }
        Ok(())
    }
}

fn task(writes: bool, on_error: OnError) -> (Runner, Arc<Mutex<Stored>>, Arc<Counters>) {
    let (stored, counters) = (Arc::<Mutex<Stored>>::default(), Arc::<Counters>::default());
    let terms = Terms { tables: vec![RATES], broadcast: vec![TO_ALL], ..Terms::default() };
    let options = RunnerOptions { writes_broadcast: writes, ..options(terms, on_error) };
    let (state, driver) = (Box::new(Memory::new(&stored)), Box::new(Alone(Arc::clone(&counters))));
    (Runner::new(options, Box::new(Rates), Some(state), driver), stored, counters)
}

fn run(runner: &mut Runner, input: u32, records: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let mut writer = FrameWriter::new(Vec::new());
    for (source, (key, value)) in (0..).zip(records) {
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        writer.push(RecordView { timestamp_ms: 1, source, key, value, headers: &[] });
    }
    let origins = (0..records.len()).map(|at| Origin::new(0, at as i64)).collect();
    let (batch, mut out) = (Batch { frame: writer.finish(), origins }, Vec::new());
    runner.run(input, &batch, &mut out).map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    })?;
    let values = out.iter().flat_map(|(_, batch)| batch.frame.records());
    Ok(values.map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap()).collect())
}

#[test]
fn every_task_has_what_came_to_all_and_one_of_them_writes_counts_and_tells() {
    for writes in [true, false] {
        let (mut runner, stored, counters) = task(writes, OnError::Skip);
        assert_eq!(run(&mut runner, TO_ALL, &[("eur", "1.1"), ("usd", "bad"), ("usd", "1.0")]), Ok(vec![]));
        assert_eq!(run(&mut runner, 0, &[("usd", "5"), ("eur", "7")]).unwrap(), ["5@1.0", "7@1.1"]);
        assert_eq!(stored.lock().unwrap().is_followed, !writes);
        let told = (counters.processed.load(Ordering::Relaxed), counters.skipped.load(Ordering::Relaxed));
        assert_eq!(told, if writes { (4, 1) } else { (2, 0) }, "writes: {writes}");
    }
}

#[test]
fn what_comes_to_all_ends_the_job_wherever_it_fails() {
    for writes in [true, false] {
        let (mut runner, ..) = task(writes, OnError::Fail);
        let error = run(&mut runner, TO_ALL, &[("usd", "bad")]).unwrap_err();
        assert!(error.contains("plugin returned failure 7: bad"), "{error}");
        let error = run(&mut runner, TO_ALL, &[("usd", "emit")]).unwrap_err();
        assert!(error.contains("malformed frame: records out of a broadcast input"), "{error}");
    }
}
