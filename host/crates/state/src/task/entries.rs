//! The entries of one task, by number, and no larger than they must be: where values are small, this decides how many keys
//! there is memory for.

use std::ops::{Index, IndexMut};

use weir_core::TableId;
use weir_core::frame::NULL;

use crate::delta::{self, PREFIX};

/// They lie in chunks of so many: growing copies none of them, and never needs room for two copies of all.
const CHUNK: usize = 1024;
/// What an entry costs besides its bytes: itself, its place in the index, its place among those on probation.
const COST: usize = size_of::<Entry>() + 14;
/// An allocation has a multiple of this in any case.
const ALIGNMENT: usize = 8;

/// A key and the youngest value of it.
pub(super) struct Entry {
    /// The state key, behind it the value, and behind that room for it to grow in. Empty: the place is free.
    bytes: Box<[u8]>,
    /// The epoch that changed it last; 0 when it came from RocksDB.
    pub(super) epoch: u64,
    /// As in the index.
    pub(super) hash: u32,
    key_len: u32,
    /// [`NULL`] if there is no value; an empty one is one.
    value_len: u32,
    /// Asked for again since it came in, or since the clock's hand passed.
    pub(super) used: bool,
    /// No longer on probation.
    pub(super) tenured: bool,
}

impl Entry {
    pub(super) fn new(hash: u32, state_key: &[u8], value: Option<&[u8]>) -> Self {
        // Room for a small value to grow in, such as a count.
        let len = state_key.len() + value.unwrap_or_default().len().max(8);
        let mut bytes = Vec::with_capacity(len.next_multiple_of(ALIGNMENT));
        bytes.extend_from_slice(state_key);
        bytes.extend_from_slice(value.unwrap_or_default());
        bytes.resize(bytes.capacity(), 0);
        let (key_len, value_len) = (state_key.len() as u32, len_of(value));
        let bytes = bytes.into_boxed_slice();
        Self { bytes, epoch: 0, hash, key_len, value_len, used: false, tenured: false }
    }

    pub(super) fn is(&self, table: TableId, key: &[u8]) -> bool {
        let state_key = self.state_key();
        state_key[PREFIX - 2..PREFIX] == table.0.to_be_bytes() && &state_key[PREFIX..] == key
    }

    pub(super) fn is_free(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn cost(&self) -> u64 {
        (COST + self.bytes.len()) as u64
    }

    /// What a delta needs for it.
    pub(super) fn delta_bytes(&self) -> usize {
        delta::ENTRY_OVERHEAD + self.key_len as usize + self.value().unwrap_or_default().len()
    }

    pub(super) fn state_key(&self) -> &[u8] {
        &self.bytes[..self.key_len as usize]
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        let begin = self.key_len as usize;
        (self.value_len != NULL).then(|| &self.bytes[begin..begin + self.value_len as usize])
    }

    pub(super) fn set(&mut self, value: Option<&[u8]>) {
        self.value_len = len_of(value);
        let value = value.unwrap_or_default();
        let (begin, end) = (self.key_len as usize, self.key_len as usize + value.len());
        // A value that was large once does not keep its room.
        if self.bytes.len() < end || self.bytes.len() > 2 * end + 64 {
            let mut bytes = vec![0; end.next_multiple_of(ALIGNMENT)];
            bytes[..begin].copy_from_slice(self.state_key());
            self.bytes = bytes.into_boxed_slice();
        }
        self.bytes[begin..end].copy_from_slice(value);
    }
}

fn len_of(value: Option<&[u8]>) -> u32 {
    value.map_or(NULL, |value| value.len() as u32)
}

/// See the module.
#[derive(Default)]
pub(super) struct Entries {
    chunks: Vec<Vec<Entry>>,
    len: usize,
    free: Vec<u32>,
}

impl Entries {
    /// How many places there are, free ones too.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes in an entry; its number.
    pub(super) fn insert(&mut self, entry: Entry) -> u32 {
        if let Some(at) = self.free.pop() {
            self[at] = entry;
            return at;
        }
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks[self.len / CHUNK].push(entry);
        self.len += 1;
        (self.len - 1) as u32
    }

    /// Frees a place.
    pub(super) fn remove(&mut self, at: u32) {
        self[at].bytes = Box::default();
        self.free.push(at);
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flatten().filter(|entry| !entry.is_free())
    }
}

impl Index<u32> for Entries {
    type Output = Entry;

    fn index(&self, at: u32) -> &Entry {
        &self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }
}

impl IndexMut<u32> for Entries {
    fn index_mut(&mut self, at: u32) -> &mut Entry {
        &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_was_set_last_and_takes_no_more_room_than_it_needs() {
        let mut entry = Entry::new(7, b"prefixkey", Some(b"12345678"));
        assert_eq!((entry.state_key(), entry.value()), (&b"prefixkey"[..], Some(&b"12345678"[..])));
        assert_eq!(entry.bytes.len(), 24);
        for value in
            [Some(&[1; 1000][..]), Some(&[2; 1001]), Some(b"1"), None, Some(b""), Some(&[3; 15]), Some(&[4; 16])]
        {
            entry.set(value);
            assert_eq!((entry.state_key(), entry.value()), (&b"prefixkey"[..], value));
            assert!(entry.bytes.len() <= 2 * (9 + value.unwrap_or_default().len()) + 64);
        }
        assert!(entry.is(TableId(u16::from_be_bytes(*b"ix")), b"key") && !entry.is(TableId(0), b"key"));
    }

    #[test]
    fn entries_stay_where_they_are_and_free_places_are_taken_first() {
        let mut entries = Entries::default();
        for number in 0..3000u32 {
            assert_eq!(entries.insert(Entry::new(number, &number.to_be_bytes(), None)), number);
        }
        entries.remove(1024);
        assert_eq!((entries.iter().count(), entries.len()), (2999, 3000));
        assert_eq!(entries.insert(Entry::new(9, b"new", None)), 1024);
        assert!((0..3000).filter(|at| *at != 1024).all(|at| entries[at].state_key() == at.to_be_bytes()));
    }
}
