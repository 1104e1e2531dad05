//! The state as a call sees it: tables by their index in the plugin's description, keys by their slot. Everything that a
//! plugin asks for is checked here, whatever runs it.

use std::fmt;

use crate::fault::PortError;
use crate::frame::NULL;
use crate::ports::{CallError, KeyedState, Table, TableKind};

/// Bytes that one read may give: a plugin that wants more asks again.
pub const READ_BYTES_MAX: usize = 64 << 20;
/// So many entries at a time are read before their bytes are counted, as long as they are small: the store takes no more
/// at once either.
const READ_ENTRIES: usize = 32;
/// What the first entries of a read are taken to have, until some were seen.
const ENTRY_BYTES: usize = 8 << 20;

/// See the module. A call may take it, and puts it back.
pub struct CallState {
    /// The state of the task.
    pub state: Box<dyn KeyedState>,
    tables: Vec<Table>,
    slots: u32,
}

impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallState").field("tables", &self.tables).field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl CallState {
    /// The state of an operator with `tables`, in the plugin's order; no slot yet.
    pub fn new(state: Box<dyn KeyedState>, tables: Vec<Table>) -> Self {
        Self { state, tables, slots: 0 }
    }

    /// The tables, in the plugin's order.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Begins a call with so many slots, which are entered into the state.
    pub fn begin(&mut self, slots: u32) {
        self.slots = slots;
    }

    /// Entries of maps: `wanted` is `{slot:u32, key_len:u32, key}*`; appends `{value_len:u32, value}*` to `out`.
    pub fn get_many(&mut self, table: u32, wanted: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
        let table = match self.table(table)? {
            table if matches!(table.kind, TableKind::Map | TableKind::Broadcast) => table,
            other => return Err(malformed(format!("get-many of table {table}, which is a {}", other.kind))),
        };
        let (mut rest, mut entries) = (wanted, Vec::with_capacity(READ_ENTRIES));
        let mut most = READ_BYTES_MAX / ENTRY_BYTES;
        while !rest.is_empty() {
            entries.clear();
            while entries.len() < most && !rest.is_empty() {
                let (slot, key, after) =
                    entry(rest).ok_or_else(|| malformed("a list of entries that is cut".into()))?;
                entries.push((self.slot(table, slot)?, key));
                rest = after;
            }
            let before = out.len();
            self.state.get_many(table, &entries, out).map_err(failed)?;
            if out.len() > READ_BYTES_MAX {
                return Err(malformed(format!("one read of more than {READ_BYTES_MAX} bytes")));
            }
            // The next are as large, perhaps: as many as there is room for.
            let bytes = (out.len() - before) / entries.len().max(1) + 1;
            most = ((READ_BYTES_MAX - out.len()) / bytes).clamp(1, READ_ENTRIES);
        }
        Ok(())
    }

    /// Entries of the list or map of one slot, as [`KeyedState::scan`] has them; before them, a byte: 1 if there are more.
    pub fn scan(
        &mut self,
        table: u32,
        slot: u32,
        start: &[u8],
        limit: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), CallError> {
        let table = match self.table(table)? {
            table if matches!(table.kind, TableKind::List | TableKind::Map | TableKind::Broadcast) => table,
            other => return Err(malformed(format!("a scan of table {table}, which is a {}", other.kind))),
        };
        let slot = self.slot(table, slot)?;
        let head = out.len();
        out.push(0);
        let has_more = self.state.scan(table, slot, start, limit, out).map_err(failed)?;
        if let Some(head) = out.get_mut(head) {
            *head = u8::from(has_more);
        }
        Ok(())
    }

    fn table(&self, index: u32) -> Result<Table, CallError> {
        let unknown = || malformed(format!("table {index}; the plugin declares {}", self.tables.len()));
        self.tables.get(index as usize).copied().ok_or_else(unknown)
    }

    fn slot(&self, table: Table, slot: u32) -> Result<u32, CallError> {
        match table.kind {
            TableKind::Broadcast if slot == NULL => Ok(slot),
            TableKind::Broadcast => Err(malformed(format!("slot {slot} of a broadcast table, which is under no key"))),
            _ if slot < self.slots => Ok(slot),
            _ => Err(malformed(format!("slot {slot}; the batch has {} keys", self.slots))),
        }
    }
}

/// The first of `{slot:u32, key_len:u32, key}*`, and the rest.
fn entry(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (slot, rest) = bytes.split_first_chunk::<4>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len);
    let (key, rest) = rest.split_at_checked(len as usize).filter(|_| len != NULL)?;
    Some((u32::from_le_bytes(*slot), key, rest))
}

fn malformed(reason: String) -> CallError {
    CallError::Malformed { what: "read", reason }
}

fn failed(error: PortError) -> CallError {
    CallError::Host(error)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::ids::{Epoch, TableId};
    use crate::ports::{Change, Delta, KeyRef, Now};

    /// Every entry has so many bytes.
    struct Wide(usize);

    impl KeyedState for Wide {
        fn set_time(&mut self, _: Now, _: &[Table]) {}
        fn follow(&mut self) {}
        fn enter(&mut self, _: &[KeyRef<'_>]) {}
        fn prefetch(&mut self, _: &[Table], _: Range<u32>, _: &mut Vec<u8>) -> Result<(), PortError> {
            Ok(())
        }
        fn get_many(&mut self, _: Table, wanted: &[(u32, &[u8])], out: &mut Vec<u8>) -> Result<(), PortError> {
            wanted.iter().for_each(|_| out.resize(out.len() + self.0, 0));
            Ok(())
        }
        fn scan(&mut self, _: Table, _: u32, _: &[u8], _: u32, _: &mut Vec<u8>) -> Result<bool, PortError> {
            Ok(false)
        }
        fn timers(
            &mut self,
            _: Table,
            _: Range<u16>,
            _: &[u8],
            _: usize,
            _: &mut Vec<Vec<u8>>,
        ) -> Result<(), PortError> {
            Ok(())
        }
        fn change(&mut self, _: u32, _: Table, _: Change<'_>) -> Result<(), PortError> {
            Ok(())
        }
        fn seal(&mut self, _: Epoch) -> Delta {
            Delta::default()
        }
        fn commit(&mut self, _: Epoch) {}
        fn bytes(&self) -> u64 {
            0
        }
        fn is_full(&mut self) -> bool {
            false
        }
    }

    #[test]
    fn a_read_is_bounded_while_it_is_built() {
        for (bytes, entries, is_refused) in
            [(100, 5_000, false), (1 << 20, 64, false), (1 << 20, 5_000, true), (20 << 20, 256, true)]
        {
            let mut state =
                CallState::new(Box::new(Wide(bytes)), vec![Table { id: TableId(1), kind: TableKind::Map, ttl: None }]);
            state.begin(1);
            let wanted = [&0_u32.to_le_bytes()[..], &1_u32.to_le_bytes(), b"k"].concat().repeat(entries);
            let mut out = Vec::new();
            assert_eq!(state.get_many(0, &wanted, &mut out).is_err(), is_refused, "{entries} of {bytes}");
            assert!(is_refused || out.len() == bytes * entries);
            let over = READ_ENTRIES.min(READ_BYTES_MAX / ENTRY_BYTES) * bytes;
            assert!(out.len() <= READ_BYTES_MAX + over, "{entries} of {bytes}: {} bytes were built", out.len());
        }
    }
}
