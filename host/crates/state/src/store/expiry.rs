//! What is past its time leaves RocksDB when compaction comes by: no read looks for it, and none would see it.
//!
//! A value is dropped only by a time that an epoch which holds has reached: a restart goes on from there or later, so that
//! whatever it reads is past its time then, too. Event time of an operator is that of the task that is behind; the clock on
//! the wall is the same for all.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rocksdb::CompactionDecision;
use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};
use weir_core::ports::{Now, Table, TimeDomain, expires_and_value};
use weir_core::{OperatorId, TableId};

use crate::delta;

/// What is known of tables that expire: tasks tell it, compactions ask for it.
#[derive(Default)]
pub(crate) struct Expiry(Mutex<BTreeMap<OperatorId, Expiring>>);

#[derive(Default)]
struct Expiring {
    tables: BTreeMap<TableId, TimeDomain>,
    tasks: Vec<Weak<TaskTime>>,
}

/// How far the times of one task have come in the epochs that hold: milliseconds, `i64::MIN` before the first.
pub(crate) struct TaskTime {
    event_ms: AtomicI64,
    processing_ms: AtomicI64,
}

impl TaskTime {
    /// An epoch holds, at whose end it was `now`.
    pub(crate) fn holds(&self, now: Now) {
        self.event_ms.store(now.event_ms.unwrap_or(i64::MIN), Ordering::Relaxed);
        self.processing_ms.store(now.processing_ms, Ordering::Relaxed);
    }
}

impl Expiry {
    /// A new task of `operator`.
    pub(crate) fn task(&self, operator: OperatorId) -> Arc<TaskTime> {
        let time = TaskTime { event_ms: AtomicI64::new(i64::MIN), processing_ms: AtomicI64::new(i64::MIN) };
        let time = Arc::new(time);
        let mut operators = self.operators();
        let tasks = &mut operators.entry(operator).or_default().tasks;
        tasks.retain(|task| task.strong_count() > 0);
        tasks.push(Arc::downgrade(&time));
        time
    }

    /// These are the tables of `operator` that expire.
    pub(crate) fn set_tables(&self, operator: OperatorId, tables: &[Table]) {
        let expiring = tables.iter().filter_map(|table| Some((table.id, table.ttl?.domain())));
        self.operators().entry(operator).or_default().tables = expiring.collect();
    }

    /// For each table: what expires by this time is gone.
    fn reached(&self) -> HashMap<(OperatorId, TableId), i64> {
        let mut reached = HashMap::new();
        for (operator, Expiring { tables, tasks }) in &*self.operators() {
            let tasks: Vec<_> = tasks.iter().filter_map(Weak::upgrade).collect();
            let event_ms = tasks.iter().map(|task| task.event_ms.load(Ordering::Relaxed)).min();
            let processing_ms = tasks.iter().map(|task| task.processing_ms.load(Ordering::Relaxed)).max();
            for (table, domain) in tables {
                let ms = if *domain == TimeDomain::Event { event_ms } else { processing_ms };
                reached.insert((*operator, *table), ms.unwrap_or(i64::MIN));
            }
        }
        reached
    }

    fn operators(&self) -> MutexGuard<'_, BTreeMap<OperatorId, Expiring>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a filter for each compaction.
pub(super) struct Filters(pub(super) Arc<Expiry>);

/// Drops what had expired when the compaction began.
pub(super) struct Filter(HashMap<(OperatorId, TableId), i64>);

impl CompactionFilterFactory for Filters {
    type Filter = Filter;

    fn create(&mut self, _: CompactionFilterContext) -> Filter {
        Filter(self.0.reached())
    }

    fn name(&self) -> &CStr {
        c"weir-expiry"
    }
}

impl CompactionFilter for Filter {
    fn filter(&mut self, _level: u32, key: &[u8], value: &[u8]) -> CompactionDecision {
        let reached_ms = delta::parse_key(key).and_then(|(operator, table, _)| self.0.get(&(operator, table)));
        match reached_ms.zip(expires_and_value(value)) {
            Some((reached_ms, (expires_ms, _))) if expires_ms <= *reached_ms => CompactionDecision::Remove,
            _ => CompactionDecision::Keep,
        }
    }

    fn name(&self) -> &CStr {
        c"weir-expiry"
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use rocksdb::IteratorMode;
    use weir_core::key_group::key_hash;
    use weir_core::ports::{Change, KeyRef, KeyedState, StateStore, TableKind, Ttl};
    use weir_core::{Digest, Epoch, JobName, RecordId, ShardId};

    use super::*;
    use crate::{RocksStore, StateDir};

    const OPERATOR: OperatorId = OperatorId(1);

    fn tables() -> [Table; 3] {
        let hundred = NonZeroU64::new(100).unwrap();
        let table = |id, kind, ttl| Table { id: TableId(id), kind, ttl };
        [
            table(0, TableKind::Value, Some(Ttl::Event(hundred))),
            table(1, TableKind::Map, Some(Ttl::Processing(hundred))),
            table(2, TableKind::Value, None),
        ]
    }

    fn now(event_ms: i64, processing_ms: i64) -> Now {
        Now { event_ms: Some(event_ms), written_ms: Some(event_ms), processing_ms }
    }

    /// Writes `key` in each table.
    fn write(state: &mut dyn KeyedState, key: &[u8], at: Now) {
        let [value, map, kept] = tables();
        state.set_time(at, &tables()[..2]);
        state.enter(&[KeyRef { hash: key_hash(key), bytes: key }]);
        state.change(0, value, Change::Set(key)).unwrap();
        state.change(0, map, Change::Put { entry: b"e", value: key }).unwrap();
        state.change(0, kept, Change::Set(key)).unwrap();
    }

    fn apply(store: &RocksStore, states: &mut [&mut Box<dyn KeyedState>], epoch: u64) {
        let deltas = states.iter_mut().map(|state| state.seal(Epoch(epoch))).collect();
        states.iter_mut().for_each(|state| state.commit(Epoch(epoch)));
        let record = RecordId { epoch: Epoch(epoch), digest: Digest(epoch.to_string()) };
        store.apply(&record, deltas).unwrap();
        store.flush().unwrap();
    }

    /// What is left after a compaction, by table.
    fn left(store: &RocksStore) -> Vec<(u16, usize)> {
        store.shared.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        let keys = store.shared.db.iterator(IteratorMode::Start).map(|entry| entry.unwrap().0);
        let tables: Vec<u16> = keys.filter_map(|key| Some(delta::parse_key(&key)?.1.0)).collect();
        (0..3).map(|table| (table, tables.iter().filter(|of| **of == table).count())).collect()
    }

    #[test]
    fn compaction_drops_what_every_task_is_past_in_an_epoch_that_holds() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path(), &JobName::new("j").unwrap(), ShardId(0)).unwrap();
        let store = dir.store(1 << 20).unwrap();
        let (mut one, mut other) = (store.open(OPERATOR, (1, 2)), store.open(OPERATOR, (1, 2)));
        write(one.as_mut(), b"a", now(0, 0));
        write(one.as_mut(), b"b", now(50, 50));
        apply(&store, &mut [&mut one, &mut other], 1);
        assert_eq!(left(&store), [(0, 2), (1, 2), (2, 2)]);
        // The first is past them in both times, and no epoch that says so holds.
        one.set_time(now(149, 149), &tables()[..2]);
        assert_eq!(left(&store), [(0, 2), (1, 2), (2, 2)]);
        // Now one does; the other task is behind in event time, and the clock is that of both.
        apply(&store, &mut [&mut one, &mut other], 2);
        assert_eq!(left(&store), [(0, 2), (1, 1), (2, 2)]);
        other.set_time(now(100, 150), &tables()[..2]);
        apply(&store, &mut [&mut one, &mut other], 3);
        assert_eq!(left(&store), [(0, 1), (1, 0), (2, 2)], "what expires at 100 is past its time at 100");
        // New tasks have not come as far as any epoch of theirs.
        drop((one, other));
        let mut restored = store.open(OPERATOR, (1, 1));
        restored.set_time(now(1_000, 1_000), &tables()[..2]);
        assert_eq!(left(&store), [(0, 1), (1, 0), (2, 2)]);
        apply(&store, &mut [&mut restored], 4);
        assert_eq!(left(&store), [(0, 0), (1, 0), (2, 2)]);
    }
}
