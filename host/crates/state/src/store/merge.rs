//! Epochs that are applied together, as one batch.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table};
use rocksdb::WriteBatch;
use weir_core::RecordId;
use weir_core::ports::Delta;

use crate::delta::{self, Entry};
use crate::error::Error;

/// More than what a batch has besides changes: its head, and the record that it leads to.
const BATCH_OVERHEAD: usize = 256;

/// The youngest change of each key, in the order of the keys: so a memtable takes them in faster.
pub(super) fn youngest(epochs: &[(RecordId, Vec<Delta>)]) -> Result<Vec<Entry<'_>>, Error> {
    let deltas = || epochs.iter().flat_map(|(_, deltas)| deltas);
    let (seed, most) = (DefaultHashBuilder::default(), deltas().map(|delta| delta.entries).sum::<u64>());
    // Holds numbers only, and as many as there can be: to grow it would have to look at all the keys again.
    let mut index = HashTable::<u32>::with_capacity(usize::try_from(most).unwrap_or_default());
    let mut merged: Vec<Entry<'_>> = Vec::new();
    for entry in deltas().flat_map(|delta| delta::entries(&delta.payload)) {
        let (key, value) = entry?;
        let known = |&at: &u32| merged[at as usize].0;
        let (is_key, rehash) = (|at: &u32| known(at) == key, |at: &u32| seed.hash_one(known(at)));
        match index.entry(seed.hash_one(key), is_key, rehash) {
            hash_table::Entry::Occupied(known) => merged[*known.get() as usize].1 = value,
            hash_table::Entry::Vacant(place) => {
                place.insert(merged.len() as u32);
                merged.push((key, value));
            }
        }
    }
    drop(index);
    merged.sort_unstable_by_key(|(key, _)| *key);
    Ok(merged)
}

/// A batch of `changes`, with room for the record.
pub(super) fn batch(changes: &[Entry<'_>]) -> WriteBatch {
    let bytes = |(key, value): &Entry<'_>| delta::ENTRY_OVERHEAD + key.len() + value.unwrap_or_default().len();
    // One that grows doubles.
    let mut batch = WriteBatch::with_capacity_bytes(changes.iter().map(bytes).sum::<usize>() + BATCH_OVERHEAD);
    for (key, value) in changes {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_core::{Digest, Epoch};

    use super::*;

    #[test]
    fn the_youngest_change_of_each_key_wins_and_keys_are_in_order() {
        let epoch = |number, changes: &[(&str, Option<&str>)]| {
            let mut payload = Vec::new();
            changes.iter().for_each(|(k, v)| delta::push_entry(&mut payload, k.as_bytes(), v.map(str::as_bytes)));
            let delta = Delta { entries: changes.len() as u64, payload: Bytes::from(payload) };
            (RecordId { epoch: Epoch(number), digest: Digest(String::new()) }, vec![delta, Delta::default()])
        };
        let epochs = [
            epoch(1, &[("c", Some("1")), ("a", Some("1")), ("b", Some("1"))]),
            epoch(2, &[("a", None), ("d", Some(""))]),
            epoch(3, &[("b", Some("3")), ("d", None), ("d", Some("4"))]),
        ];
        let merged = youngest(&epochs).unwrap();
        let expected: [Entry<'_>; 4] = [(b"a", None), (b"b", Some(b"3")), (b"c", Some(b"1")), (b"d", Some(b"4"))];
        assert_eq!(merged, expected);
        assert_eq!(batch(&merged).len(), 4);
        let torn = Delta { entries: 1, payload: Bytes::from_static(b"torn") };
        assert!(youngest(&[(epochs[0].0.clone(), vec![torn])]).is_err());
    }
}
