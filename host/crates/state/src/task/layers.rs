//! HOT PATH. The layers of one task's state in one table: overlays, committed layer and cache.
//!
//! The obvious design reads through four layers in memory. A task only ever wants the youngest value, and nothing of it is ever
//! undone (recovery throws the task away), so that one entry for each key is enough, with the epoch that changed it:
//!
//! ```text
//! epoch = ACTIVE            active overlay: changed since the last barrier          cannot be evicted
//! epoch > applied           sealed overlay, or committed but not in RocksDB yet     cannot be evicted
//! epoch <= applied          cache; a value or its absence, both as RocksDB has it   CLOCK
//! ```

use hashbrown::HashTable;
use weir_core::TableId;
use weir_core::ports::KeyRef;

use crate::delta::PREFIX;

/// The epoch of an entry that changed since the last barrier.
pub(super) const ACTIVE: u64 = u64::MAX;

/// What an entry costs besides its bytes: itself, its place in the index, the allocator's own.
const ENTRY_COST: usize = size_of::<Entry>() + 32;

/// A key and the youngest value of it.
struct Entry {
    /// The state key, and behind it the value. Empty: the place is free.
    bytes: Vec<u8>,
    /// As in the index.
    hash: u64,
    /// The epoch that changed it last; 0 when it came from RocksDB.
    epoch: u64,
    key_len: u32,
    /// Whether there is a value; an empty one is one.
    present: bool,
    /// Used since the clock's hand passed.
    used: bool,
}

/// The entries of one task.
#[derive(Default)]
pub(super) struct Layers {
    index: HashTable<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    bytes: u64,
    /// The clock's hand, and how many entries came since it last moved.
    hand: usize,
    inserted: usize,
}

/// Place in the index. The low bits of the key's hash are its key group, and a task has few of those: they would crowd
/// one part of the table.
fn place(table: TableId, hash: u64) -> u64 {
    hash.rotate_left(32).wrapping_add(u64::from(table.0).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

impl Entry {
    fn is(&self, table: TableId, key: &[u8]) -> bool {
        self.bytes[PREFIX - 2..PREFIX] == table.0.to_be_bytes() && &self.bytes[PREFIX..self.key_len as usize] == key
    }

    fn cost(&self) -> u64 {
        (ENTRY_COST + self.bytes.capacity()) as u64
    }

    fn set(&mut self, value: Option<&[u8]>) {
        let key_len = self.key_len as usize;
        self.bytes.truncate(key_len);
        self.present = value.is_some();
        let value = value.unwrap_or_default();
        // A value that was large once does not keep its room.
        if self.bytes.capacity() > 2 * (key_len + value.len()) + 64 {
            self.bytes.shrink_to(key_len + value.len());
        }
        self.bytes.reserve_exact(value.len());
        self.bytes.extend_from_slice(value);
    }
}

impl Layers {
    /// Bytes of everything.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The entry of a key.
    pub(super) fn find(&mut self, table: TableId, key: KeyRef<'_>) -> Option<u32> {
        let entries = &mut self.entries;
        let at = *self.index.find(place(table, key.hash), |&at| entries[at as usize].is(table, key.bytes))?;
        entries[at as usize].used = true;
        Some(at)
    }

    /// Adds a key that is not there: `state_key` is the whole of it.
    pub(super) fn insert(&mut self, table: TableId, hash: u64, state_key: &[u8], value: Option<&[u8]>) -> u32 {
        // Room for a small value to grow in, such as a count.
        let mut bytes = Vec::with_capacity(state_key.len() + value.unwrap_or_default().len().max(8));
        bytes.extend_from_slice(state_key);
        let hash = place(table, hash);
        let key_len = state_key.len() as u32;
        let mut entry = Entry { bytes, hash, epoch: 0, key_len, present: false, used: true };
        entry.set(value);
        self.bytes += entry.cost();
        self.inserted += 1;
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                // Doubling would waste up to half of the budget.
                if self.entries.len() == self.entries.capacity() {
                    self.entries.reserve_exact(self.entries.len() / 8 + 256);
                }
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        let entries = &self.entries;
        self.index.insert_unique(hash, at, |&at| entries[at as usize].hash);
        at
    }

    /// Changes an entry in the active overlay; whether it was not there before.
    pub(super) fn change(&mut self, at: u32, value: Option<&[u8]>) -> bool {
        let entry = &mut self.entries[at as usize];
        let before = entry.cost();
        entry.set(value);
        self.bytes = self.bytes - before + entry.cost();
        std::mem::replace(&mut entry.epoch, ACTIVE) != ACTIVE
    }

    /// Ends the active overlay for an entry.
    pub(super) fn seal(&mut self, at: u32, epoch: u64) {
        let entry = &mut self.entries[at as usize];
        debug_assert_eq!(entry.epoch, ACTIVE, "only the active overlay is sealed");
        entry.epoch = epoch;
    }

    /// State key and value of an entry.
    pub(super) fn read(&self, at: u32) -> (&[u8], Option<&[u8]>) {
        let entry = &self.entries[at as usize];
        let (key, value) = entry.bytes.split_at(entry.key_len as usize);
        (key, entry.present.then_some(value))
    }

    /// Drops entries that RocksDB has as of epoch `applied`, until all fit in `budget`. Work is bounded by what came
    /// since: what cannot be dropped now is looked at again.
    pub(super) fn evict(&mut self, applied: u64, budget: u64) {
        let mut steps = 8 * std::mem::take(&mut self.inserted) + 256;
        while self.bytes > budget && steps > 0 {
            steps -= 1;
            self.hand = if self.hand + 1 < self.entries.len() { self.hand + 1 } else { 0 };
            let Some(entry) = self.entries.get_mut(self.hand) else { return };
            if entry.bytes.is_empty() || entry.epoch > applied {
                continue;
            }
            if !std::mem::take(&mut entry.used) {
                self.remove(self.hand as u32);
            }
        }
    }

    fn remove(&mut self, at: u32) {
        let entry = &mut self.entries[at as usize];
        self.bytes -= entry.cost();
        entry.bytes = Vec::new();
        if let Ok(found) = self.index.find_entry(entry.hash, |&other| other == at) {
            found.remove();
        }
        self.free.push(at);
    }
}
