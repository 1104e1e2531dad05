//! HOT PATH. Keyed state: tables, and handles to the value of the current record's key.
//!
//! The host hands over the values of a batch's keys with the batch. Changes are kept beside them, so that a later
//! record of the same key sees them, and go back as one update for each value that changed.

/// Maps that all tasks have.
mod broadcast;
/// Lists and maps.
mod collections;
/// Numbers that the host combines.
mod reducing;

use std::any::type_name;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{self, Failure};
use crate::frame::{Cursor, NULL, length, malformed};
use crate::update::{OP_SET, UPDATE_BYTES, push_update};

pub use broadcast::{Broadcast, BroadcastTable};
pub(crate) use collections::{Collection, Collections};
pub use collections::{List, ListTable, Map, MapKey, MapTable};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use reducing::merge_stored;
pub use reducing::{Number, Reducing, ReducingTable};

/// A table that holds one `T` for each key. A constant; `describe` must name it.
#[derive(Debug)]
pub struct ValueTable<T> {
    name: &'static str,
    version: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T: StateValue> ValueTable<T> {
    /// A table by its name. State is found again by the name, so it must not change from version to version.
    pub const fn new(name: &'static str) -> Self {
        Self { name, version: "", value: PhantomData }
    }
}

impl<T> ValueTable<T> {
    /// The same with the version of its values, in the plugin's own words.
    pub const fn with_schema(self, version: &'static str) -> Self {
        Self { name: self.name, version, value: PhantomData }
    }

    /// The table's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T: StateValue> ValueTable<T> {
    /// What the host compares from version to version, and by which it shows values: their type and their version.
    pub(crate) fn schema(&self) -> String {
        schema(&[T::TYPE], self.version)
    }
}

/// The words of a type, and the version behind them.
fn schema(types: &[&str], version: &str) -> String {
    let words = types.iter().copied().chain([version]);
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

impl<T> Clone for ValueTable<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ValueTable<T> {}

/// What a table can hold. The bytes are the state's format on disk: later versions of a plugin must read them.
pub trait StateValue: Sized {
    /// The first word of the table's schema. Where it is one of the types that `wit/plugin.wit` names, the host shows
    /// values as what they are; a type of the plugin's own needs none.
    const TYPE: &'static str = "";

    /// Appends the value to `out`.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Failure>;

    /// Reads it back.
    fn decode(bytes: &[u8]) -> Result<Self, Failure>;
}

macro_rules! fixed_width {
    ($($number:ty),*) => {$(
        /// Little endian.
        impl StateValue for $number {
            const TYPE: &'static str = stringify!($number);

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
                out.extend_from_slice(&self.to_le_bytes());
                Ok(())
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<Self, Failure> {
                let bytes = bytes.try_into().map_err(|_| unreadable::<Self>(bytes))?;
                Ok(Self::from_le_bytes(bytes))
            }
        }
    )*};
}

fixed_width!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

/// As it is.
impl StateValue for Vec<u8> {
    const TYPE: &'static str = "bytes";

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        Ok(bytes.to_vec())
    }
}

/// UTF-8.
impl StateValue for String {
    const TYPE: &'static str = "text";

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        Ok(str::from_utf8(bytes)?.to_owned())
    }
}

/// Anything that serde knows, as JSON: the easy choice, and one that later versions can still read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned> StateValue for Json<T> {
    const TYPE: &'static str = "json";

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
        Ok(serde_json::to_writer(out, &self.0)?)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        Ok(Self(serde_json::from_slice(bytes)?))
    }
}

fn unreadable<T>(bytes: &[u8]) -> Failure {
    Failure::new(format!("{} bytes are no {}", bytes.len(), type_name::<T>()))
}

/// Handle to the value of the current record's key; see [`crate::Context::value`].
pub struct Value<'a, T> {
    table: ValueTable<T>,
    cell: Result<&'a mut Cell, Failure>,
    loaded: &'a [u8],
    record: u32,
}

impl<T: StateValue> Value<'_, T> {
    /// The value; `None` if there is none. Fails for a record without a key.
    #[inline]
    pub fn get(self) -> Result<Option<T>, Failure> {
        let cell = self.cell?;
        let bytes = match cell.change {
            Change::Set => Some(cell.bytes.as_slice()),
            Change::Clear => None,
            Change::Unchanged => cell.loaded(self.loaded),
        };
        let about = |failure: Failure| about_table(failure, "failed to read", self.table.name);
        bytes.map(|bytes| T::decode(bytes).map_err(about)).transpose()
    }

    /// Makes it `value`. Fails for a record without a key.
    #[inline]
    pub fn set(self, value: &T) -> Result<(), Failure> {
        let cell = self.cell?;
        cell.keep(self.record);
        cell.bytes.clear();
        cell.change = Change::Set;
        value.encode(&mut cell.bytes).map_err(|failure| about_table(failure, "failed to write", self.table.name))
    }

    /// Removes it. Fails for a record without a key.
    #[inline]
    pub fn clear(self) -> Result<(), Failure> {
        let cell = self.cell?;
        cell.keep(self.record);
        cell.change = Change::Clear;
        Ok(())
    }
}

#[cold]
fn about_table(failure: Failure, what: &str, table: &str) -> Failure {
    failure.context(format_args!("{what} table `{table}`")).with_code(failure::STATE)
}

/// One value of one slot, and what this batch makes of it.
#[derive(Debug)]
struct Cell {
    /// Where the loaded value stands in `values`; a length of `NULL` for none.
    at: u32,
    len: u32,
    change: Change,
    /// The new value, if `change` is `Set`. The buffer is kept from batch to batch.
    bytes: Vec<u8>,
    /// The record that changed it last, and what it was before that: `bytes_before`, if `change_before` is `Set`.
    changed_by: u32,
    change_before: Change,
    bytes_before: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Unchanged,
    Set,
    Clear,
}

/// A buffer above this is given back after the batch, so that a few large values do not pin memory.
const KEPT_BYTES: usize = 1024;

impl Cell {
    fn new(at: u32, len: u32) -> Self {
        let (bytes, bytes_before, change) = (Vec::new(), Vec::new(), Change::Unchanged);
        Self { at, len, change, bytes, changed_by: NULL, change_before: change, bytes_before }
    }

    /// Begins a batch.
    #[inline]
    fn load(&mut self, at: u32, len: u32) {
        (self.at, self.len, self.change, self.changed_by) = (at, len, Change::Unchanged, NULL);
        for bytes in [&mut self.bytes, &mut self.bytes_before] {
            if bytes.capacity() > KEPT_BYTES {
                *bytes = Vec::new();
            }
        }
    }

    /// `record` is about to change it: keeps what it was, without copying it.
    #[inline]
    fn keep(&mut self, record: u32) {
        if self.changed_by != record {
            (self.changed_by, self.change_before) = (record, self.change);
            if self.change == Change::Set {
                std::mem::swap(&mut self.bytes, &mut self.bytes_before);
            }
        }
    }

    /// Takes back what `record` changed.
    fn undo(&mut self, record: u32) {
        if self.changed_by == record {
            (self.changed_by, self.change) = (NULL, self.change_before);
            if self.change == Change::Set {
                std::mem::swap(&mut self.bytes, &mut self.bytes_before);
            }
        }
    }

    #[inline]
    fn loaded<'a>(&self, values: &'a [u8]) -> Option<&'a [u8]> {
        if self.len == NULL {
            return None;
        }
        values.get(self.at as usize..)?.get(..self.len as usize)
    }
}

/// A table whose values come with a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CellTable {
    /// Its index in the description.
    pub(crate) index: u32,
    /// Whether a value that has changed is sent. That of a reducing table is not: what was merged into it is.
    pub(crate) is_set: bool,
}

/// The values of one batch, slot by slot, and their changes.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    /// More than `used` from an earlier batch stay for their buffers.
    cells: Vec<Cell>,
    used: usize,
    /// The record that is being processed.
    record: u32,
}

const OP_CLEAR: u8 = 2;

impl Cells {
    /// Takes in the values of a batch.
    pub(crate) fn load(&mut self, values: &[u8], tables: usize) -> Result<(), Failure> {
        (self.used, self.record) = (0, 0);
        let mut cursor = Cursor::new(values, 0);
        while !cursor.is_at_end() {
            let value = cursor.sized().ok_or_else(|| malformed("list of values"))?;
            let len = length(value);
            let at = (cursor.at() - value.map_or(0, <[u8]>::len)) as u32;
            self.next_cell(at, len);
        }
        // No table, but values; or a slot that lacks some of its tables.
        if self.used.checked_rem(tables).unwrap_or(self.used) == 0 { Ok(()) } else { Err(malformed("list of values")) }
    }

    #[inline]
    fn next_cell(&mut self, at: u32, len: u32) {
        match self.cells.get_mut(self.used) {
            Some(cell) => cell.load(at, len),
            None => self.cells.push(Cell::new(at, len)),
        }
        self.used += 1;
    }

    /// Goes on to the next record of the batch.
    #[inline]
    pub(crate) fn next_record(&mut self) {
        self.record += 1;
    }

    /// Takes back what the current record, of this slot, has changed.
    pub(crate) fn undo(&mut self, slot: u32, tables: usize) {
        let (record, first) = (self.record, (slot as usize).saturating_mul(tables));
        let used = self.cells.get_mut(..self.used).unwrap_or_default();
        used.iter_mut().skip(first).take(tables).for_each(|cell| cell.undo(record));
    }

    /// A handle to the value with this index: slot times the number of tables that are handed over, plus the table's
    /// place among them. `loaded` is what was loaded.
    #[inline]
    pub(crate) fn value<'a, T>(
        &'a mut self,
        table: ValueTable<T>,
        index: Result<usize, Failure>,
        loaded: &'a [u8],
    ) -> Value<'a, T> {
        let record = self.record;
        let used = self.cells.get_mut(..self.used).unwrap_or_default();
        let cell = index.and_then(|index| used.get_mut(index).ok_or_else(|| malformed("list of slots")));
        Value { table, cell, loaded, record }
    }

    /// One update for each changed value, for the host, and `more` updates behind them. `tables` are those that
    /// are handed over.
    pub(crate) fn updates(&self, tables: &[CellTable], more: &[u8]) -> Vec<u8> {
        let table = |index: usize| tables.get(index % tables.len());
        let changed = || {
            let cells = self.cells.iter().take(self.used).enumerate();
            let cells = cells.filter(|(_, cell)| cell.change != Change::Unchanged);
            cells.filter(|(index, _)| table(*index).is_none_or(|table| table.is_set))
        };
        // Exact, because the bindings give back what is too much, at the price of a copy.
        let len = |cell: &Cell| UPDATE_BYTES + if cell.change == Change::Set { cell.bytes.len() } else { 0 };
        let mut out = Vec::with_capacity(changed().map(|(_, cell)| len(cell)).sum::<usize>() + more.len());
        for (index, cell) in changed() {
            let (op, bytes) = match cell.change {
                Change::Set => (OP_SET, cell.bytes.as_slice()),
                _ => (OP_CLEAR, &[][..]),
            };
            let table = table(index).map_or(NULL, |table| table.index);
            push_update(&mut out, op, table, (index / tables.len()) as u32, bytes);
        }
        out.extend_from_slice(more);
        out
    }
}

#[cfg(test)]
mod tests;
