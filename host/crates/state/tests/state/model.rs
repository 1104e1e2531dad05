//! Random lives of a shard against a plain map: changes, epochs, evictions, crashes at any point, other parallelism.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::Config;
use tempfile::TempDir;
use weir_core::key_group::{KeyGroup, key_hash};
use weir_core::ports::{Change, Delta, EpochLog, KeyRef, KeyedState, StateStore};
use weir_core::{Epoch, OperatorId, TableId};
use weir_state::{RocksStore, StateDir};

use crate::{change, copy_dir, decode_values, load, open};

const TABLES: [TableId; 2] = [TableId(0), TableId(1)];
const KEYS: u16 = 300;
/// So little that entries are evicted all the time.
const MEMORY: u64 = 48 << 10;

#[derive(Debug, Clone)]
enum Step {
    Load {
        from: u16,
        count: u16,
    },
    Change {
        table: u16,
        from: u16,
        count: u16,
        value: Option<u8>,
        len: usize,
    },
    Seal,
    Commit,
    Join,
    Flush,
    Trim,
    /// Kill -9: only files survive. If an epoch is sealed, `held` says whether Kafka had committed it; if it had not,
    /// the last `torn` bytes of the log may be missing.
    Crash {
        held: bool,
        torn: u64,
        parallelism: u16,
    },
    /// Recovery in place: tasks and log are dropped, the store survives.
    Recover {
        held: bool,
        parallelism: u16,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let range = || (0..KEYS, 1..80u16);
    prop_oneof![
        6 => range().prop_map(|(from, count)| Step::Load { from, count }),
        8 => (0..2u16, range(), proptest::option::weighted(0.8, any::<u8>()), 0..120usize)
            .prop_map(|(table, (from, count), value, len)| Step::Change { table, from, count, value, len }),
        4 => Just(Step::Seal),
        4 => Just(Step::Commit),
        2 => Just(Step::Join),
        1 => Just(Step::Flush),
        1 => Just(Step::Trim),
        1 => (any::<bool>(), 0..5000u64, 1..5u16)
            .prop_map(|(held, torn, parallelism)| Step::Crash { held, torn, parallelism }),
        1 => (any::<bool>(), 1..5u16).prop_map(|(held, parallelism)| Step::Recover { held, parallelism }),
    ]
}

type Model = BTreeMap<(u16, u16), Vec<u8>>;

/// A shard, and what it must hold.
struct Shard {
    temp: TempDir,
    dir: StateDir,
    log: Option<Box<dyn EpochLog>>,
    store: Arc<RocksStore>,
    tasks: Vec<Box<dyn KeyedState>>,
    now: Model,
    sealed: Option<(Epoch, Model, Vec<Delta>)>,
    committed: (Epoch, Model),
}

impl Shard {
    fn new() -> Self {
        let temp = tempfile::tempdir().expect("temp dir");
        let dir = open(temp.path()).expect("opens");
        let mut log = dir.log().expect("log");
        let store = dir.store(MEMORY).expect("store");
        // As the engine does: the first epoch of an attempt is empty.
        log.append(Epoch(1), b"1", &[], true).expect("appends");
        store.apply(&log.records()[0], Vec::new()).expect("applies");
        let committed = (Epoch(1), Model::new());
        let mut shard =
            Self { temp, dir, log: Some(log), store, tasks: Vec::new(), now: Model::new(), sealed: None, committed };
        shard.start_tasks(1);
        shard
    }

    fn log(&mut self) -> &mut dyn EpochLog {
        self.log.as_deref_mut().expect("open but for a recovery")
    }

    fn start_tasks(&mut self, parallelism: u16) {
        let share = |_| self.store.open(OperatorId(9), (1, u32::from(parallelism)));
        self.tasks = (0..parallelism).map(share).collect();
    }

    fn task_of(&self, key: &[u8]) -> usize {
        usize::from(KeyGroup::of_hash(key_hash(key)).task_of(self.tasks.len() as u16))
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Load { from, count } => self.load(from..(from + count).min(KEYS)),
            Step::Change { table, from, count, value, len } => {
                for id in from..(from + count).min(KEYS) {
                    self.change(table, id, value.map(|byte| vec![byte; len]));
                }
            }
            Step::Seal => self.seal(),
            Step::Commit => self.commit(),
            Step::Join => self.store.join().expect("joins"),
            Step::Flush => self.store.flush().expect("flushes"),
            Step::Trim => {
                let durable = self.store.durable();
                self.log().trim(durable).expect("trims");
            }
            Step::Crash { held, torn, parallelism } => self.crash(held, torn, parallelism),
            Step::Recover { held, parallelism } => {
                self.settle(held);
                self.restore(parallelism);
            }
        }
    }

    fn load(&mut self, ids: std::ops::Range<u16>) {
        let names: Vec<[u8; 2]> = ids.map(u16::to_be_bytes).collect();
        for task in 0..self.tasks.len() {
            let mine: Vec<&[u8; 2]> = names.iter().filter(|name| self.task_of(*name) == task).collect();
            let keys: Vec<KeyRef<'_>> =
                mine.iter().map(|name| KeyRef { hash: key_hash(*name), bytes: *name }).collect();
            let mut out = Vec::new();
            load(self.tasks[task].as_mut(), &TABLES, &keys, &mut out);
            let expected: Vec<Option<Vec<u8>>> = mine
                .iter()
                .flat_map(|name| TABLES.map(|table| self.now.get(&(table.0, u16::from_be_bytes(**name))).cloned()))
                .collect();
            assert_eq!(decode_values(&out), expected);
        }
    }

    fn change(&mut self, table: u16, id: u16, value: Option<Vec<u8>>) {
        let name = id.to_be_bytes();
        let task = self.task_of(&name);
        let what = value.as_deref().map_or(Change::Clear, Change::Set);
        change(self.tasks[task].as_mut(), TableId(table), KeyRef { hash: key_hash(&name), bytes: &name }, what);
        match value {
            Some(value) => self.now.insert((table, id), value),
            None => self.now.remove(&(table, id)),
        };
    }

    fn seal(&mut self) {
        if self.sealed.is_none() {
            let epoch = self.committed.0.next();
            let deltas: Vec<Delta> = self.tasks.iter_mut().map(|task| task.seal(epoch)).collect();
            self.log().append(epoch, epoch.to_string().as_bytes(), &deltas, true).expect("appends");
            self.sealed = Some((epoch, self.now.clone(), deltas));
        }
    }

    fn commit(&mut self) {
        if let Some((epoch, model, deltas)) = self.sealed.take() {
            self.tasks.iter_mut().for_each(|task| task.commit(epoch));
            let record = self.log().records().last().expect("a record").clone();
            assert_eq!(record.epoch, epoch);
            self.store.apply(&record, deltas).expect("applies");
            self.committed = (epoch, model);
        }
    }

    /// The engine ends: the sealed epoch holds or does not, what came after it is gone.
    fn settle(&mut self, held: bool) {
        if let Some((epoch, model, _)) = self.sealed.take().filter(|_| held) {
            self.committed = (epoch, model);
        }
        self.now = self.committed.1.clone();
        self.tasks.clear();
        self.log = None;
        self.store.join().expect("joins");
    }

    fn crash(&mut self, held: bool, torn: u64, parallelism: u16) {
        let uncommitted = self.sealed.is_some() && !held;
        let after = tempfile::tempdir().expect("temp dir");
        copy_dir(self.temp.path(), after.path());
        self.settle(held);
        if uncommitted {
            tear(after.path(), torn);
        }
        self.dir = open(after.path()).expect("opens");
        self.store = self.dir.store(MEMORY).expect("store");
        self.temp = after;
        self.restore(parallelism);
    }

    /// The start path: cut, replay, new tasks.
    fn restore(&mut self, parallelism: u16) {
        let mut log = self.dir.log().expect("log");
        let truth = self.committed.0;
        let index = log.records().iter().position(|record| record.epoch == truth).expect("the truth is in the log");
        assert_eq!(log.manifest(index).expect("reads"), truth.to_string());
        log.cut_after(index).expect("cuts");
        let store = Arc::clone(&self.store);
        let applied = store.applied();
        assert!(applied.as_ref().is_none_or(|applied| applied.epoch <= truth), "the store is never ahead");
        log.replay(applied.as_ref(), index, &mut |record, delta| store.apply(record, vec![delta])).expect("replays");
        store.join().expect("joins");
        assert_eq!(store.applied(), Some(log.records()[index].clone()));
        self.log = Some(log);
        self.start_tasks(parallelism);
        self.load(0..KEYS);
    }
}

/// Takes up to `bytes` from the end of the last record.
fn tear(dir: &std::path::Path, bytes: u64) {
    let mut segments: Vec<_> =
        fs::read_dir(dir.join("log")).expect("lists").map(|e| e.expect("entry").path()).collect();
    segments.sort();
    let last = segments.last().expect("a segment");
    let content = fs::read(last).expect("reads");
    let begin = content.windows(4).rposition(|window| window == b"WEIR").expect("a record");
    let keep = (content.len() as u64).saturating_sub(bytes).max(begin as u64);
    fs::write(last, &content[..keep as usize]).expect("tears");
}

proptest! {
    #![proptest_config(Config { cases: 32, failure_persistence: None, ..Config::default() })]

    #[test]
    fn every_life_of_a_shard_reads_what_a_map_would(steps in proptest::collection::vec(step(), 1..120)) {
        let mut shard = Shard::new();
        for step in steps {
            shard.take(step);
        }
        shard.load(0..KEYS);
    }
}
