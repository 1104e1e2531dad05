//! HOT PATH. The distinct keys of a batch: each record's slot, and each slot's key.

use std::hash::{BuildHasher as _, RandomState};

use weir_core::frame::NULL;
use weir_core::key_group::key_hash;
use weir_core::ports::KeyRef;
use weir_core::{Frame, KeySpec, RecordView};

/// The key of a record, as the operator is keyed; `None` is a null key.
pub fn key_of<'a>(record: &RecordView<'a>, spec: &KeySpec) -> Option<&'a [u8]> {
    match spec {
        KeySpec::Key => record.key,
        KeySpec::Header(name) => record.header(name.as_bytes()).flatten(),
    }
}

/// Slots of one batch; the buffers serve the next batch again.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    of_record: Vec<u32>,
    /// Open addressing over slots, at most half full; [`NULL`] is empty.
    table: Vec<u32>,
    /// Chooses places; see [`Slots::slot`].
    seed: Seed,
}

/// An odd number that nobody outside knows.
#[derive(Debug)]
struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0) | 1)
    }
}

impl Slots {
    /// Finds the distinct keys of `frame`, in order of first appearance.
    pub(crate) fn assign<'a>(&mut self, frame: &'a Frame, spec: &KeySpec) -> Vec<KeyRef<'a>> {
        let keys = frame.records().map(|record| key_of(&record, spec));
        self.assign_keys(frame.len(), keys.map(|key| key.map(|key| KeyRef { hash: key_hash(key), bytes: key })))
    }

    /// The key of each slot of `frame`, which slots were assigned to.
    pub(crate) fn keys<'a>(&self, frame: &'a Frame, spec: &KeySpec) -> Vec<&'a [u8]> {
        let mut keys = Vec::new();
        for (record, slot) in frame.records().zip(&self.of_record) {
            // Slots are numbered in the order of their first records.
            if *slot as usize == keys.len() {
                keys.extend(key_of(&record, spec));
            }
        }
        keys
    }

    /// As [`Slots::assign`], for so many records of which these are the keys.
    pub(crate) fn assign_keys<'a>(
        &mut self,
        records: usize,
        keys: impl Iterator<Item = Option<KeyRef<'a>>>,
    ) -> Vec<KeyRef<'a>> {
        let size = (records * 2).next_power_of_two().max(16);
        self.table.clear();
        self.table.resize(size, NULL);
        self.of_record.clear();
        let mut distinct: Vec<KeyRef<'a>> = Vec::with_capacity(records);
        for key in keys {
            let slot = key.map_or(NULL, |key| self.slot(key, &mut distinct));
            self.of_record.push(slot);
        }
        distinct
    }

    /// Each record's slot.
    pub(crate) fn of_record(&self) -> &[u32] {
        &self.of_record
    }

    #[expect(clippy::indexing_slicing, reason = "the mask keeps the place within the table")]
    fn slot<'a>(&mut self, key: KeyRef<'a>, keys: &mut Vec<KeyRef<'a>>) -> u32 {
        let mask = self.table.len() - 1;
        // The hash is the same for everybody, so keys whose hashes share any given bits are easily made: a secret factor
        // brings all bits in. Keys of the very same hash stay together; a batch bounds what they cost.
        let mut at = (key.hash.wrapping_mul(self.seed.0) >> 32) as usize & mask;
        loop {
            let place = &mut self.table[at];
            match keys.get(*place as usize) {
                None => {
                    *place = keys.len() as u32;
                    keys.push(key);
                    return *place;
                }
                Some(known) if known.hash == key.hash && known.bytes == key.bytes => return *place,
                Some(_) => at = (at + 1) & mask,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_core::FrameWriter;

    use super::*;

    #[test]
    fn distinct_keys_get_slots_in_order() {
        let mut writer = FrameWriter::new(Vec::new());
        for key in [Some(&b"b"[..]), None, Some(b"a"), Some(b"b"), Some(b"")] {
            writer.push(RecordView { timestamp_ms: 0, source: 0, key, value: None, headers: &[] });
        }
        let frame = writer.finish();
        let mut slots = Slots::default();
        let keys: Vec<&[u8]> = slots.assign(&frame, &KeySpec::Key).iter().map(|k| k.bytes).collect();
        assert_eq!(keys, [&b"b"[..], b"a", b""]);
        assert_eq!(slots.keys(&frame, &KeySpec::Key), keys);
        assert_eq!(slots.of_record(), [0, NULL, 1, 0, 2]);
    }

    #[test]
    fn keys_whose_hashes_share_their_bits_do_not_share_their_places() {
        // As the table chose its places before: all of them in one.
        let hashes = (0..512u64).map(|n| (n << 44) | n);
        let mut slots = Slots::default();
        slots.table.resize(1024, NULL);
        let names: Vec<[u8; 8]> = hashes.clone().map(u64::to_be_bytes).collect();
        let mut keys = Vec::new();
        for (hash, name) in hashes.zip(&names) {
            slots.slot(KeyRef { hash, bytes: name }, &mut keys);
        }
        let longest = slots.table.split(|slot| *slot == NULL).map(<[u32]>::len).max();
        assert!(longest < Some(200), "a run of {longest:?} places is searched for each key");
    }

    proptest::proptest! {
        #[test]
        fn every_record_finds_its_own_key(keys: Vec<Option<Vec<u8>>>) {
            let mut writer = FrameWriter::new(Vec::new());
            for key in &keys {
                writer.push(RecordView { timestamp_ms: 0, source: 0, key: key.as_deref(), value: None, headers: &[] });
            }
            let frame = writer.finish();
            let mut slots = Slots::default();
            let distinct = slots.assign(&frame, &KeySpec::Key);
            for (key, slot) in keys.iter().zip(slots.of_record()) {
                assert_eq!(key.as_deref(), distinct.get(*slot as usize).map(|k| k.bytes));
            }
        }
    }
}
