//! HOT PATH. What changed in the lists and maps of one task and is not in RocksDB yet, in the order of the keys: reads
//! merge it with what RocksDB has. Nothing is kept beyond that, so all of it is pinned; the block cache serves the rest.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::pinned::{ACTIVE, Pinned};
use crate::delta;

/// What an entry costs besides its bytes: its place in the tree, its place in the list of its epoch, the allocator's own.
const ENTRY_COST: usize = 128;

/// The value of a state key; `None`: it is gone.
struct Entry {
    value: Option<Box<[u8]>>,
    /// The epoch that changed it last.
    epoch: u64,
}

/// See the module. Keys are whole state keys.
#[derive(Default)]
pub(super) struct Overlay {
    entries: BTreeMap<Arc<[u8]>, Entry>,
    /// The keys of the active epoch, each once.
    active: Vec<Arc<[u8]>>,
    /// Those of the epochs that are sealed, oldest first. A key may have changed again since.
    sealed: VecDeque<(u64, Vec<Arc<[u8]>>)>,
    pinned: Pinned,
}

impl Overlay {
    /// Bytes of everything.
    pub(super) fn bytes(&self) -> u64 {
        self.pinned.bytes()
    }

    /// Drops what RocksDB has: everything up to `applied`. What is read from it afterwards must be read after that.
    pub(super) fn release(&mut self, applied: u64) {
        while let Some((epoch, keys)) = self.sealed.pop_front_if(|(epoch, _)| *epoch <= applied) {
            for key in keys {
                if self.entries.get(&key).is_some_and(|entry| entry.epoch == epoch) {
                    self.entries.remove(&key);
                }
            }
        }
        self.pinned.release(applied);
    }

    /// Changes the value of a key in the active overlay.
    pub(super) fn change(&mut self, key: &[u8], value: Option<&[u8]>) {
        let known = self.entries.get_key_value(key).map(|(key, entry)| (Arc::clone(key), entry.epoch, entry.cost(key)));
        let (key, epoch, before) = known.unwrap_or_else(|| (Arc::from(key), 0, 0));
        let entry = Entry { value: value.map(Box::from), epoch: ACTIVE };
        self.pinned.change(epoch, before, entry.cost(&key));
        if epoch != ACTIVE {
            self.active.push(Arc::clone(&key));
        }
        self.entries.insert(key, entry);
    }

    /// Bytes that [`Self::seal`] will write.
    pub(super) fn delta_bytes(&self) -> usize {
        let len =
            |key: &Arc<[u8]>| delta::ENTRY_OVERHEAD + key.len() + self.get(key).flatten().unwrap_or_default().len();
        self.active.iter().map(len).sum()
    }

    /// Ends the active overlay: writes it to `payload` as a delta has it; how many entries it had.
    pub(super) fn seal(&mut self, epoch: u64, payload: &mut Vec<u8>) -> u64 {
        let keys = std::mem::take(&mut self.active);
        for key in &keys {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.epoch = epoch;
                delta::push_entry(payload, key, entry.value.as_deref());
            }
        }
        let entries = keys.len() as u64;
        self.sealed.push_back((epoch, keys));
        self.pinned.seal(epoch);
        entries
    }

    /// What became of a key: its value, or `Some(None)` if it is gone; `None` where only RocksDB knows.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.entries.get(key).map(|entry| entry.value.as_deref())
    }

    /// The keys from `start` on, in order, with what became of them.
    pub(super) fn from(&self, start: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let range = self.entries.range::<[u8], _>((Bound::Included(start), Bound::Unbounded));
        range.map(|(key, entry)| (&**key, entry.value.as_deref()))
    }

    /// The last key that begins with `prefix`, there or gone.
    pub(super) fn last(&self, prefix: &[u8], end: &[u8]) -> Option<&[u8]> {
        let range = self.entries.range::<[u8], _>((Bound::Included(prefix), Bound::Excluded(end)));
        range.map(|(key, _)| &**key).next_back()
    }
}

impl Entry {
    fn cost(&self, key: &[u8]) -> u64 {
        (ENTRY_COST + key.len() + self.value.as_ref().map_or(0, |value| value.len())) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(overlay: &Overlay) -> Vec<(&str, Option<&str>)> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        overlay.from(b"").map(|(key, value)| (text(key), value.map(text))).collect()
    }

    #[test]
    fn what_is_applied_leaves_and_what_changed_again_stays() {
        let mut overlay = Overlay::default();
        overlay.change(b"a", Some(b"1"));
        overlay.change(b"b", Some(b"1"));
        overlay.change(b"b", None);
        let mut payload = Vec::new();
        let announced = overlay.delta_bytes();
        assert_eq!(overlay.seal(1, &mut payload), 2, "each key once");
        assert_eq!(payload.len(), announced);
        overlay.change(b"a", Some(b"22"));
        overlay.release(0);
        assert_eq!(seen(&overlay), [("a", Some("22")), ("b", None)]);
        overlay.release(1);
        assert_eq!(seen(&overlay), [("a", Some("22"))], "b is gone, in RocksDB too");
        assert_eq!(overlay.bytes(), (ENTRY_COST + 3) as u64);
        overlay.seal(2, &mut payload);
        overlay.seal(3, &mut payload);
        overlay.release(2);
        assert_eq!((seen(&overlay), overlay.bytes()), (vec![], 0));
    }
}
