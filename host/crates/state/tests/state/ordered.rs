//! Lists and maps: what is read is what a plain list and map would hold, whatever was sealed, committed, applied, or lost
//! in a crash, and whichever bytes keys are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::Config;
use tempfile::TempDir;
use weir_core::ports::{Change, Delta, EpochLog, KeyRef, KeyedState, SCAN_BYTES_MAX, StateStore, Table, TableKind};
use weir_core::{Epoch, OperatorId, TableId};
use weir_state::{RocksStore, StateDir};

use crate::{copy_dir, decode_values, key, open, record};

const LIST: Table = Table { id: TableId(1), kind: TableKind::List, ttl: None };
const MAP: Table = Table { id: TableId(2), kind: TableKind::Map, ttl: None };
/// Keys that begin like each other, and like the length that stands before a key.
const KEYS: [&[u8]; 5] = [b"", b"a", b"ab", b"\0\0\0\x01a", b"a\xff"];
const ENTRIES: [&[u8]; 6] = [b"", b"a", b"ab", b"b", b"\xff", b"\xff\xff"];

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// `{key_len:u32, key, value_len:u32, value}*` in pairs.
fn pairs(bytes: &[u8]) -> Pairs {
    let values: Vec<Vec<u8>> = decode_values(bytes).into_iter().map(|value| value.expect("no null")).collect();
    values.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn scan(state: &mut dyn KeyedState, table: Table, user: &[u8], start: &[u8], limit: u32) -> (Pairs, bool) {
    let mut out = Vec::new();
    state.enter(&[key(user)]);
    let has_more = state.scan(table, 0, start, limit, &mut out).expect("scans");
    (pairs(&out), has_more)
}

fn elements(values: &[&[u8]]) -> Pairs {
    (0u64..).zip(values).map(|(index, value)| (index.to_be_bytes().to_vec(), value.to_vec())).collect()
}

fn change(state: &mut dyn KeyedState, table: Table, user: &[u8], change: Change<'_>) {
    state.enter(&[key(b"another"), key(user)]);
    state.change(1, table, change).expect("changes");
}

/// One task over a store that nobody shares.
fn task() -> (TempDir, Arc<RocksStore>, Box<dyn KeyedState>) {
    let temp = tempfile::tempdir().expect("temp dir");
    let store = open(temp.path()).expect("opens").store(1 << 20).expect("store");
    let state = store.open(OperatorId(1), (1, 1));
    (temp, store, state)
}

fn apply(store: &RocksStore, state: &mut dyn KeyedState, epoch: u64) {
    let delta = state.seal(Epoch(epoch));
    state.commit(Epoch(epoch));
    store.apply(&record(epoch), vec![delta]).expect("applies");
    store.join().expect("joins");
}

#[test]
fn a_list_that_was_cleared_begins_anew_wherever_its_elements_were() {
    for is_applied in [false, true] {
        let (_temp, store, mut state) = task();
        let state = state.as_mut();
        for value in [&b"x"[..], b"y", b"z"] {
            change(state, LIST, b"k", Change::Append(value));
        }
        apply(&store, state, 1);
        change(state, LIST, b"k", Change::Clear);
        if is_applied {
            apply(&store, state, 2);
        }
        assert_eq!(scan(state, LIST, b"k", &[], 10), (vec![], false));
        for value in [&b"1"[..], b"2", b"3"] {
            change(state, LIST, b"k", Change::Append(value));
        }
        assert_eq!(scan(state, LIST, b"k", &[], 10), (elements(&[b"1", b"2", b"3"]), false));
        let from_one = elements(&[b"1", b"2", b"3"])[1..2].to_vec();
        assert_eq!(scan(state, LIST, b"k", &1u64.to_be_bytes(), 1), (from_one, true), "counted from the first");
    }
}

#[test]
fn a_scan_ends_at_its_limit_at_its_bytes_and_at_the_end_of_its_key() {
    let (_temp, store, mut state) = task();
    let state = state.as_mut();
    let large = vec![7; SCAN_BYTES_MAX / 2];
    for entry in [&b"1"[..], b"2", b"3", b"4"] {
        change(state, MAP, b"k", Change::Put { entry, value: &large });
        change(state, MAP, b"k\0", Change::Put { entry, value: b"of another key" });
    }
    apply(&store, state, 1);
    change(state, MAP, b"k", Change::Put { entry: b"3", value: b"" });
    let seen = |(pairs, has_more): (Pairs, bool)| {
        (pairs.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect::<Vec<_>>().join(" "), has_more)
    };
    assert_eq!(seen(scan(state, MAP, b"k", b"", 1)), ("1".into(), true));
    assert_eq!(seen(scan(state, MAP, b"k", b"", 100)), ("1 2".into(), true), "its bytes are bounded");
    assert_eq!(seen(scan(state, MAP, b"k", b"2\0", 100)), ("3 4".into(), false));
    assert_eq!(seen(scan(state, MAP, b"k", b"5", 100)), (String::new(), false));
    assert_eq!(seen(scan(state, MAP, b"", b"", 100)), (String::new(), false));
    assert_eq!(seen(scan(state, MAP, b"k", b"", 0)), (String::new(), true), "there is something");
}

#[test]
fn changed_entries_fill_a_task_until_they_are_applied() {
    let (_temp, store, mut state) = task();
    let state = state.as_mut();
    let mut number = 0u32;
    while !state.is_full() {
        number += 1;
        change(state, LIST, b"k", Change::Append(&[7; 100]));
        change(state, MAP, b"k", Change::Put { entry: &number.to_be_bytes(), value: &[7; 100] });
        assert!(state.bytes() < 1 << 20, "it says so in time");
    }
    let delta = state.seal(Epoch(1));
    assert_eq!(delta.entries, 2 * u64::from(number));
    state.commit(Epoch(1));
    assert!(state.is_full(), "what holds and is not in the store still cannot go");
    store.apply(&record(1), vec![delta]).expect("applies");
    store.join().expect("joins");
    assert!(!state.is_full());
    assert_eq!(state.bytes(), 0);
    assert_eq!(scan(state, LIST, b"k", &[], u32::MAX).0.len() as u32, number);
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        user: usize,
        value: u8,
    },
    Put {
        user: usize,
        entry: usize,
        value: u8,
    },
    Delete {
        user: usize,
        entry: usize,
    },
    Clear {
        user: usize,
        list: bool,
    },
    Seal,
    Commit,
    Join,
    /// Kill -9; whether the sealed epoch holds.
    Crash {
        held: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (user, entry) = (|| 0..KEYS.len(), || 0..ENTRIES.len());
    prop_oneof![
        6 => (user(), any::<u8>()).prop_map(|(user, value)| Step::Append { user, value }),
        6 => (user(), entry(), any::<u8>()).prop_map(|(user, entry, value)| Step::Put { user, entry, value }),
        3 => (user(), entry()).prop_map(|(user, entry)| Step::Delete { user, entry }),
        1 => (user(), any::<bool>()).prop_map(|(user, list)| Step::Clear { user, list }),
        3 => Just(Step::Seal),
        3 => Just(Step::Commit),
        2 => Just(Step::Join),
        1 => any::<bool>().prop_map(|held| Step::Crash { held }),
    ]
}

/// What each key must have.
#[derive(Debug, Clone, Default)]
struct Model {
    lists: BTreeMap<usize, Vec<u8>>,
    maps: BTreeMap<(usize, usize), u8>,
}

struct Shard {
    temp: TempDir,
    dir: StateDir,
    log: Box<dyn EpochLog>,
    store: Arc<RocksStore>,
    task: Box<dyn KeyedState>,
    now: Model,
    sealed: Option<(Epoch, Model, Delta)>,
    committed: (Epoch, Model),
}

impl Shard {
    fn new() -> Self {
        let temp = tempfile::tempdir().expect("temp dir");
        let dir = open(temp.path()).expect("opens");
        let (mut log, store) = (dir.log().expect("log"), dir.store(1 << 20).expect("store"));
        log.append(Epoch(1), b"m", &[], true).expect("appends");
        let task = store.open(OperatorId(9), (1, 1));
        let committed = (Epoch(1), Model::default());
        Self { temp, dir, log, store, task, now: Model::default(), sealed: None, committed }
    }

    fn take(&mut self, step: Step) {
        let task = self.task.as_mut();
        match step {
            Step::Append { user, value } => {
                change(task, LIST, KEYS[user], Change::Append(&[value]));
                self.now.lists.entry(user).or_default().push(value);
            }
            Step::Put { user, entry, value } => {
                change(task, MAP, KEYS[user], Change::Put { entry: ENTRIES[entry], value: &[value] });
                self.now.maps.insert((user, entry), value);
            }
            Step::Delete { user, entry } => {
                change(task, MAP, KEYS[user], Change::Delete(ENTRIES[entry]));
                self.now.maps.remove(&(user, entry));
            }
            Step::Clear { user, list: true } => {
                change(task, LIST, KEYS[user], Change::Clear);
                self.now.lists.remove(&user);
            }
            Step::Clear { user, list: false } => {
                change(task, MAP, KEYS[user], Change::Clear);
                self.now.maps.retain(|(of, _), _| *of != user);
            }
            Step::Seal => self.seal(),
            Step::Commit => self.commit(),
            Step::Join => self.store.join().expect("joins"),
            Step::Crash { held } => self.crash(held),
        }
    }

    fn seal(&mut self) {
        if self.sealed.is_none() {
            let epoch = self.committed.0.next();
            let delta = self.task.seal(epoch);
            self.log.append(epoch, b"m", std::slice::from_ref(&delta), true).expect("appends");
            self.sealed = Some((epoch, self.now.clone(), delta));
        }
    }

    fn commit(&mut self) {
        if let Some((epoch, model, delta)) = self.sealed.take() {
            self.task.commit(epoch);
            let record = self.log.records().last().expect("a record").clone();
            self.store.apply(&record, vec![delta]).expect("applies");
            self.committed = (epoch, model);
        }
    }

    /// Another process finds the files as they are, and restores what holds.
    fn crash(&mut self, held: bool) {
        if let Some((epoch, model, _)) = self.sealed.take().filter(|_| held) {
            self.committed = (epoch, model);
        }
        self.now = self.committed.1.clone();
        let after = tempfile::tempdir().expect("temp dir");
        copy_dir(self.temp.path(), after.path());
        self.dir = open(after.path()).expect("opens");
        (self.log, self.store) = (self.dir.log().expect("log"), self.dir.store(1 << 20).expect("store"));
        self.temp = after;
        let (truth, store) = (self.committed.0, &self.store);
        let index = self.log.records().iter().position(|record| record.epoch == truth).expect("is in the log");
        self.log.cut_after(index).expect("cuts");
        let apply = &mut |record: &_, delta| store.apply(record, vec![delta]);
        self.log.replay(store.applied().as_ref(), index, apply).expect("replays");
        store.join().expect("joins");
        self.task = store.open(OperatorId(9), (1, 1));
    }

    /// Reads everything in every way.
    fn check(&mut self) {
        for (user, name) in KEYS.into_iter().enumerate() {
            let list = self.now.lists.get(&user).cloned().unwrap_or_default();
            let list: Pairs = (0u64..).zip(list).map(|(at, v)| (at.to_be_bytes().to_vec(), vec![v])).collect();
            assert_eq!(scan(self.task.as_mut(), LIST, name, &[], u32::MAX), (list.clone(), false), "list of {name:?}");
            let from_two = list.get(2..).unwrap_or_default().to_vec();
            assert_eq!(scan(self.task.as_mut(), LIST, name, &2u64.to_be_bytes(), u32::MAX).0, from_two);
            let map: BTreeMap<&[u8], u8> =
                (0..ENTRIES.len()).filter_map(|e| Some((ENTRIES[e], *self.now.maps.get(&(user, e))?))).collect();
            let all: Pairs = map.iter().map(|(entry, value)| (entry.to_vec(), vec![*value])).collect();
            assert_eq!(scan(self.task.as_mut(), MAP, name, &[], u32::MAX), (all.clone(), false), "map of {name:?}");
            for start in ENTRIES {
                let rest: Pairs = all.iter().filter(|(entry, _)| entry.as_slice() >= start).cloned().collect();
                let (two, has_more) = scan(self.task.as_mut(), MAP, name, start, 2);
                assert_eq!((two.as_slice(), has_more), (&rest[..rest.len().min(2)], rest.len() > 2));
            }
        }
        let keys: Vec<KeyRef<'_>> = KEYS.into_iter().map(key).collect();
        let wanted: Vec<(u32, &[u8])> =
            (0..KEYS.len() as u32).flat_map(|slot| ENTRIES.into_iter().map(move |entry| (slot, entry))).collect();
        let mut out = Vec::new();
        self.task.enter(&keys);
        self.task.get_many(MAP, &wanted, &mut out).expect("gets");
        let expected: Vec<Option<Vec<u8>>> = (0..KEYS.len())
            .flat_map(|user| (0..ENTRIES.len()).map(move |entry| (user, entry)))
            .map(|place| self.now.maps.get(&place).map(|value| vec![*value]))
            .collect();
        assert_eq!(decode_values(&out), expected);
    }
}

proptest! {
    #![proptest_config(Config { cases: 32, failure_persistence: None, ..Config::default() })]

    #[test]
    fn every_life_of_a_shard_reads_what_lists_and_maps_would(steps in proptest::collection::vec(step(), 1..120)) {
        let mut shard = Shard::new();
        for step in steps {
            shard.take(step);
            shard.check();
        }
    }
}
