//! HOT PATH. The layers of one task's values in one table: overlays, committed layer and cache.
//!
//! The obvious design reads through four layers in memory. A task only ever wants the youngest value, and nothing of it is ever
//! undone (recovery throws the task away), so that one entry for each key is enough, with the epoch that changed it:
//!
//! ```text
//! epoch = ACTIVE            active overlay: changed since the last barrier          cannot be evicted
//! epoch > applied           sealed overlay, or committed but not in RocksDB yet     cannot be evicted
//! epoch <= applied          cache; a value or its absence, both as RocksDB has it   CLOCK
//! ```

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use weir_core::TableId;
use weir_core::ports::KeyRef;

use super::pinned::{ACTIVE, Pinned};
use crate::delta::PREFIX;

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
    pinned: Pinned,
    /// Keys come from outside: who can choose them must not be able to choose their place.
    seed: DefaultHashBuilder,
    /// The clock's hand, and how many entries came since it last moved.
    hand: usize,
    inserted: usize,
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

    /// Place in the index. The key's own hash would not do: it is the same for everybody, so that keys which all fall
    /// into one place can be made, and each look would go through all of them.
    fn place(&self, table: TableId, key: &[u8]) -> u64 {
        self.seed.hash_one((table.0, key))
    }

    /// Bytes that cannot be dropped, where RocksDB has everything up to `applied`.
    pub(super) fn pinned(&mut self, applied: u64) -> u64 {
        self.pinned.release(applied);
        self.pinned.bytes()
    }

    /// The entry of a key.
    pub(super) fn find(&mut self, table: TableId, key: KeyRef<'_>) -> Option<u32> {
        let hash = self.place(table, key.bytes);
        let entries = &mut self.entries;
        let at = *self.index.find(hash, |&at| entries[at as usize].is(table, key.bytes))?;
        entries[at as usize].used = true;
        Some(at)
    }

    /// Adds a key that is not there: `state_key` is the whole of it.
    pub(super) fn insert(&mut self, table: TableId, state_key: &[u8], value: Option<&[u8]>) -> u32 {
        // Room for a small value to grow in, such as a count.
        let mut bytes = Vec::with_capacity(state_key.len() + value.unwrap_or_default().len().max(8));
        bytes.extend_from_slice(state_key);
        let hash = self.place(table, state_key.get(PREFIX..).unwrap_or_default());
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
        let (after, epoch) = (entry.cost(), std::mem::replace(&mut entry.epoch, ACTIVE));
        self.bytes = self.bytes - before + after;
        self.pinned.change(epoch, before, after);
        epoch != ACTIVE
    }

    /// Ends the active overlay; each of its entries is sealed, too.
    pub(super) fn seal_active(&mut self, epoch: u64) {
        self.pinned.seal(epoch);
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

    /// Drops entries that RocksDB has as of epoch `applied`, until all fit in `budget` or nothing is left that can go.
    /// Work is bounded by what came since: what cannot be dropped now is looked at again.
    pub(super) fn evict(&mut self, applied: u64, budget: u64) {
        self.pinned.release(applied);
        let mut steps = 8 * std::mem::take(&mut self.inserted) + 256;
        while self.bytes > budget && self.bytes > self.pinned.bytes() && steps > 0 {
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

#[cfg(test)]
mod tests {
    use weir_core::key_group::key_hash;

    use super::*;

    /// Whether what cannot be dropped fills `budget`.
    fn is_full(layers: &mut Layers, applied: u64, budget: u64) -> bool {
        layers.pinned(applied) >= budget
    }

    const TABLE: TableId = TableId(0);

    fn change(layers: &mut Layers, key: &[u8], value: &[u8]) -> u32 {
        let found = layers.find(TABLE, KeyRef { hash: key_hash(key), bytes: key });
        let at = found.unwrap_or_else(|| layers.insert(TABLE, &[&[0; PREFIX], key].concat(), None));
        layers.change(at, Some(value));
        at
    }

    fn seal(layers: &mut Layers, epoch: u64, entries: &[u32]) {
        layers.seal_active(epoch);
        entries.iter().for_each(|at| layers.seal(*at, epoch));
    }

    #[test]
    fn only_what_rocksdb_does_not_have_yet_is_pinned() {
        let mut layers = Layers::default();
        let value = [7; 1000];
        let at = [change(&mut layers, b"a", &value), change(&mut layers, b"b", &value)];
        let two = layers.bytes();
        assert!(
            is_full(&mut layers, 0, two) && !is_full(&mut layers, 0, two + 1),
            "the active overlay is all there is"
        );
        seal(&mut layers, 1, &at);
        assert!(is_full(&mut layers, 0, two), "a sealed epoch stays until it is applied");
        change(&mut layers, b"a", &value);
        assert!(
            is_full(&mut layers, 0, two) && !is_full(&mut layers, 0, two + 1),
            "changed again it is not pinned twice"
        );
        assert!(!is_full(&mut layers, 1, two), "of epoch 1 only b was left, and RocksDB has it");
        assert!(is_full(&mut layers, 1, two / 2), "a is active");
        seal(&mut layers, 2, &at[..1]);
        change(&mut layers, b"a", b"");
        assert!(!is_full(&mut layers, 1, two / 2), "a smaller value pins less");
        seal(&mut layers, 3, &at[..1]);
        assert!(is_full(&mut layers, 2, 1) && !is_full(&mut layers, 3, 1));
        assert_eq!(layers.pinned(3), 0);
        assert_eq!(layers.bytes(), layers.entries.iter().map(Entry::cost).sum::<u64>());
    }

    #[test]
    fn a_full_cache_does_not_pin_and_a_full_overlay_is_not_searched_for_what_could_go() {
        let mut layers = Layers::default();
        for number in 0..100u32 {
            layers.insert(TABLE, &[&[0; PREFIX], &number.to_be_bytes()[..]].concat(), Some(&[1; 100]));
        }
        assert!(!is_full(&mut layers, 9, 1), "all of it can go at any time");
        layers.evict(9, 0);
        assert_eq!(layers.bytes(), 0);
        for number in 0..100u32 {
            change(&mut layers, &number.to_be_bytes(), &[1; 100]);
        }
        let hand = layers.hand;
        layers.evict(9, 0);
        assert_eq!(layers.hand, hand, "no step is taken for nothing");
    }
}
