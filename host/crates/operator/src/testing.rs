//! What the tests of nodes share: state in memory that outlives a node, and a driver that counts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use weir_core::frame::NULL;
use weir_core::ports::{CallError, Change, Delta, KeyRef, KeyedState, Now, Table, TableKind};
use weir_core::{Epoch, KeySpec, OnError, OperatorId, Origin, PortError, TableId, Watermark};

use crate::driver::Driver;
use crate::letters::LetterOptions;
use crate::runner::RunnerOptions;
use crate::splits::SplitTable;
use crate::version::Terms;

/// What outlives a node: the values of its tables by their slots' keys, and its timers, table by table in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) values: BTreeMap<(TableId, Vec<u8>), Vec<u8>>,
    pub(crate) timers: BTreeMap<Vec<u8>, ()>,
    /// What time it was told to be.
    pub(crate) times: Vec<Now>,
    /// Whether another task writes what all tasks have.
    pub(crate) is_followed: bool,
}

/// The state of a node, over what is stored.
pub(crate) struct Memory {
    stored: Arc<Mutex<Stored>>,
    slots: Vec<Vec<u8>>,
}

impl Memory {
    pub(crate) fn new(stored: &Arc<Mutex<Stored>>) -> Self {
        Self { stored: Arc::clone(stored), slots: Vec::new() }
    }
}

impl KeyedState for Memory {
    fn set_time(&mut self, now: Now, expiring: &[Table]) {
        assert!(expiring.iter().all(|table| table.ttl.is_some()) && !expiring.is_empty());
        self.stored.lock().unwrap().times.push(now);
    }
    fn follow(&mut self) {
        self.stored.lock().unwrap().is_followed = true;
    }
    fn enter(&mut self, keys: &[KeyRef<'_>]) {
        self.slots = keys.iter().map(|key| key.bytes.to_vec()).collect();
    }
    fn prefetch(&mut self, tables: &[Table], slots: Range<u32>, out: &mut Vec<u8>) -> Result<(), PortError> {
        let [table] = tables else { panic!("{tables:?}") };
        let stored = self.stored.lock().unwrap();
        for slot in slots {
            let value = stored.values.get(&(table.id, self.slots[slot as usize].clone()));
            out.extend_from_slice(&value.map_or(NULL, |value| value.len() as u32).to_le_bytes());
            out.extend(value.into_iter().flatten());
        }
        Ok(())
    }
    fn get_many(&mut self, table: Table, wanted: &[(u32, &[u8])], out: &mut Vec<u8>) -> Result<(), PortError> {
        if table.kind == TableKind::Broadcast {
            let [(NULL, entry)] = wanted else { panic!("{wanted:?}") };
            self.slots = vec![entry.to_vec()];
            return self.prefetch(&[table], 0..1, out);
        }
        wanted.iter().try_for_each(|(slot, _)| self.prefetch(&[table], *slot..slot + 1, out))
    }
    fn scan(&mut self, _: Table, _: u32, _: &[u8], _: u32, _: &mut Vec<u8>) -> Result<bool, PortError> {
        unreachable!("there are no lists")
    }
    fn timers(
        &mut self,
        table: Table,
        groups: Range<u16>,
        start: &[u8],
        limit: usize,
        out: &mut Vec<Vec<u8>>,
    ) -> Result<(), PortError> {
        assert!(table.kind.is_timer() && groups == (0..1024));
        out.extend(
            self.stored
                .lock()
                .unwrap()
                .timers
                .range(in_table(table, start)..)
                .map_while(|(timer, ())| timer.strip_prefix(in_table(table, &[]).as_slice()).map(<[u8]>::to_vec))
                .take(limit),
        );
        Ok(())
    }
    fn change(&mut self, slot: u32, table: Table, change: Change<'_>) -> Result<(), PortError> {
        let mut stored = self.stored.lock().unwrap();
        if let (TableKind::Broadcast, NULL, Change::Put { entry, value }) = (table.kind, slot, change) {
            stored.values.insert((table.id, entry.to_vec()), value.to_vec());
            return Ok(());
        }
        let key = &self.slots[slot as usize];
        let timer = |time: &[u8]| in_table(table, &[time, key].concat());
        match (table.kind.is_timer(), change) {
            (false, Change::Set(value)) => drop(stored.values.insert((table.id, key.clone()), value.to_vec())),
            (false, Change::Clear) => {
                let before = stored.values.remove(&(table.id, key.clone()));
                assert!(before.is_some() || table.kind == TableKind::Reducing, "what is cleared was there");
            }
            (true, Change::Put { entry, .. }) => drop(stored.timers.insert(timer(entry), ())),
            (true, Change::Delete(time)) => drop(stored.timers.remove(&timer(time))),
            other => panic!("{other:?}"),
        }
        Ok(())
    }
    fn seal(&mut self, _: Epoch) -> Delta {
        Delta::default()
    }
    fn commit(&mut self, _: Epoch) {}
    fn bytes(&self) -> u64 {
        0
    }
    fn is_full(&mut self) -> bool {
        false
    }
}

/// The bytes of a timer, behind its table.
fn in_table(table: Table, timer: &[u8]) -> Vec<u8> {
    [&table.id.0.to_be_bytes(), timer].concat()
}

/// How a node is set up of which nothing is special but these.
pub(crate) fn options(terms: Terms, on_error: OnError) -> RunnerOptions {
    RunnerOptions {
        index: 0,
        id: OperatorId(0),
        watermark: Watermark::NONE,
        name: "o".into(),
        key: KeySpec::Key,
        terms,
        outputs: vec![Vec::new()],
        on_error,
        letters: letters(on_error),
        windows: None,
        timers: Vec::new(),
        writes_broadcast: true,
    }
}

/// The output of dead letters, where a node's policy has them: behind all others that nodes have here.
pub(crate) const LETTERS: u32 = 2;

/// Where dead letters go by this policy.
pub(crate) fn letters(on_error: OnError) -> Option<LetterOptions> {
    let options = || LetterOptions { job: "j".into(), output: LETTERS, checks: Vec::new(), as_read: vec![true] };
    (on_error == OnError::DeadLetter).then(options)
}

/// What a node has told.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) processed: AtomicUsize,
    pub(crate) late: AtomicUsize,
    pub(crate) skipped: AtomicUsize,
    pub(crate) dead_lettered: AtomicUsize,
    pub(crate) fell_back: AtomicUsize,
    /// What splits are called.
    pub(crate) splits: Mutex<SplitTable>,
    /// What the clock says.
    pub(crate) now_ms: AtomicI64,
}

/// A driver that counts and names nothing.
pub(crate) struct Alone(pub(crate) Arc<Counters>);

impl Driver for Alone {
    fn processed(&self, records: usize) {
        self.0.processed.fetch_add(records, Ordering::Relaxed);
    }
    fn late(&self, records: usize) {
        self.0.late.fetch_add(records, Ordering::Relaxed);
    }
    fn skipped(&self, _: Origin, _: &CallError) {
        self.0.skipped.fetch_add(1, Ordering::Relaxed);
    }
    fn dead_lettered(&self) {
        self.0.dead_lettered.fetch_add(1, Ordering::Relaxed);
    }
    fn now_ms(&self) -> i64 {
        self.0.now_ms.load(Ordering::Relaxed)
    }
    fn with_splits(&self, look: &mut dyn FnMut(&SplitTable)) {
        look(&self.0.splits.lock().unwrap());
    }
}
