//! A node whose plugin sets timers, with its state in memory: each key's timers fire in order, one after the other, whatever
//! the batches are and wherever the node is stopped and begun anew.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use weir_core::ports::{Call, CallError, CallTask, Effects, Operator, TableKind, Ttl};
use weir_core::{Batch, FrameWriter, OnError, Origin, RecordView, TableId, Watermark};

use super::*;
use crate::advance::Advanced;
use crate::load::after_value;
use crate::runner::{Runner, RunnerOptions};
use crate::testing::{Alone, Counters, Memory, Stored, options};
use crate::version::Terms;

const VALUES: Table = Table { id: TableId(0), kind: TableKind::Value, ttl: None };
const TIMERS: Table = Table { id: TableId(1), kind: TableKind::Timer, ttl: None };
const WAKES: Table = Table { id: TableId(2), kind: TableKind::ProcessingTimer, ttl: None };

/// Does what values say: `set N`, `cancel N`, and `every N`, which its timers then do by themselves, N ms later each. `wake N`
/// and `sleep N` are set and cancel for timers of processing time. A timer sends `due`. Fails on timers of the key `bad`,
/// unless it names them: it rejects those of the key `worse`.
struct Alarm;

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

fn update(op: u8, table: u32, slot: u32, bytes: &[u8]) -> Vec<u8> {
    [&[op][..], &table.to_le_bytes(), &slot.to_le_bytes(), &(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

impl Operator for Alarm {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let (mut rest, mut periods) = (call.values, Vec::new());
        while let Some(after) = after_value(rest) {
            periods.push(rest.get(4..12).filter(|_| rest.len() - after.len() == 12).map(<[u8]>::to_vec));
            rest = after;
        }
        let mut writer = FrameWriter::new(Vec::new());
        for (index, (record, slot)) in (0..).zip(call.frame.records().zip(call.slots)) {
            let text = std::str::from_utf8(record.value.unwrap()).unwrap_or_default();
            match (call.task, text.split_once(' ')) {
                (CallTask::Process(0), Some(("set", at))) => {
                    effects.updates.extend(update(8, 1, *slot, &number(at).to_le_bytes()));
                }
                (CallTask::Process(0), Some(("cancel", at))) => {
                    effects.updates.extend(update(9, 1, *slot, &number(at).to_le_bytes()));
                }
                (CallTask::Process(0), Some(("wake", at))) => {
                    effects.updates.extend(update(8, 2, *slot, &number(at).to_le_bytes()));
                }
                (CallTask::Process(0), Some(("sleep", at))) => {
                    effects.updates.extend(update(9, 2, *slot, &number(at).to_le_bytes()));
                }
                (CallTask::Process(0), Some(("every", by))) => {
                    effects.updates.extend(update(1, 0, *slot, &number(by).to_le_bytes()));
                }
                (CallTask::Timers, _) if record.key == Some(b"bad") => {
                    return Err(CallError::Failed { index: None, code: 7, message: "bad".into() });
                }
                (CallTask::Timers, _) if record.key == Some(b"worse") => {
                    effects.updates.extend(update(3, 8, index, b"worse"));
                }
                (CallTask::Timers, _) => {
                    let (at, table) = record.value.unwrap().split_first_chunk().unwrap();
                    let (at, table) = (i64::from_le_bytes(*at), u32::from_le_bytes(table.try_into().unwrap()));
                    if let Some(period) = &periods[*slot as usize] {
                        let next = at + i64::from_le_bytes(period[..].try_into().unwrap());
                        effects.updates.extend(update(8, table, *slot, &next.to_le_bytes()));
                    }
                    writer.push(RecordView { value: Some(b"due"), ..record });
                }
                other => panic!("{other:?}"),
            }
        }
        effects.outputs.push((0, writer.finish()));
        Ok(())
    }
}

struct Node {
    runner: Runner,
    stored: Arc<Mutex<Stored>>,
    counters: Arc<Counters>,
    on_error: OnError,
    /// Key and time.
    sent: Vec<(String, i64)>,
}

impl Node {
    fn new(on_error: OnError) -> Self {
        Self::from(on_error, Stored::default())
    }

    fn from(on_error: OnError, stored: Stored) -> Self {
        Self::with(VALUES, on_error, stored)
    }

    fn with(values: Table, on_error: OnError, stored: Stored) -> Self {
        let (stored, counters) = (Arc::new(Mutex::new(stored)), Arc::new(Counters::default()));
        let terms = Terms { tables: vec![values, TIMERS, WAKES], prefetched: vec![values], ..Terms::default() };
        let timers = [(TIMERS, TimeDomain::Event), (WAKES, TimeDomain::Processing)]
            .map(|(table, domain)| TimerOptions { table, domain, groups: 0..1024, rounds_max: 100_000 });
        let options = RunnerOptions { timers: timers.to_vec(), ..options(terms, on_error) };
        let (state, driver) = (Memory::new(&stored), Alone(Arc::clone(&counters)));
        let runner = Runner::new(options, Box::new(Alarm), Some(Box::new(state)), Box::new(driver));
        Self { runner, stored, counters, on_error, sent: Vec::new() }
    }

    /// The same after a stop, in another process.
    fn again(self) -> Self {
        let stored = self.stored.lock().unwrap().clone();
        Self { sent: self.sent, ..Self::from(self.on_error, stored) }
    }

    fn records(&mut self, records: &[(&str, String)]) -> Result<(), NodeError> {
        let mut writer = FrameWriter::new(Vec::new());
        for (source, (key, value)) in (0..).zip(records) {
            let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
            writer.push(RecordView { timestamp_ms: 0, source, key, value, headers: &[] });
        }
        let origins = (0..records.len()).map(|at| Origin::new(0, at as i64)).collect();
        let mut out = Vec::new();
        self.runner.run(0, &Batch { frame: writer.finish(), origins }, &mut out)?;
        assert!(out.is_empty());
        Ok(())
    }

    fn says(&mut self, key: &str, value: &str) {
        self.records(&[(key, value.to_owned())]).unwrap();
    }

    fn advance(&mut self, to: Watermark) -> Result<(), NodeError> {
        self.until_done(|runner, out| runner.advance(to, out))
    }

    fn wake(&mut self, now_ms: i64) -> Result<(), NodeError> {
        self.until_done(|runner, out| runner.wake(now_ms, out))
    }

    fn until_done(
        &mut self,
        mut go_on: impl FnMut(&mut Runner, &mut Vec<(u32, Batch)>) -> Result<Advanced, NodeError>,
    ) -> Result<(), NodeError> {
        loop {
            let mut out = Vec::new();
            let advanced = go_on(&mut self.runner, &mut out);
            for (_, batch) in out {
                let key = |key: Option<&[u8]>| String::from_utf8(key.unwrap().to_vec()).unwrap();
                self.sent.extend(batch.frame.records().map(|record| (key(record.key), record.timestamp_ms)));
            }
            if advanced? != Advanced::More {
                return Ok(());
            }
        }
    }

    fn sent(&self) -> Vec<(&str, i64)> {
        self.sent.iter().map(|(key, at)| (key.as_str(), *at)).collect()
    }

    fn timers(&self) -> usize {
        self.stored.lock().unwrap().timers.len()
    }
}

#[test]
fn a_timer_fires_once_when_its_time_has_come_unless_it_is_cancelled() {
    let mut node = Node::new(OnError::Fail);
    for (key, what) in [("b", "set 20"), ("a", "set 10"), ("a", "set 10"), ("a", "set 30"), ("a", "cancel 30")] {
        node.says(key, what);
    }
    node.says("a", "cancel 99");
    node.advance(Watermark::at(19)).unwrap();
    assert_eq!(node.sent(), [("a", 10)]);
    // One in the past fires when time goes on.
    node.says("c", "set 5");
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent()[1..], [("c", 5), ("b", 20)]);
    assert_eq!(node.timers(), 0);
}

#[test]
fn what_a_timer_sets_comes_before_a_later_one_of_its_key() {
    let mut node = Node::new(OnError::Fail);
    for what in ["every 15", "set 10", "set 30"] {
        node.says("a", what);
    }
    node.advance(Watermark::at(45)).unwrap();
    assert_eq!(node.sent(), [("a", 10), ("a", 25), ("a", 30), ("a", 40), ("a", 45)]);
}

#[test]
fn timers_outlive_their_node() {
    let mut node = Node::new(OnError::Fail);
    node.says("a", "set 10");
    let mut node = node.again();
    node.says("a", "set 5");
    node.advance(Watermark::at(10)).unwrap();
    assert_eq!((node.sent(), node.timers()), (vec![("a", 5), ("a", 10)], 0));
}

#[test]
fn timers_that_set_each_other_without_end_are_a_storm() {
    let mut node = Node::new(OnError::Fail);
    for what in ["every 1", "set 1"] {
        node.says("a", what);
    }
    // A day of seconds is none.
    node.advance(Watermark::at(86_400)).unwrap();
    assert_eq!(node.sent.len(), 86_400);
    assert_storms(&mut node, Watermark::END);
    let mut node = Node::new(OnError::Skip);
    for what in ["every 0", "set 1"] {
        node.says("a", what);
    }
    assert_storms(&mut node, Watermark::at(1));
    assert_eq!(node.timers(), 1, "set again by what has just fired");
}

fn assert_storms(node: &mut Node, to: Watermark) {
    let error = node.advance(to).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("a timer storm"), "{cause}");
    assert_eq!(error.fault(), weir_core::Fault::User);
}

#[test]
fn a_timer_that_fails_is_named_or_skipped_alone_and_over() {
    for key in ["bad", "worse"] {
        let mut node = Node::new(OnError::Skip);
        for (key, what) in [("a", "set 1"), (key, "set 2"), (key, "set 9"), ("c", "set 3")] {
            node.says(key, what);
        }
        node.advance(Watermark::at(8)).unwrap();
        assert_eq!(node.sent(), [("a", 1), ("c", 3)], "{key}");
        assert_eq!((node.counters.skipped.load(Ordering::Relaxed), node.timers()), (1, 1));
        let mut node = Node::new(OnError::DeadLetter);
        for (key, what) in [("a", "set 1"), (key, "set 2"), (key, "set 9"), ("c", "set 3")] {
            node.says(key, what);
        }
        node.advance(Watermark::at(8)).unwrap();
        assert_eq!(node.sent(), [("a", 1), ("c", 3), (key, 2)], "the letter has its key and its time");
        assert_eq!((node.counters.dead_lettered.load(Ordering::Relaxed), node.timers()), (1, 1));
        let mut node = Node::new(OnError::Fail);
        node.says("a", "set 1");
        node.says(key, "set 2");
        let error = node.advance(Watermark::END).unwrap_err();
        assert_eq!(error.to_string(), format!("operator \"o\" failed on the timer of key {key:?} at 2 ms"));
        assert_eq!(node.sent(), [("a", 1)], "what came before it is out");
    }
}

#[test]
fn a_mass_of_timers_fires_in_order_about_a_batch_at_once() {
    let mut node = Node::new(OnError::Fail);
    let keys: Vec<String> = (0..5_000).map(|n| format!("{n:04}")).collect();
    let records: Vec<(&str, String)> = keys.iter().map(|key| (key.as_str(), "set 7".to_owned())).collect();
    node.records(&records).unwrap();
    // Nothing of it is in memory any more.
    let mut node = node.again();
    let mut out = Vec::new();
    assert_eq!(node.runner.advance(Watermark::at(7), &mut out).unwrap(), Advanced::More);
    let first = out.iter().map(|(_, batch)| batch.frame.len()).sum::<usize>();
    assert!(first <= 1_024, "{first}");
    node.advance(Watermark::at(7)).unwrap();
    assert_eq!(first + node.sent.len(), 5_000);
    assert!(node.sent.is_sorted() && node.timers() == 0);
}

#[test]
fn a_timer_of_processing_time_waits_for_the_clock_alone() {
    let mut node = Node::new(OnError::Fail);
    for (key, what) in [("a", "wake 20"), ("b", "wake 10"), ("a", "wake 30"), ("a", "sleep 30"), ("c", "set 15")] {
        node.says(key, what);
    }
    assert_eq!(node.runner.wakes_at(), Some(i64::MIN), "what the table holds is not known yet");
    node.wake(9).unwrap();
    assert_eq!((node.sent(), node.runner.wakes_at()), (vec![], Some(10)));
    node.advance(Watermark::at(1_000)).unwrap();
    assert_eq!(node.sent(), [("c", 15)]);
    node.wake(20).unwrap();
    // What they send is not late where event time has gone on.
    assert_eq!(node.sent()[1..], [("b", 1_000), ("a", 1_000)]);
    assert_eq!((node.runner.wakes_at(), node.timers()), (None, 0));
}

#[test]
fn timers_that_were_due_while_nobody_ran_fire_at_once() {
    let mut node = Node::new(OnError::Fail);
    for what in ["wake 10", "wake 500", "every 100"] {
        node.says("a", what);
    }
    let mut node = node.again();
    assert_eq!(node.runner.wakes_at(), Some(i64::MIN));
    node.wake(400).unwrap();
    assert_eq!(node.sent(), [("a", 10), ("a", 110), ("a", 210), ("a", 310)]);
    assert_eq!((node.runner.wakes_at(), node.timers()), (Some(410), 2));
}

#[test]
fn at_the_end_of_time_each_fires_once_and_what_it_sets_is_for_another_start() {
    let mut node = Node::new(OnError::Fail);
    let keys: Vec<String> = (0..5_000).map(|n| format!("{n:04}")).collect();
    for what in ["every 10", "wake 70"] {
        let records: Vec<(&str, String)> = keys.iter().map(|key| (key.as_str(), what.to_owned())).collect();
        node.records(&records).unwrap();
    }
    // Most of it is in the table alone, behind what fires sets.
    let mut node = node.again();
    node.advance(Watermark::END).unwrap();
    assert!(node.sent.iter().all(|(_, at)| *at == 70));
    assert_eq!((node.sent.len(), node.timers()), (5_000, 5_000));
    let mut node = node.again();
    node.sent.clear();
    node.wake(80).unwrap();
    assert_eq!((node.sent.len(), node.timers()), (5_000, 5_000));
}

#[test]
fn timers_of_processing_time_that_are_due_when_they_are_set_are_a_storm() {
    let mut node = Node::new(OnError::Fail);
    for what in ["every 0", "wake 1"] {
        node.says("a", what);
    }
    // The clock goes on meanwhile: it is no excuse.
    let mut now_ms = 1;
    let storm = std::iter::repeat_with(|| {
        now_ms += 1;
        node.wake(now_ms)
    });
    let storm = storm.take(100).find_map(Result::err).expect("a storm");
    assert!(std::error::Error::source(&storm).unwrap().to_string().contains("a timer storm"), "{storm}");
}

/// The due lists of `wit/golden/due.json`.
#[derive(serde::Deserialize)]
struct DueLists {
    timers: Vec<DueTimers>,
    windows: Vec<DueWindows>,
}

#[derive(serde::Deserialize)]
struct DueTimers {
    name: String,
    table: u32,
    reached: Option<i64>,
    timers: Vec<DueTimer>,
    hex: String,
}

#[derive(serde::Deserialize)]
struct DueTimer {
    key: String,
    time: i64,
    timestamp: i64,
}

#[derive(serde::Deserialize)]
struct DueWindows {
    name: String,
    windows: Vec<DueWindow>,
    hex: String,
}

#[derive(serde::Deserialize)]
struct DueWindow {
    key: String,
    start: i64,
    end: i64,
    timestamp: i64,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn due_lists_are_written_as_the_vectors_say() {
    let lists = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../wit/golden/due.json")).unwrap();
    let lists: DueLists = serde_json::from_slice(&lists).unwrap();
    for DueTimers { name, table, reached, timers, hex: wanted } in lists.timers {
        let due = timers.iter().map(|timer| Timer { time_ms: timer.time, key: bytes(&timer.key).into() });
        let due: Vec<Due> = due.map(|timer| Due { timer, next_round: 1 }).collect();
        let list = due_list(&due, table, reached.unwrap_or(i64::MIN));
        assert_eq!(hex(list.frame.as_bytes()), wanted, "{name}");
        let timestamps: Vec<i64> = list.frame.records().map(|record| record.timestamp_ms).collect();
        assert_eq!(timestamps, timers.iter().map(|timer| timer.timestamp).collect::<Vec<_>>(), "{name}");
    }
    for DueWindows { name, windows, hex: wanted } in lists.windows {
        let mut names = crate::windows::names::Names::default();
        for window in &windows {
            names.push(&bytes(&window.key), weir_time::Window::new(window.start, window.end));
        }
        let list = crate::windows::due_list(names.windows(), i64::MIN);
        assert_eq!(hex(list.frame.as_bytes()), wanted, "{name}");
        let timestamps: Vec<i64> = list.frame.records().map(|record| record.timestamp_ms).collect();
        assert_eq!(timestamps, windows.iter().map(|window| window.timestamp).collect::<Vec<_>>(), "{name}");
    }
}

/// What happens to a node.
#[derive(Debug, Clone)]
enum Step {
    Record(&'static str, &'static str, i64),
    /// Time goes on by so much.
    Advance(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = prop::sample::select(vec!["a", "b", "cc"]);
    let record = prop_oneof![
        6 => (keys.clone(), 0..200i64).prop_map(|(key, at)| Step::Record(key, "set", at)),
        2 => (keys.clone(), 0..200i64).prop_map(|(key, at)| Step::Record(key, "cancel", at)),
        1 => (keys, 3..50i64).prop_map(|(key, by)| Step::Record(key, "every", by)),
    ];
    prop::collection::vec(prop_oneof![6 => record, 1 => (1..40i64).prop_map(Step::Advance)], 0..120)
}

/// Runs `steps` in batches of at most `batch` records, beginning anew after every `restart` steps: for each key when its
/// timers fired, and how many are left.
fn run(steps: &[Step], batch: usize, restart: usize) -> (BTreeMap<String, Vec<i64>>, usize) {
    let mut node = Node::new(OnError::Fail);
    let (mut now, mut waiting) = (0, Vec::new());
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Record(key, what, number) => waiting.push((*key, format!("{what} {number}"))),
            Step::Advance(by) => {
                node.records(&std::mem::take(&mut waiting)).unwrap();
                now += by;
                node.advance(Watermark::at(now)).unwrap();
            }
        }
        if waiting.len() == batch || at % restart == 0 {
            node.records(&std::mem::take(&mut waiting)).unwrap();
        }
        if at % restart == 0 {
            node = node.again();
        }
    }
    node.records(&waiting).unwrap();
    let mut fired = BTreeMap::<String, Vec<i64>>::new();
    let left = node.timers();
    node.sent.into_iter().for_each(|(key, at)| fired.entry(key).or_default().push(at));
    (fired, left)
}

/// The same, one timer after the other.
fn model(steps: &[Step]) -> (BTreeMap<String, Vec<i64>>, usize) {
    let (mut timers, mut periods, mut now) = (BTreeSet::new(), BTreeMap::new(), 0);
    let mut fired = BTreeMap::<String, Vec<i64>>::new();
    for step in steps {
        match *step {
            Step::Record(key, "set", at) => drop(timers.insert((at, key))),
            Step::Record(key, "cancel", at) => drop(timers.remove(&(at, key))),
            Step::Record(key, _, by) => drop(periods.insert(key, by)),
            Step::Advance(by) => {
                now += by;
                while let Some((at, key)) = timers.first().copied().filter(|(at, _)| *at <= now) {
                    timers.pop_first();
                    fired.entry(key.to_owned()).or_default().push(at);
                    timers.extend(periods.get(key).map(|by| (at + by, key)));
                }
            }
        }
    }
    (fired, timers.len())
}

proptest! {
    #[test]
    fn each_key_fires_the_same_whatever_the_batches_and_wherever_it_begins_anew(
        steps in steps(),
        batch in 1..40usize,
        restart in 1..60usize,
    ) {
        let expected = model(&steps);
        prop_assert_eq!(&run(&steps, batch, restart), &expected);
        prop_assert_eq!(&run(&steps, 1, usize::MAX), &expected);
    }
}

#[test]
fn what_is_kept_for_a_timer_is_there_when_it_fires() {
    let ttl = Some(Ttl::Event(NonZeroU64::new(10).unwrap()));
    let mut node = Node::with(Table { ttl, ..VALUES }, OnError::Fail, Stored::default());
    let times = |node: &Node| {
        let mut stored = node.stored.lock().unwrap();
        let times = std::mem::take(&mut stored.times);
        times.iter().map(|now| (now.event_ms, now.written_ms)).collect::<Vec<_>>()
    };
    // Records of the tests have the timestamp 0, which stands for event time before it has begun.
    node.says("a", "set 5");
    assert_eq!(times(&node), [(None, Some(0))]);
    node.advance(Watermark::at(3)).unwrap();
    assert_eq!(times(&node), [(Some(3), Some(3))]);
    node.advance(Watermark::at(90)).unwrap();
    assert_eq!(times(&node), [(Some(3), Some(3)), (Some(90), Some(90))], "the timer first, then the time");
    node.advance(Watermark::END).unwrap();
    assert_eq!(times(&node), [], "nothing expires by the end of time");
    node.says("a", "set 95");
    assert_eq!(times(&node), [(Some(90), Some(90))]);
}
