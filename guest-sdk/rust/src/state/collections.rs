//! HOT PATH. Lists and maps under the current record's key.
//!
//! The host does not hand them over with the batch: they are read while it runs. What this batch has changed of them lies
//! over that, so that a later record of the same key sees it, and goes back as updates.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::mem;

use super::{StateValue, about_table, unreadable};
use crate::failure::Failure;
use crate::frame::{Cursor, malformed};
use crate::instance::HostRef;
use crate::update::push_update;

/// So many entries are asked for at once.
const SCAN_ENTRIES: u32 = 256;

/// A table that holds a list of `T` for each key. A constant; `describe` must name it.
#[derive(Debug)]
pub struct ListTable<T> {
    name: &'static str,
    version: &'static str,
    value: PhantomData<fn() -> T>,
}

/// A table that holds values under keys of their own for each key. A constant; `describe` must name it.
#[derive(Debug)]
pub struct MapTable<K, V> {
    name: &'static str,
    version: &'static str,
    entry: PhantomData<fn() -> (K, V)>,
}

impl<T> Clone for ListTable<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ListTable<T> {}

impl<K, V> Clone for MapTable<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for MapTable<K, V> {}

impl<T: StateValue> ListTable<T> {
    /// A table by its name. State is found again by the name, so it must not change from version to version.
    pub const fn new(name: &'static str) -> Self {
        Self { name, version: "", value: PhantomData }
    }
}

impl<T> ListTable<T> {
    /// The same with the version of its values, in the plugin's own words.
    pub const fn with_schema(self, version: &'static str) -> Self {
        Self { name: self.name, version, value: PhantomData }
    }

    /// The table's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<K: MapKey, V: StateValue> MapTable<K, V> {
    /// A table by its name. State is found again by the name, so it must not change from version to version.
    pub const fn new(name: &'static str) -> Self {
        Self { name, version: "", entry: PhantomData }
    }
}

impl<K, V> MapTable<K, V> {
    /// The same with the version of its values, in the plugin's own words.
    pub const fn with_schema(self, version: &'static str) -> Self {
        Self { name: self.name, version, entry: PhantomData }
    }

    /// The table's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T: StateValue> ListTable<T> {
    pub(crate) fn schema(&self) -> String {
        super::schema(&[T::TYPE], self.version)
    }
}

impl<K: MapKey, V: StateValue> MapTable<K, V> {
    /// The type of the values, and that of the keys of entries behind the word `by`.
    pub(crate) fn schema(&self) -> String {
        let by = if K::TYPE.is_empty() { "" } else { "by" };
        super::schema(&[V::TYPE, by, K::TYPE], self.version)
    }
}

/// What an entry of a map can be found by. Entries are in the order of these bytes, which are the state's format on disk.
pub trait MapKey: Sized {
    /// What the table's schema says behind the word `by`; a type of the plugin's own needs none.
    const TYPE: &'static str = "";

    /// Appends the key to `out`.
    fn encode_key(&self, out: &mut Vec<u8>);

    /// Reads it back.
    fn decode_key(bytes: &[u8]) -> Result<Self, Failure>;
}

macro_rules! ordered_number {
    ($($number:ty),*) => {$(
        /// Big endian, so that entries are in the order of the numbers.
        impl MapKey for $number {
            const TYPE: &'static str = stringify!($number);

            fn encode_key(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode_key(bytes: &[u8]) -> Result<Self, Failure> {
                Ok(Self::from_be_bytes(bytes.try_into().map_err(|_| unreadable::<Self>(bytes))?))
            }
        }
    )*};
}

ordered_number!(u8, u16, u32, u64, u128);

/// As it is.
impl MapKey for Vec<u8> {
    const TYPE: &'static str = "bytes";

    fn encode_key(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode_key(bytes: &[u8]) -> Result<Self, Failure> {
        Ok(bytes.to_vec())
    }
}

/// UTF-8.
impl MapKey for String {
    const TYPE: &'static str = "text";

    fn encode_key(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode_key(bytes: &[u8]) -> Result<Self, Failure> {
        Ok(str::from_utf8(bytes)?.to_owned())
    }
}

/// What a batch makes of one list or map.
#[derive(Debug, Default)]
struct Changes {
    /// Nothing of what the host has counts any more.
    cleared: bool,
    appended: Vec<Vec<u8>>,
    /// By the keys of entries; `None`: it is gone.
    entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// How to take back one change of the current record.
#[derive(Debug)]
enum Undo {
    Append,
    Entry(Vec<u8>, Option<Option<Vec<u8>>>),
    Clear(Changes),
}

/// Where a list or a map is: slot and table of this call.
pub(crate) type Place = (u32, u32);

/// What this batch makes of lists and maps.
#[derive(Debug, Default)]
pub(crate) struct Collections {
    changes: BTreeMap<Place, Changes>,
    /// What the current record has done, oldest first.
    undo: Vec<(Place, Undo)>,
}

const OP_CLEAR: u8 = 2;
const OP_APPEND: u8 = 4;
const OP_PUT: u8 = 5;
const OP_DELETE: u8 = 6;

impl Collections {
    /// Begins a batch.
    pub(crate) fn clear(&mut self) {
        self.changes.clear();
        self.undo.clear();
    }

    /// Goes on to the next record of the batch.
    #[inline]
    pub(crate) fn next_record(&mut self) {
        self.undo.clear();
    }

    /// Takes back what the current record has changed.
    pub(crate) fn undo(&mut self) {
        for (place, undo) in mem::take(&mut self.undo).into_iter().rev() {
            let changes = self.changes.entry(place).or_default();
            match undo {
                Undo::Append => drop(changes.appended.pop()),
                Undo::Entry(key, Some(before)) => drop(changes.entries.insert(key, before)),
                Undo::Entry(key, None) => drop(changes.entries.remove(&key)),
                Undo::Clear(before) => *changes = before,
            }
        }
    }

    pub(super) fn append(&mut self, place: Place, value: Vec<u8>) {
        self.changes.entry(place).or_default().appended.push(value);
        self.undo.push((place, Undo::Append));
    }

    pub(super) fn put(&mut self, place: Place, key: Vec<u8>, value: Option<Vec<u8>>) {
        let before = self.changes.entry(place).or_default().entries.insert(key.clone(), value);
        self.undo.push((place, Undo::Entry(key, before)));
    }

    fn clear_one(&mut self, place: Place) {
        let cleared = Changes { cleared: true, ..Changes::default() };
        let before = self.changes.insert(place, cleared).unwrap_or_default();
        self.undo.push((place, Undo::Clear(before)));
    }

    /// Appends one update for each change to `out`: what a key had goes before anything new comes.
    pub(crate) fn push_updates(&self, out: &mut Vec<u8>) {
        let mut put = Vec::new();
        for ((slot, table), changes) in &self.changes {
            if changes.cleared {
                push_update(out, OP_CLEAR, *table, *slot, &[]);
            }
            for value in &changes.appended {
                push_update(out, OP_APPEND, *table, *slot, value);
            }
            for (key, value) in &changes.entries {
                match value {
                    Some(value) => {
                        put.clear();
                        put.extend_from_slice(&(key.len() as u32).to_le_bytes());
                        put.extend_from_slice(key);
                        put.extend_from_slice(value);
                        push_update(out, OP_PUT, *table, *slot, &put);
                    }
                    None if changes.cleared => {}
                    None => push_update(out, OP_DELETE, *table, *slot, key),
                }
            }
        }
    }
}

/// One list or map, whatever its types.
pub(crate) struct Collection<'a> {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) collections: &'a mut Collections,
    pub(crate) host: HostRef<'a>,
}

/// Entries of a scan.
type Entries = Vec<(Vec<u8>, Vec<u8>)>;

impl Collection<'_> {
    fn changes(&self) -> Option<&Changes> {
        self.collections.changes.get(&self.place)
    }

    fn is_cleared(&self) -> bool {
        self.changes().is_some_and(|changes| changes.cleared)
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        if let Some(changed) = self.changes().and_then(|changes| changes.entries.get(key)) {
            return Ok(changed.clone());
        }
        if self.is_cleared() {
            return Ok(None);
        }
        let (slot, table) = self.place;
        let mut wanted = Vec::with_capacity(8 + key.len());
        wanted.extend_from_slice(&slot.to_le_bytes());
        wanted.extend_from_slice(&(key.len() as u32).to_le_bytes());
        wanted.extend_from_slice(key);
        let found = self.host.get_many(table, &wanted);
        let value = Cursor::new(&found, 0).sized().ok_or_else(|| malformed("list of entries"))?;
        Ok(value.map(<[u8]>::to_vec))
    }

    /// What the host has from `start` on; true if there is more.
    fn scan_host(&mut self, start: &[u8], limit: u32) -> Result<(Entries, bool), Failure> {
        if self.is_cleared() {
            return Ok((Vec::new(), false));
        }
        let (slot, table) = self.place;
        entries(&self.host.scan(table, slot, start, limit))
    }

    /// At most `limit` entries of a map from `start` on: what the host has, and over it what this batch has changed.
    fn scan(&mut self, start: &[u8], limit: usize) -> Result<Entries, Failure> {
        let (mut out, mut start, mut has_more) = (Entries::new(), start.to_vec(), true);
        while has_more && out.len() < limit {
            let (stored, more) = self.scan_host(&start, SCAN_ENTRIES)?;
            has_more = more;
            // Changes beyond what was read belong to a later turn, unless there is none.
            let end = stored.last().filter(|_| more).map(|(key, _)| successor(key));
            let mut all: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
                stored.into_iter().map(|(key, value)| (key, Some(value))).collect();
            let changed = self.changes().into_iter().flat_map(|changes| changes.entries.range(start.clone()..));
            let is_near = |key: &[u8]| end.as_ref().is_none_or(|end| key < end.as_slice());
            all.extend(changed.take_while(|(key, _)| is_near(key)).map(|(key, value)| (key.clone(), value.clone())));
            out.extend(all.into_iter().filter_map(|(key, value)| Some((key, value?))));
            start = end.unwrap_or_default();
        }
        out.truncate(limit);
        Ok(out)
    }

    /// At most `limit` elements of a list, from the first on.
    fn elements(&mut self, limit: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let (mut out, mut start, mut has_more) = (Vec::new(), Vec::new(), true);
        while has_more && out.len() < limit {
            let (stored, more) = self.scan_host(&start, SCAN_ENTRIES)?;
            has_more = more && !stored.is_empty();
            start = stored.last().map(|(key, _)| successor(key)).unwrap_or_default();
            out.extend(stored.into_iter().map(|(_, value)| value));
        }
        out.extend(self.changes().into_iter().flat_map(|changes| changes.appended.iter().cloned()));
        out.truncate(limit);
        Ok(out)
    }
}

/// Reads what a scan answers: entries, and whether there are more.
fn entries(bytes: &[u8]) -> Result<(Entries, bool), Failure> {
    let wrong = || malformed("list of entries");
    let mut cursor = Cursor::new(bytes, 0);
    let has_more = match cursor.u8() {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(wrong()),
    };
    let mut entries = Vec::new();
    while !cursor.is_at_end() {
        let mut part = || cursor.sized().flatten().map(<[u8]>::to_vec).ok_or_else(wrong);
        entries.push((part()?, part()?));
    }
    Ok((entries, has_more))
}

/// The first key behind `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn decode<T: StateValue>(table: &str, bytes: &[u8]) -> Result<T, Failure> {
    T::decode(bytes).map_err(|failure| about_table(failure, "failed to read", table))
}

fn encode<T: StateValue>(table: &str, value: &T) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    value.encode(&mut out).map_err(|failure| about_table(failure, "failed to write", table))?;
    Ok(out)
}

fn key_bytes<K: MapKey>(key: &K) -> Vec<u8> {
    let mut out = Vec::new();
    key.encode_key(&mut out);
    out
}

/// Handle to the list of the current record's key; see [`crate::Context::list`]. All of it fails for a record without a
/// key.
pub struct List<'a, T> {
    pub(crate) list: Result<Collection<'a>, Failure>,
    pub(crate) value: PhantomData<fn() -> T>,
}

impl<T: StateValue> List<'_, T> {
    /// Adds `value` at its end.
    pub fn push(self, value: &T) -> Result<(), Failure> {
        let list = self.list?;
        let value = encode(list.name, value)?;
        list.collections.append(list.place, value);
        Ok(())
    }

    /// All of it, in the order in which it was pushed.
    pub fn all(self) -> Result<Vec<T>, Failure> {
        self.first(usize::MAX)
    }

    /// Its first `limit` elements.
    pub fn first(self, limit: usize) -> Result<Vec<T>, Failure> {
        let mut list = self.list?;
        list.elements(limit)?.iter().map(|value| decode(list.name, value)).collect()
    }

    /// Empties it.
    pub fn clear(self) -> Result<(), Failure> {
        let list = self.list?;
        list.collections.clear_one(list.place);
        Ok(())
    }
}

/// Handle to the map of the current record's key; see [`crate::Context::map`]. All of it fails for a record without a
/// key.
pub struct Map<'a, K, V> {
    pub(crate) map: Result<Collection<'a>, Failure>,
    pub(crate) entry: PhantomData<fn() -> (K, V)>,
}

impl<K: MapKey, V: StateValue> Map<'_, K, V> {
    /// The value of an entry; `None` if there is none.
    pub fn get(self, key: &K) -> Result<Option<V>, Failure> {
        let mut map = self.map?;
        map.get(&key_bytes(key))?.map(|value| decode(map.name, &value)).transpose()
    }

    /// Makes the value of an entry `value`.
    pub fn put(self, key: &K, value: &V) -> Result<(), Failure> {
        let map = self.map?;
        let value = encode(map.name, value)?;
        map.collections.put(map.place, key_bytes(key), Some(value));
        Ok(())
    }

    /// Removes an entry, if it is there.
    pub fn remove(self, key: &K) -> Result<(), Failure> {
        let map = self.map?;
        map.collections.put(map.place, key_bytes(key), None);
        Ok(())
    }

    /// All entries, in the order of their keys.
    pub fn all(self) -> Result<Vec<(K, V)>, Failure> {
        self.scan(None, usize::MAX)
    }

    /// At most `limit` entries in the order of their keys, from the first that is not below `from`.
    pub fn scan(self, from: Option<&K>, limit: usize) -> Result<Vec<(K, V)>, Failure> {
        let mut map = self.map?;
        let entries = map.scan(&from.map(key_bytes).unwrap_or_default(), limit)?;
        let typed = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let key = K::decode_key(key).map_err(|failure| about_table(failure, "failed to read", map.name))?;
            Ok((key, decode(map.name, value)?))
        };
        entries.iter().map(typed).collect()
    }

    /// Empties it.
    pub fn clear(self) -> Result<(), Failure> {
        let map = self.map?;
        map.collections.clear_one(map.place);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
