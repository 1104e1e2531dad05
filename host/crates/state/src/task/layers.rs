//! HOT PATH. The layers of one task's values, in all its tables: overlays, committed layer and cache.
//!
//! The obvious design reads through four layers in memory. A task only ever wants the youngest value, and nothing of it is ever
//! undone (recovery throws the task away), so that one entry for each key is enough, with the epoch that changed it:
//!
//! ```text
//! epoch = ACTIVE            active overlay: changed since the last barrier          cannot be evicted
//! epoch > applied           sealed overlay, or committed but not in RocksDB yet     cannot be evicted
//! epoch <= applied          cache; a value or its absence, both as RocksDB has it   see below
//! ```
//! What comes in is on probation, for a tenth of the budget, first in, first out. Only what is asked for again meanwhile
//! gets tenure, and of the rest one in some, so that keys of other times find their way in. So keys that come round in an
//! order, more of them than fit, do not drive each other out for nothing. Tenure is by CLOCK.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use weir_core::TableId;
use weir_core::ports::KeyRef;

use super::entries::{Entries, Entry};
use super::pinned::{ACTIVE, Pinned};
use crate::delta::{self, PREFIX};

/// The share of the budget that is for entries on probation: one in so many bytes.
const PROBATION_SHARE: u64 = 10;
/// Of entries that were not asked for again, one in so many gets tenure all the same.
const LUCKY: u32 = 16;

/// The entries of one task.
#[derive(Default)]
pub(super) struct Layers {
    index: HashTable<u32>,
    entries: Entries,
    bytes: u64,
    pinned: Pinned,
    /// What [`Self::seal`] will write of the active overlay.
    delta_bytes: usize,
    /// Keys come from outside: who can choose them must not be able to choose their place.
    seed: DefaultHashBuilder,
    /// Entries on probation, the oldest first, and their bytes.
    probation: VecDeque<u32>,
    probation_bytes: u64,
    /// How many were let go or kept by luck.
    judged: u32,
    /// Nothing had to go yet: there was room for all.
    has_evicted: bool,
    /// The clock's hand, and how many entries came since it last moved.
    hand: u32,
    inserted: usize,
}

impl Layers {
    /// Bytes of everything.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Says where in the index. The key's own hash would not do: it is the same for everybody, so that keys which all fall
    /// into one place can be made, and each look would go through all of them.
    fn hash(&self, table: TableId, key: &[u8]) -> u32 {
        self.seed.hash_one((table.0, key)) as u32
    }

    /// Bytes that cannot be dropped, where RocksDB has everything up to `applied`.
    pub(super) fn pinned(&mut self, applied: u64) -> u64 {
        self.pinned.release(applied);
        self.pinned.bytes()
    }

    /// The entry of a key.
    pub(super) fn find(&mut self, table: TableId, key: KeyRef<'_>) -> Option<u32> {
        let hash = self.hash(table, key.bytes);
        let entries = &mut self.entries;
        let at = *self.index.find(place(hash), |&at| entries[at].hash == hash && entries[at].is(table, key.bytes))?;
        entries[at].used = true;
        Some(at)
    }

    /// Adds a key that is not there: `state_key` is the whole of it.
    pub(super) fn insert(&mut self, table: TableId, state_key: &[u8], value: Option<&[u8]>) -> u32 {
        let hash = self.hash(table, state_key.get(PREFIX..).unwrap_or_default());
        let entry = Entry::new(hash, state_key, value);
        self.bytes += entry.cost();
        self.probation_bytes += entry.cost();
        self.inserted += 1;
        let at = self.entries.insert(entry);
        let entries = &self.entries;
        self.index.insert_unique(place(hash), at, |&at| place(entries[at].hash));
        self.probation.push_back(at);
        at
    }

    /// Changes an entry in the active overlay; whether it was not there before.
    pub(super) fn change(&mut self, at: u32, value: Option<&[u8]>) -> bool {
        let entry = &mut self.entries[at];
        let (before, delta_before) = (entry.cost(), entry.delta_bytes());
        entry.set(value);
        let (after, epoch) = (entry.cost(), std::mem::replace(&mut entry.epoch, ACTIVE));
        self.delta_bytes += entry.delta_bytes();
        self.delta_bytes -= if epoch == ACTIVE { delta_before } else { 0 };
        self.bytes = self.bytes - before + after;
        if !entry.tenured {
            self.probation_bytes = self.probation_bytes - before + after;
        }
        self.pinned.change(epoch, before, after);
        epoch != ACTIVE
    }

    /// Bytes that [`Self::seal`] will write.
    pub(super) fn delta_bytes(&self) -> usize {
        self.delta_bytes
    }

    /// Ends the active overlay, which is `active`: writes it to `payload` as a delta has it.
    pub(super) fn seal(&mut self, epoch: u64, active: &[u32], payload: &mut Vec<u8>) {
        for &at in active {
            let entry = &mut self.entries[at];
            debug_assert_eq!(entry.epoch, ACTIVE, "only the active overlay is sealed");
            entry.epoch = epoch;
            delta::push_entry(payload, entry.state_key(), entry.value());
        }
        self.delta_bytes = 0;
        self.pinned.seal(epoch);
    }

    /// The value of an entry.
    pub(super) fn value(&self, at: u32) -> Option<&[u8]> {
        self.entries[at].value()
    }

    /// Drops entries that RocksDB has as of epoch `applied`, until all fit in `budget` or nothing is left that can go.
    /// Work is bounded by what came since: what cannot be dropped now is looked at again.
    pub(super) fn evict(&mut self, applied: u64, budget: u64) {
        self.pinned.release(applied);
        let mut steps = 8 * std::mem::take(&mut self.inserted) + 256;
        while self.bytes > budget && self.bytes > self.pinned.bytes() && steps > 0 {
            steps -= 1;
            if self.probation_bytes <= budget / PROBATION_SHARE || !self.judge(applied, budget) {
                self.turn_hand(applied);
            }
        }
    }

    /// Ends the probation of the oldest: it goes or gets tenure. False if that can go only once RocksDB has it, as will
    /// those behind it.
    fn judge(&mut self, applied: u64, budget: u64) -> bool {
        let Some(&at) = self.probation.front() else { return false };
        let entry = &mut self.entries[at];
        let was_used = std::mem::take(&mut entry.used);
        if entry.epoch > applied && !was_used {
            return false;
        }
        self.probation.pop_front();
        self.probation_bytes -= entry.cost();
        // The first that there was room for are as good as any that come later.
        let is_room = !self.has_evicted && self.bytes - self.probation_bytes < budget - budget / PROBATION_SHARE;
        self.has_evicted |= !is_room;
        entry.tenured = was_used || is_room;
        if !entry.tenured {
            self.judged = self.judged.wrapping_add(1);
            entry.tenured = self.judged.is_multiple_of(LUCKY);
        }
        if !entry.tenured {
            self.remove(at);
        }
        true
    }

    /// The next of those with tenure goes, unless it was asked for since the hand passed.
    fn turn_hand(&mut self, applied: u64) {
        self.hand = if self.hand as usize + 1 < self.entries.len() { self.hand + 1 } else { 0 };
        let entry = &mut self.entries[self.hand];
        let can_go = !entry.is_free() && entry.tenured && entry.epoch <= applied;
        if can_go && !std::mem::take(&mut entry.used) {
            self.has_evicted = true;
            self.remove(self.hand);
        }
    }

    fn remove(&mut self, at: u32) {
        let entry = &mut self.entries[at];
        self.bytes -= entry.cost();
        if let Ok(found) = self.index.find_entry(place(entry.hash), |&other| other == at) {
            found.remove();
        }
        self.entries.remove(at);
    }
}

/// Place in the index, which looks at the first and the last bits.
fn place(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
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
        let (mut payload, announced) = (Vec::new(), layers.delta_bytes());
        layers.seal(epoch, entries, &mut payload);
        assert_eq!(payload.len(), announced);
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

    /// The part of the second half of `keys` that is found, in a cache with room for about `room` of them; a third of
    /// what comes is changed, and RocksDB has it a little later.
    fn hits(keys: &[u32], room: usize) -> f64 {
        let (mut layers, mut found, mut active, mut epoch) = (Layers::default(), 0, Vec::new(), 0);
        let cost = {
            let at = layers.insert(TABLE, &[&[0; PREFIX], &[0; 4][..]].concat(), Some(&[0; 8]));
            layers.entries[at].cost()
        };
        for (number, chunk) in keys.chunks(10).enumerate() {
            layers.evict(epoch, cost * room as u64);
            assert!(layers.bytes() <= cost * (room as u64 + 100), "{} bytes", layers.bytes());
            for key in chunk {
                let name = key.to_be_bytes();
                let at = layers.find(TABLE, KeyRef { hash: 0, bytes: &name });
                found += u32::from(at.is_some() && number * 10 >= keys.len() / 2);
                let at = at.unwrap_or_else(|| layers.insert(TABLE, &[&[0; PREFIX], &name[..]].concat(), Some(&[0; 8])));
                if key % 3 == 0 && layers.change(at, Some(&[1; 8])) {
                    active.push(at);
                }
            }
            seal(&mut layers, epoch + 1, &active);
            active.clear();
            epoch += 1;
        }
        assert_eq!(layers.bytes(), layers.entries.iter().map(Entry::cost).sum::<u64>());
        let on_probation = layers.entries.iter().filter(|e| !e.tenured);
        assert_eq!(layers.probation_bytes, on_probation.map(Entry::cost).sum::<u64>());
        f64::from(found) / (keys.len() / 2) as f64
    }

    #[test]
    fn keys_that_come_round_do_not_drive_each_other_out() {
        let mut random = 1u64;
        let mut draw = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as u32
        };
        let round: Vec<u32> = (0..80_000).map(|number| number % 4_000).collect();
        let evenly: Vec<u32> = (0..80_000).map(|_| draw() % 4_000).collect();
        let (round, evenly) = (hits(&round, 2_000), hits(&evenly, 2_000));
        assert!((0.45..0.55).contains(&evenly), "half of the keys fit: {evenly}");
        // What has to be read, at most half as much again.
        assert!(1.0 - round <= 1.5 * (1.0 - evenly), "in order {round}, evenly {evenly}");
        // A few keys that come again and again are found, whatever comes between them.
        let mixed: Vec<u32> = (0..80_000).map(|n| if n % 2 == 0 { draw() % 1_000 } else { 10_000 + n }).collect();
        let found = hits(&mixed, 2_000);
        assert!(found > 0.47, "half of what is asked for is of a few keys: {found}");
        // Others take their place.
        let moved: Vec<u32> = (0..80_000).map(|n| (n / 20_000) * 10_000 + draw() % 1_500).collect();
        let found = hits(&moved, 2_000);
        assert!(found > 0.7, "they are found again: {found}");
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
