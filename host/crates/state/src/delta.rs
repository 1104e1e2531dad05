//! The bytes of state keys and deltas: one layout for log, delta and store.
//!
//! A state key is `key_group:u16be | operator:u16be | table:u16be | user key`, so that a key group is one range of the
//! store. A delta is `{key_len:u32, key, value_len:u32, value}*`, little endian, with `NULL` for a cleared value.

use weir_core::frame::NULL;
use weir_core::key_group::KeyGroup;
use weir_core::ports::KeyRef;
use weir_core::{OperatorId, TableId};

use crate::error::Error;

/// Bytes before the user key.
pub(crate) const PREFIX: usize = 6;
/// Bytes of a delta entry besides key and value.
pub(crate) const ENTRY_OVERHEAD: usize = 8;

/// Key group and operator: what one operator's keys of one key group begin with.
pub(crate) fn operator_prefix(group: KeyGroup, operator: OperatorId) -> [u8; 4] {
    let ([a, b], [c, d]) = (group.0.to_be_bytes(), operator.0.to_be_bytes());
    [a, b, c, d]
}

/// Appends the state key.
pub(crate) fn push_key(out: &mut Vec<u8>, operator: OperatorId, table: TableId, key: KeyRef<'_>) {
    out.extend_from_slice(&operator_prefix(KeyGroup::of_hash(key.hash), operator));
    out.extend_from_slice(&table.0.to_be_bytes());
    out.extend_from_slice(key.bytes);
}

/// Operator, table and user key of a state key; `None` where it is none.
pub(crate) fn parse_key(key: &[u8]) -> Option<(OperatorId, TableId, &[u8])> {
    let ([_, _, a, b, c, d], user_key) = key.split_first_chunk::<PREFIX>()?;
    Some((OperatorId(u16::from_be_bytes([*a, *b])), TableId(u16::from_be_bytes([*c, *d])), user_key))
}

/// Appends `len:u32, bytes`, or [`NULL`] for none: a value in a delta, and in what `load` returns.
pub(crate) fn push_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(value);
        }
        None => out.extend_from_slice(&NULL.to_le_bytes()),
    }
}

/// Appends one entry of a delta.
pub(crate) fn push_entry(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    push_value(out, Some(key));
    push_value(out, value);
}

/// The entries of a delta, in order.
pub(crate) fn entries(payload: &[u8]) -> Entries<'_> {
    Entries { rest: payload }
}

/// See [`entries`].
pub(crate) struct Entries<'a> {
    rest: &'a [u8],
}

/// A state key, and its value unless it is cleared.
pub(crate) type Entry<'a> = (&'a [u8], Option<&'a [u8]>);

impl<'a> Entries<'a> {
    /// `None`: the payload ends too early.
    fn value(&mut self) -> Option<Option<&'a [u8]>> {
        let (len, rest) = self.rest.split_first_chunk::<4>()?;
        let len = u32::from_le_bytes(*len);
        let (value, rest) = if len == NULL {
            (None, rest)
        } else {
            let (value, rest) = rest.split_at_checked(len as usize)?;
            (Some(value), rest)
        };
        self.rest = rest;
        Some(value)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.value().flatten().and_then(|key| Some((key, self.value()?)));
        if entry.is_none() {
            self.rest = &[];
        }
        Some(entry.ok_or_else(|| Error::Invariant("a delta that is not a sequence of keys and values".to_owned())))
    }
}
