//! A node of windows with an aggregate that counts, and its state in memory: whatever the batches are, and wherever it is
//! stopped and begun anew, it sends the same.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use weir_core::frame::encode_headers;
use weir_core::ports::{Call, CallTask, Effects, Operator, RecordForm, TableKind};
use weir_core::{OnError, TableId};
use weir_time::window::spec::Kind;

use super::*;
use crate::advance::Advanced;
use crate::error::NodeError;
use crate::load::after_value;
use crate::runner::{Runner, RunnerOptions};
use crate::testing::{Alone, Counters, LETTERS, Memory, Stored, options};
use crate::version::Terms;

/// Windows that fire before their end.
mod early;
/// The same, computed from all that came.
mod model;
/// Windows of all time, and of processing time.
mod untimed;

const ACCUMULATORS: Table = Table { id: TableId(0), kind: TableKind::Window, ttl: None };
const TIMERS: Table = Table { id: TableId(1), kind: TableKind::WindowTimer, ttl: None };
const NEWS: Table = Table { id: TableId(3), kind: TableKind::WindowTimer, ttl: None };
const LISTS: Table = Table { id: TableId(2), kind: TableKind::Window, ttl: None };
const TABLES: WindowTables = WindowTables { accumulators: ACCUMULATORS, lists: Some(LISTS) };

/// Counts; a window sends `START,COUNT`. Fails on records of the value `bad`, and on windows of the key `bad`.
struct Counts;

impl Operator for Counts {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let mut values = call.values;
        let mut counts: Vec<Option<u64>> = Vec::new();
        while let Some(after) = after_value(values) {
            let value = values.get(4..12).filter(|_| after.len() + 12 == values.len());
            counts.push(value.map(|value| u64::from_le_bytes(value.try_into().unwrap())));
            values = after;
        }
        let bad = |index: usize| CallError::Failed { index: Some(index as u32), code: 7, message: "bad".into() };
        match call.task {
            CallTask::Fold(0) => {
                for (index, (record, slot)) in call.frame.records().zip(call.slots).enumerate() {
                    if record.value == Some(b"bad") {
                        return Err(bad(index));
                    }
                    *counts[*slot as usize].get_or_insert(0) += 1;
                }
                for (slot, count) in (0u32..).zip(counts) {
                    let words = [0, slot, 8].map(u32::to_le_bytes).concat();
                    effects.updates.extend([&[1][..], &words, &count.unwrap().to_le_bytes()].concat());
                }
            }
            CallTask::Merge => {
                for (index, (record, slot)) in call.frame.records().zip(call.slots).enumerate() {
                    if record.key == Some(b"unmerged") {
                        return Err(bad(index));
                    }
                    let part = u64::from_le_bytes(record.value.unwrap().try_into().unwrap());
                    *counts[*slot as usize].as_mut().expect("the first is there already") += part;
                }
                for (slot, count) in (0u32..).zip(counts) {
                    let words = [0, slot, 8].map(u32::to_le_bytes).concat();
                    effects.updates.extend([&[1][..], &words, &count.unwrap().to_le_bytes()].concat());
                }
            }
            CallTask::Finish => {
                let mut writer = FrameWriter::new(Vec::new());
                for (index, (record, slot)) in call.frame.records().zip(call.slots).enumerate() {
                    if record.key == Some(b"bad") {
                        return Err(bad(index));
                    }
                    let start = i64::from_le_bytes(record.value.unwrap()[..8].try_into().unwrap());
                    let value = format!("{start},{}", counts[*slot as usize].expect("a window that fires has records"));
                    writer.push(RecordView { value: Some(value.as_bytes()), ..record });
                }
                effects.outputs.push((0, writer.finish()));
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }
}

/// A record: key, timestamp, value.
type Given = (&'static str, i64, &'static str);
/// What a window sent, or what was late: key, value, timestamp.
type Sent = (String, String, i64);

/// What a sink says that takes values of at most four bytes.
fn late_check() -> RecordCheck {
    RecordCheck::Form { sink: "late".to_owned(), form: Arc::new(Short) }
}

#[derive(Debug)]
struct Short;

impl RecordForm for Short {
    fn check(&self, record: &RecordView<'_>) -> Result<(), String> {
        let is_short = record.value.is_none_or(|value| value.len() < 5);
        is_short.then_some(()).ok_or_else(|| "it is large".to_owned())
    }
}

struct Node {
    runner: Runner,
    stored: Arc<Mutex<Stored>>,
    counters: Arc<Counters>,
    spec: WindowSpec,
    on_error: OnError,
    sent: Vec<Sent>,
    /// What came out by the output for late records.
    late: Vec<Sent>,
}

/// The output for late records: behind the only one of the aggregate.
const LATE: u32 = 1;

impl Node {
    fn new(window: &[(&str, &str)], on_error: OnError) -> Self {
        let words = window.iter().map(|(word, text)| ((*word).to_owned(), (*text).to_owned()));
        let spec = WindowSpec::from_table(&words.collect()).unwrap();
        Self::from(spec, on_error, Stored::default(), Watermark::NONE)
    }

    fn from(spec: WindowSpec, on_error: OnError, stored: Stored, watermark: Watermark) -> Self {
        let (stored, counters) = (Arc::new(Mutex::new(stored)), Arc::new(Counters::default()));
        let terms = Terms { tables: vec![ACCUMULATORS], prefetched: vec![ACCUMULATORS], ..Terms::default() };
        let timers = |table, domain| TimerOptions { table, domain, groups: 0..1024, rounds_max: 100_000 };
        let (own, early) = (timers(TIMERS, spec.domain), timers(NEWS, TimeDomain::Processing));
        let windows = WindowOptions::new(&spec, TABLES, own, Some(early))
            .map(|windows| WindowOptions { late: Some((LATE, vec![late_check()])), ..windows });
        let options = RunnerOptions { windows, watermark, ..options(terms, on_error) };
        let state = Memory::new(&stored);
        let driver = Alone(Arc::clone(&counters));
        let runner = Runner::new(options, Box::new(Counts), Some(Box::new(state)), Box::new(driver));
        Self { runner, stored, counters, spec, on_error, sent: Vec::new(), late: Vec::new() }
    }

    /// The same after a stop, in another process: what is kept is state and watermark.
    fn again(self, watermark: Watermark) -> Self {
        let stored = self.stored.lock().unwrap().clone();
        let next = Self::from(self.spec, self.on_error, stored, watermark);
        next.counters.late.store(self.counters.late.load(Ordering::Relaxed), Ordering::Relaxed);
        next.counters.now_ms.store(self.counters.now_ms.load(Ordering::Relaxed), Ordering::Relaxed);
        Self { sent: self.sent, late: self.late, ..next }
    }

    fn take(&mut self, out: Vec<(u32, Batch)>) {
        for (output, batch) in out {
            assert_eq!(batch.origins.len(), batch.frame.len());
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
            let to = if output == LATE { &mut self.late } else { &mut self.sent };
            to.extend(batch.frame.records().map(|r| (text(r.key), text(r.value), r.timestamp_ms)));
        }
    }

    fn records(&mut self, records: &[Given]) -> Result<(), NodeError> {
        let mut writer = FrameWriter::new(Vec::new());
        for (index, (key, timestamp_ms, value)) in (0..).zip(records) {
            let key = (!key.is_empty()).then_some(key.as_bytes());
            let (timestamp_ms, value) = (*timestamp_ms, Some(value.as_bytes()));
            writer.push(RecordView { timestamp_ms, source: index, key, value, headers: &[] });
        }
        let origins = (0..records.len()).map(|at| Origin::new(0, at as i64)).collect();
        let mut out = Vec::new();
        let done = self.runner.run(0, &Batch { frame: writer.finish(), origins }, &mut out);
        self.take(out);
        done
    }

    fn advance(&mut self, to: Watermark) -> Result<(), NodeError> {
        loop {
            let mut out = Vec::new();
            let advanced = self.runner.advance(to, &mut out);
            self.take(out);
            if advanced? != Advanced::More {
                return Ok(());
            }
        }
    }

    /// The clock comes to `now_ms`, and nobody looks.
    fn pass_to(&mut self, now_ms: i64) {
        self.counters.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The clock comes to `now_ms`.
    fn wake(&mut self, now_ms: i64) {
        self.pass_to(now_ms);
        loop {
            let mut out = Vec::new();
            let woken = self.runner.wake(now_ms, &mut out).unwrap();
            self.take(out);
            if woken != Advanced::More {
                return;
            }
        }
    }

    fn sent(&self) -> Vec<(&str, &str, i64)> {
        self.sent.iter().map(|(key, value, at)| (key.as_str(), value.as_str(), *at)).collect()
    }

    fn late(&self) -> usize {
        self.counters.late.load(Ordering::Relaxed)
    }
}

#[test]
fn a_window_fires_at_its_end_and_nothing_of_it_is_left() {
    let mut node = Node::new(&[("tumbling", "10ms")], OnError::Fail);
    node.records(&[("a", 1, ""), ("b", 12, ""), ("a", 9, ""), ("a", 10, "")]).unwrap();
    node.advance(Watermark::at(9)).unwrap();
    assert_eq!(node.sent(), []);
    node.advance(Watermark::at(10)).unwrap();
    assert_eq!(node.sent(), [("a", "0,2", 9)]);
    node.records(&[("a", 9, ""), ("a", 11, "")]).unwrap();
    assert_eq!(node.late(), 1, "the window is gone");
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent()[1..], [("a", "10,2", 19), ("b", "10,1", 19)]);
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());
}

#[test]
fn late_records_go_to_their_output_unchanged_and_in_order() {
    let mut node = Node::new(&[("tumbling", "10ms")], OnError::Skip);
    node.advance(Watermark::at(20)).unwrap();
    let mut headers = Vec::new();
    encode_headers([(&b"h"[..], Some(&b"v"[..]))], &mut headers);
    let mut writer = FrameWriter::new(Vec::new());
    for (source, (timestamp_ms, value)) in (0..).zip([(3, "x"), (25, "in"), (19, ""), (4, "large")]) {
        let (key, value, headers) = (Some(&b"a"[..]), Some(value.as_bytes()), &headers[..]);
        writer.push(RecordView { timestamp_ms, source, key, value, headers });
    }
    let origins = (100..104).map(|offset| Origin::new(0, offset)).collect();
    let mut out = Vec::new();
    node.runner.run(0, &Batch { frame: writer.finish(), origins }, &mut out).unwrap();
    let [(LATE, late)] = &out[..] else { panic!("{out:?}") };
    let seen: Vec<_> = late.frame.records().map(|record| (record.timestamp_ms, record.value.unwrap())).collect();
    assert_eq!(seen, [(3, &b"x"[..]), (19, b"")]);
    assert!(late.frame.records().all(|record| record.headers == headers && record.key == Some(b"a")));
    assert_eq!(late.origins, [100, 102].map(|offset| Origin::new(0, offset)));
    // The sink takes no value of five bytes.
    assert_eq!((node.late(), node.counters.skipped.load(Ordering::Relaxed)), (3, 1));
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent(), [("a", "20,1", 29)]);
}

#[test]
fn a_window_that_is_allowed_to_be_late_fires_again_once_a_batch_and_then_is_gone() {
    let mut node = Node::new(&[("tumbling", "10ms"), ("allowed-lateness", "5ms")], OnError::Fail);
    node.records(&[("a", 1, "")]).unwrap();
    node.advance(Watermark::at(12)).unwrap();
    // Late ones of a window that fired, and of one that had nothing.
    node.records(&[("a", 2, ""), ("b", 3, ""), ("a", 4, "")]).unwrap();
    assert_eq!(node.sent(), [("a", "0,1", 9), ("a", "0,3", 9), ("b", "0,1", 9)]);
    let mut node = node.again(Watermark::at(12));
    node.records(&[("b", 5, "")]).unwrap();
    assert_eq!(node.sent()[3..], [("b", "0,2", 9)]);
    node.advance(Watermark::at(15)).unwrap();
    node.records(&[("a", 2, "")]).unwrap();
    assert_eq!((node.sent().len(), node.late()), (4, 1));
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());
}

#[test]
fn days_of_a_zone_have_as_many_hours_as_they_have() {
    // The night of 2026-03-29 in Berlin has no two o'clock.
    let midnight = 1_774_738_800_000;
    let hour = 3_600_000;
    let mut node = Node::new(&[("tumbling", "1day"), ("zone", "Europe/Berlin")], OnError::Fail);
    node.records(&[("a", midnight, ""), ("a", midnight + 23 * hour - 1, ""), ("a", midnight + 23 * hour, "")]).unwrap();
    node.advance(Watermark::END).unwrap();
    let first = format!("{midnight},2");
    let next = format!("{},1", midnight + 23 * hour);
    assert_eq!(
        node.sent(),
        [("a", first.as_str(), midnight + 23 * hour - 1), ("a", next.as_str(), midnight + 47 * hour - 1)]
    );
}

#[test]
fn records_that_no_window_holds_are_left_to_the_policy_and_say_why() {
    for (record, why) in [
        (("", 1, ""), "it has no key"),
        (("a", i64::MIN, ""), "it has no timestamp"),
        (("a", -1, ""), "outside of the years 1970 to 9899"),
        (("a", i64::MAX, ""), "outside of the years 1970 to 9899"),
        (("a", 1, "bad"), "failure 7: bad"),
    ] {
        let mut node = Node::new(&[("tumbling", "10ms")], OnError::Skip);
        node.records(&[("a", 2, ""), record, ("a", 3, "")]).unwrap();
        node.advance(Watermark::END).unwrap();
        assert_eq!(node.sent(), [("a", "0,2", 9)], "{record:?}");
        assert_eq!(node.counters.skipped.load(Ordering::Relaxed), 1);
        let error = Node::new(&[("tumbling", "10ms")], OnError::Fail).records(&[record]).unwrap_err();
        let causes = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(causes.contains(why) && causes.contains("offset 0"), "{causes}");
    }
}

#[test]
fn a_window_that_fails_is_named_or_skipped_alone() {
    let records = [("a", 1, ""), ("bad", 1, ""), ("b", 1, "")];
    let mut node = Node::new(&[("tumbling", "10ms")], OnError::Skip);
    node.records(&records).unwrap();
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent(), [("a", "0,1", 9), ("b", "0,1", 9)]);
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());
    let mut node = Node::new(&[("tumbling", "10ms")], OnError::DeadLetter);
    node.records(&records).unwrap();
    let mut out = Vec::new();
    while node.runner.advance(Watermark::END, &mut out).unwrap() == Advanced::More {}
    let (output, letters) = out.last().unwrap();
    let letter = letters.frame.records().next().unwrap();
    assert_eq!((*output, letters.frame.len(), letter.key), (LETTERS, 1, Some(&b"bad"[..])));
    assert_eq!(letter.value, Some(&1u64.to_le_bytes()[..]), "what the window has gathered is not lost with it");
    let due = letter.header(weir_core::letter::DUE_NAME).flatten();
    assert_eq!(due, Some(&b"the window of key \"bad\" from 0 ms to 10 ms"[..]));
    let mut node = Node::new(&[("tumbling", "10ms")], OnError::Fail);
    node.records(&records).unwrap();
    let error = node.advance(Watermark::END).unwrap_err();
    assert_eq!(error.to_string(), "operator \"o\" failed on the window of key \"bad\" from 0 ms to 10 ms");
}

#[test]
fn a_mass_of_windows_fires_in_order_about_a_batch_at_once() {
    let mut node = Node::new(&[("tumbling", "10ms")], OnError::Fail);
    let records: Vec<Given> = (0..5_000).rev().map(|at| ("a", at * 10, "")).collect();
    records.chunks(500).for_each(|batch| node.records(batch).unwrap());
    // Nothing of it is in memory any more.
    let mut node = node.again(Watermark::NONE);
    let mut out = Vec::new();
    assert_eq!(node.runner.advance(Watermark::END, &mut out).unwrap(), Advanced::More);
    assert!(out.iter().map(|(_, batch)| batch.frame.len()).sum::<usize>() <= 1_024);
    node.take(out);
    node.advance(Watermark::END).unwrap();
    let times: Vec<i64> = node.sent.iter().map(|(_, _, at)| *at).collect();
    assert_eq!(times, (0..5_000).map(|at| at * 10 + 9).collect::<Vec<_>>());
}

#[test]
fn a_sliding_window_is_merged_from_its_panes_and_each_fires_once() {
    let mut node = Node::new(&[("sliding", "30ms/10ms")], OnError::Fail);
    node.records(&[("a", 1, ""), ("a", 12, ""), ("b", 25, ""), ("a", 3, "")]).unwrap();
    node.advance(Watermark::at(29)).unwrap();
    assert_eq!(node.sent(), [("a", "-20,2", 9), ("a", "-10,3", 19)]);
    let mut node = node.again(Watermark::at(29));
    node.records(&[("a", 9, ""), ("a", 41, "")]).unwrap();
    assert_eq!(node.late(), 0, "one of its windows is still to come");
    node.advance(Watermark::at(45)).unwrap();
    assert_eq!(node.sent()[2..], [("a", "0,4", 29), ("b", "0,1", 29), ("a", "10,1", 39), ("b", "10,1", 39)]);
    node.records(&[("a", 19, ""), ("a", 21, "")]).unwrap();
    assert_eq!(node.late(), 1, "the last window of 19 has ended, one of 21 has not");
    node.advance(Watermark::END).unwrap();
    let rest = [("a", "20,2", 49), ("b", "20,1", 49), ("a", "30,1", 59), ("a", "40,1", 69)];
    assert_eq!(node.sent()[6..], rest);
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());
}

#[test]
fn a_record_that_is_late_within_the_lateness_corrects_every_sliding_window_that_it_is_in() {
    let mut node = Node::new(&[("sliding", "40ms/10ms"), ("allowed-lateness", "20ms")], OnError::Fail);
    node.records(&[("a", 5, ""), ("a", 15, ""), ("a", 25, ""), ("a", 35, "")]).unwrap();
    node.advance(Watermark::at(45)).unwrap();
    assert_eq!(node.sent(), [("a", "-30,1", 9), ("a", "-20,2", 19), ("a", "-10,3", 29), ("a", "0,4", 39)]);
    // Of the windows that have fired, those that end at 30 and 40 still take it: their blocks are merged anew.
    node.records(&[("a", 16, ""), ("a", 6, "")]).unwrap();
    assert_eq!(node.sent()[4..], [("a", "-10,5", 29), ("a", "0,6", 39)]);
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent()[6..], [("a", "10,4", 49), ("a", "20,2", 59), ("a", "30,1", 69)]);
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());
}

#[test]
fn a_session_ends_with_silence_and_a_record_between_two_makes_one_of_them() {
    let mut node = Node::new(&[("session", "10ms")], OnError::Fail);
    node.records(&[("a", 5, ""), ("a", 20, ""), ("b", 6, "")]).unwrap();
    let mut node = node.again(Watermark::NONE);
    node.records(&[("a", 12, ""), ("b", 7, "")]).unwrap();
    node.advance(Watermark::at(29)).unwrap();
    assert_eq!(node.sent(), [("b", "6,2", 16)]);
    node.records(&[("b", 19, ""), ("b", 20, "")]).unwrap();
    assert_eq!(node.late(), 1, "what began at 19 is over at 29");
    node.advance(Watermark::at(30)).unwrap();
    assert_eq!(node.sent()[1..], [("a", "5,3", 29), ("b", "20,1", 29)]);
    node.advance(Watermark::END).unwrap();
    assert_eq!((node.sent().len(), node.stored.lock().unwrap().clone()), (3, Stored::default()));
}

#[test]
fn a_late_record_joins_sessions_that_have_fired_and_they_fire_as_one() {
    let mut node = Node::new(&[("session", "10ms"), ("allowed-lateness", "20ms")], OnError::Fail);
    node.records(&[("a", 5, ""), ("a", 22, "")]).unwrap();
    node.advance(Watermark::at(32)).unwrap();
    assert_eq!(node.sent(), [("a", "5,1", 14), ("a", "22,1", 31)]);
    // It is late by itself, and in a session that is not.
    let mut node = node.again(Watermark::at(32));
    node.records(&[("a", 14, "")]).unwrap();
    assert_eq!(node.sent()[2..], [("a", "5,3", 31)]);
    // And one makes it end later than it has.
    node.records(&[("a", 31, "")]).unwrap();
    node.advance(Watermark::at(41)).unwrap();
    assert_eq!(node.sent()[3..], [("a", "5,4", 40)]);
    node.advance(Watermark::at(61)).unwrap();
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());
    node.records(&[("a", 41, "")]).unwrap();
    assert_eq!((&node.sent()[4..], node.late()), (&[("a", "41,1", 50)][..], 0), "it is a session of its own");
    node.records(&[("a", 30, "")]).unwrap();
    assert_eq!(node.late(), 1);
}

#[test]
fn a_window_that_cannot_be_merged_is_named_or_lacks_what_was_not() {
    for (window, named) in [
        (("sliding", "20ms/10ms"), "the window of key \"unmerged\" from 0 ms to 20 ms"),
        (("session", "10ms"), "the window of key \"unmerged\" from 5 ms to 28 ms"),
    ] {
        let first = [("unmerged", 5, ""), ("a", 5, ""), ("unmerged", 18, ""), ("a", 18, "")];
        let then = [("unmerged", 11, ""), ("a", 11, "")];
        let mut node = Node::new(&[window], OnError::Fail);
        node.records(&first).unwrap();
        let failed = node.records(&then).and_then(|()| node.advance(Watermark::END)).unwrap_err();
        assert_eq!(failed.to_string(), format!("operator \"o\" failed on {named}"));
        let mut node = Node::new(&[window], OnError::Skip);
        node.records(&first).unwrap();
        node.records(&then).unwrap();
        node.advance(Watermark::END).unwrap();
        assert_eq!(node.counters.skipped.load(Ordering::Relaxed), 1, "{window:?}");
        assert!(node.sent().iter().any(|(key, value, _)| *key == "a" && value.ends_with(",3")), "{:?}", node.sent());
        assert_eq!(*node.stored.lock().unwrap(), Stored::default());
    }
}

#[test]
fn a_mass_of_keys_with_lists_fires_in_order_and_leaves_nothing() {
    let keys: Vec<String> = (0..1_500).map(|key| format!("key-{key}")).collect();
    for (window, each) in [(("sliding", "40ms/10ms"), 5), (("session", "10ms"), 1)] {
        let mut node = Node::new(&[window], OnError::Fail);
        for at in [5, 17, 8] {
            let records: Vec<Given> = keys.iter().map(|key| (key.clone().leak() as &str, at, "")).collect();
            records.chunks(400).for_each(|batch| node.records(batch).unwrap());
        }
        let mut node = node.again(Watermark::NONE);
        node.advance(Watermark::END).unwrap();
        assert_eq!(node.sent.len(), keys.len() * each, "{window:?}");
        assert!(node.sent.is_sorted_by_key(|(_, _, at)| *at));
        let whole = node.sent.iter().filter(|(_, value, _)| value.ends_with(",3")).count();
        assert!(whole >= keys.len(), "{window:?}: {whole} windows have all three");
        assert_eq!(*node.stored.lock().unwrap(), Stored::default());
    }
}

#[test]
fn what_a_key_has_next_fires_before_what_others_have_later() {
    let mut node = Node::new(&[("sliding", "10ms/5ms")], OnError::Fail);
    let keys: Vec<String> = (0..700).map(|key| format!("key-{key:03}")).collect();
    let ats = [12, 1].into_iter().cycle();
    let records: Vec<Given> = keys.iter().zip(ats).map(|(key, at)| (key.clone().leak() as &str, at, "")).collect();
    node.records(&records).unwrap();
    let mut out = Vec::new();
    assert_eq!(node.runner.advance(Watermark::END, &mut out).unwrap(), Advanced::More);
    let at_once = out.iter().map(|(_, batch)| batch.frame.len()).sum::<usize>();
    assert!((1_024..=1_024 + 700).contains(&at_once), "{at_once}");
    node.take(out);
    node.advance(Watermark::END).unwrap();
    let sent: Vec<(i64, &str)> = node.sent.iter().map(|(key, _, at)| (*at, key.as_str())).collect();
    assert!(sent.len() == 1_400 && sent.is_sorted(), "{sent:?}");
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());
}
