//! A state store: overlays over what is stored.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use weir_core::frame::NULL;
use weir_core::ports::*;
use weir_core::*;

use super::for_ever;

/// What is committed, as a disk has it.
#[derive(Default)]
struct Stored {
    values: HashMap<Vec<u8>, Vec<u8>>,
    applied: Option<RecordId>,
    /// Handed over and not applied, where it is lazy.
    waiting: Vec<(RecordId, Vec<Delta>)>,
}

impl Stored {
    fn apply_all(&mut self) {
        for (record, deltas) in std::mem::take(&mut self.waiting) {
            self.applied = Some(record);
            for delta in deltas {
                let mut rest = &delta.payload[..];
                while let Some((len, after)) = rest.split_first_chunk::<4>() {
                    let (key, after) = after.split_at(u32::from_le_bytes(*len) as usize);
                    let (len, after) = after.split_first_chunk::<4>().unwrap();
                    let (value, after) = after.split_at(u32::from_le_bytes(*len) as usize);
                    self.values.insert(key.to_vec(), value.to_vec());
                    rest = after;
                }
            }
        }
    }
}

/// What tests set, and see, of a store.
#[derive(Default)]
pub(crate) struct Settings {
    /// True while its disk hangs: it has no room, and nothing comes back.
    pub(crate) is_stuck: AtomicBool,
    /// A flush hangs, nothing else does.
    pub(crate) flush_hangs: AtomicBool,
    /// Nothing is applied until somebody asks for it.
    pub(crate) is_lazy: AtomicBool,
    /// What a task may hold that is not applied; 0 for any amount.
    pub(crate) budget: AtomicU64,
    /// The most that a task held.
    pub(crate) peak: AtomicU64,
}

/// The committed state; `open` gives tasks an overlay over it.
#[derive(Default)]
pub(crate) struct MemoryState {
    stored: Arc<Mutex<Stored>>,
    pub(crate) settings: Arc<Settings>,
}

impl MemoryState {
    fn is_stuck(&self) -> bool {
        self.settings.is_stuck.load(Ordering::Relaxed)
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap()
    }
}

impl StateStore for MemoryState {
    fn open(&self, operator: OperatorId, _: (u32, u32)) -> Box<dyn KeyedState> {
        let (slots, active, sealed, joined) = Default::default();
        let (stored, settings) = (Arc::clone(&self.stored), Arc::clone(&self.settings));
        Box::new(MemoryKeyed { operator, stored, settings, slots, active, sealed, joined })
    }
    fn apply(&self, record: &RecordId, deltas: Vec<Delta>) -> Result<(), PortError> {
        let mut stored = self.stored();
        let before = stored.waiting.last().map(|(record, _)| record).or(stored.applied.as_ref());
        assert!(before.is_none_or(|before| before.epoch < record.epoch), "applied only grows, then came {record}");
        stored.waiting.push((record.clone(), deltas));
        if !self.settings.is_lazy.load(Ordering::Relaxed) {
            stored.apply_all();
        }
        Ok(())
    }
    fn applied(&self) -> Option<RecordId> {
        self.stored().applied.clone()
    }
    fn has_room(&self) -> bool {
        !self.is_stuck()
    }
    fn durable(&self) -> Epoch {
        self.applied().map_or(Epoch(0), |record| record.epoch)
    }
    fn join(&self) -> Result<(), PortError> {
        if self.is_stuck() {
            for_ever();
        }
        self.stored().apply_all();
        Ok(())
    }
    fn flush(&self) -> Result<(), PortError> {
        if self.settings.flush_hangs.load(Ordering::Relaxed) {
            for_ever();
        }
        self.stored().apply_all();
        Ok(())
    }
    fn hurry(&self) {
        self.stored().apply_all();
    }
    fn bytes(&self, _: OperatorId) -> StateBytes {
        StateBytes { disk: 1000, memory: 0 }
    }
}

type Overlay = HashMap<Vec<u8>, Vec<u8>>;

/// Overlays over what is stored. It counts what cannot leave memory, and lets go of what can.
struct MemoryKeyed {
    operator: OperatorId,
    stored: Arc<Mutex<Stored>>,
    settings: Arc<Settings>,
    /// The keys of the call.
    slots: Vec<Vec<u8>>,
    active: Overlay,
    sealed: Option<(Epoch, Overlay)>,
    /// Committed, and not applied when last looked at; oldest first.
    joined: Vec<(Epoch, Overlay)>,
}

impl MemoryKeyed {
    fn full(&self, table: TableId, key: &[u8]) -> Vec<u8> {
        [&self.operator.0.to_be_bytes()[..], &table.0.to_be_bytes(), key].concat()
    }

    /// Bytes that cannot leave memory.
    fn pinned(&mut self) -> u64 {
        let applied = self.stored.lock().unwrap().applied.as_ref().map_or(Epoch(0), |record| record.epoch);
        self.joined.retain(|(epoch, _)| *epoch > applied);
        let sealed = self.sealed.iter().map(|(_, overlay)| overlay);
        let overlays = self.joined.iter().map(|(_, overlay)| overlay).chain(sealed).chain([&self.active]);
        overlays.flatten().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}

impl KeyedState for MemoryKeyed {
    fn set_time(&mut self, _: Now, _: &[Table]) {}
    fn follow(&mut self) {}
    fn enter(&mut self, keys: &[KeyRef<'_>]) {
        self.slots = keys.iter().map(|key| key.bytes.to_vec()).collect();
    }
    fn prefetch(&mut self, tables: &[Table], slots: Range<u32>, out: &mut Vec<u8>) -> Result<(), PortError> {
        for slot in slots {
            for table in tables {
                let full = self.full(table.id, &self.slots[slot as usize]);
                let sealed = self.sealed.as_ref().and_then(|(_, s)| s.get(&full));
                let joined = self.joined.iter().rev().find_map(|(_, overlay)| overlay.get(&full));
                let stored = || self.stored.lock().unwrap().values.get(&full).cloned();
                let value = self.active.get(&full).or(sealed).or(joined).cloned().or_else(stored);
                out.extend_from_slice(&value.as_ref().map_or(NULL, |v| v.len() as u32).to_le_bytes());
                out.extend_from_slice(&value.unwrap_or_default());
            }
        }
        Ok(())
    }
    fn get_many(&mut self, _: Table, _: &[(u32, &[u8])], _: &mut Vec<u8>) -> Result<(), PortError> {
        unreachable!("the counter has no maps")
    }
    fn scan(&mut self, _: Table, _: u32, _: &[u8], _: u32, _: &mut Vec<u8>) -> Result<bool, PortError> {
        unreachable!("the counter has no lists")
    }
    fn timers(&mut self, _: Table, _: Range<u16>, _: &[u8], _: usize, _: &mut Vec<Vec<u8>>) -> Result<(), PortError> {
        Ok(())
    }
    fn change(&mut self, slot: u32, table: Table, change: Change<'_>) -> Result<(), PortError> {
        let full = self.full(table.id, &self.slots[slot as usize]);
        let Change::Set(value) = change else { panic!("the counter clears nothing") };
        self.active.insert(full, value.to_vec());
        if self.settings.budget.load(Ordering::Relaxed) > 0 {
            let pinned = self.pinned();
            self.settings.peak.fetch_max(pinned, Ordering::Relaxed);
        }
        Ok(())
    }
    fn seal(&mut self, epoch: Epoch) -> Delta {
        assert!(self.sealed.is_none(), "one sealed epoch at most");
        let active = std::mem::take(&mut self.active);
        let mut payload = Vec::new();
        for (key, value) in &active {
            for bytes in [key, value] {
                payload.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                payload.extend_from_slice(bytes);
            }
        }
        let entries = active.len() as u64;
        self.sealed = Some((epoch, active));
        Delta { entries, payload: payload.into() }
    }
    fn commit(&mut self, epoch: Epoch) {
        let (sealed, values) = self.sealed.take().expect("a sealed epoch");
        assert_eq!(sealed, epoch);
        self.joined.push((sealed, values));
    }
    fn bytes(&self) -> u64 {
        (self.active.len() * 100) as u64
    }
    fn is_full(&mut self) -> bool {
        let budget = self.settings.budget.load(Ordering::Relaxed);
        budget > 0 && self.pinned() >= budget
    }
}
