//! HOT PATH. The keyed state of one operator in one task: the layers in memory in front of RocksDB.
//!
//! Work is per batch: one pass over the keys, one read of RocksDB for those that are missing, one pass to write the
//! values out. Nothing is allocated for a key that is in memory, unless its value grows.

mod layers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use weir_core::ports::{Change, Delta, KeyRef, KeyedState};
use weir_core::{Epoch, OperatorId, PortError, TableId};

use crate::delta;
use crate::error::Error;
use crate::store::Shared;
use layers::Layers;

/// So many values at a time are pinned in the block cache.
const READ_KEYS_MAX: usize = 256;

/// Stands for an entry that is not there yet.
const MISSING: u32 = u32::MAX;

/// See the module.
pub(crate) struct TaskState {
    shared: Arc<Shared>,
    operator: OperatorId,
    budget: u64,
    layers: Layers,
    /// The entries of the active overlay, each once.
    active: Vec<u32>,
    /// The epoch that is sealed and not committed.
    sealed: Option<Epoch>,
    /// The last epoch sealed.
    last: Epoch,
    /// What the store shows of this task's memory.
    used: Arc<AtomicU64>,
    /// Scratch of `load`: the entry of each value asked for; which of them are missing; their state keys.
    found: Vec<u32>,
    missing: Vec<usize>,
    keys: Vec<u8>,
}

impl TaskState {
    pub(crate) fn new(shared: Arc<Shared>, operator: OperatorId, budget: u64, used: Arc<AtomicU64>) -> Self {
        Self {
            shared,
            operator,
            budget,
            layers: Layers::default(),
            active: Vec::new(),
            sealed: None,
            last: Epoch(0),
            used,
            found: Vec::new(),
            missing: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Reads what `load` did not find in memory, its absence too.
    fn read_missing(&mut self, tables: &[TableId], keys: &[KeyRef<'_>]) -> Result<(), Error> {
        let wanted = |at: usize| (tables[at % tables.len()], keys[at / tables.len()]);
        for chunk in self.missing.chunks(READ_KEYS_MAX) {
            self.keys.clear();
            for (table, key) in chunk.iter().map(|&at| wanted(at)) {
                delta::push_key(&mut self.keys, self.operator, table, key);
            }
            let mut rest = self.keys.as_slice();
            let state_keys: Vec<&[u8]> = chunk
                .iter()
                .map(|&at| rest.split_off(..delta::PREFIX + wanted(at).1.bytes.len()).unwrap_or_default())
                .collect();
            let values = self.shared.read(state_keys.iter().copied())?;
            for ((&at, state_key), value) in chunk.iter().zip(state_keys).zip(values) {
                let (table, key) = wanted(at);
                // A key may be asked for twice.
                let entry = self.layers.find(table, key);
                self.found[at] = entry.unwrap_or_else(|| self.layers.insert(table, state_key, value.as_deref()));
            }
        }
        Ok(())
    }
}

impl KeyedState for TaskState {
    fn load(&mut self, tables: &[TableId], keys: &[KeyRef<'_>], out: &mut Vec<u8>) -> Result<(), PortError> {
        self.found.clear();
        self.missing.clear();
        for &key in keys {
            for &table in tables {
                let entry = self.layers.find(table, key);
                if entry.is_none() {
                    self.missing.push(self.found.len());
                }
                self.found.push(entry.unwrap_or(MISSING));
            }
        }
        if !self.missing.is_empty() {
            self.read_missing(tables, keys)?;
        }
        for &entry in &self.found {
            delta::push_value(out, self.layers.read(entry).1);
        }
        self.layers.evict(self.shared.applied(), self.budget);
        self.used.store(self.layers.bytes(), Ordering::Relaxed);
        Ok(())
    }

    fn change(&mut self, table: TableId, key: KeyRef<'_>, change: Change<'_>) {
        let value = match change {
            Change::Set(value) => Some(value),
            Change::Clear => None,
        };
        let entry = self.layers.find(table, key).unwrap_or_else(|| {
            self.keys.clear();
            delta::push_key(&mut self.keys, self.operator, table, key);
            self.layers.insert(table, &self.keys, None)
        });
        if self.layers.change(entry, value) {
            self.active.push(entry);
        }
    }

    fn seal(&mut self, epoch: Epoch) -> Delta {
        assert!(self.sealed.is_none(), "epoch {epoch} is sealed while {:?} is not acknowledged (I2)", self.sealed);
        assert!(self.last < epoch, "epoch {epoch} is sealed after epoch {}", self.last);
        (self.sealed, self.last) = (Some(epoch), epoch);
        let len = |&entry: &u32| {
            let (key, value) = self.layers.read(entry);
            delta::ENTRY_OVERHEAD + key.len() + value.unwrap_or_default().len()
        };
        let mut payload = Vec::with_capacity(self.active.iter().map(len).sum());
        for &entry in &self.active {
            let (key, value) = self.layers.read(entry);
            delta::push_entry(&mut payload, key, value);
            self.layers.seal(entry, epoch.0);
        }
        self.layers.seal_active(epoch.0);
        self.used.store(self.layers.bytes(), Ordering::Relaxed);
        let entries = self.active.len() as u64;
        self.active.clear();
        Delta { entries, payload: Bytes::from(payload) }
    }

    fn commit(&mut self, epoch: Epoch) {
        // Its entries stay as they are: they may be dropped once the store has applied the epoch.
        assert_eq!(self.sealed.take(), Some(epoch), "only the sealed epoch can be committed");
    }

    fn bytes(&self) -> u64 {
        self.layers.bytes()
    }

    fn is_full(&mut self) -> bool {
        self.layers.is_full(self.shared.applied(), self.budget)
    }
}
