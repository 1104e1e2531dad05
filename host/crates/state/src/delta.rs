//! The bytes of state keys and deltas: one layout for log, delta and store.
//!
//! ```text
//! value        key_group:u16be | operator:u16be | table:u16be | user key
//! list, map    key_group:u16be | operator:u16be | table:u16be | len:u32be | user key | entry
//! timer        key_group:u16be | operator:u16be | table:u16be | time:u64be | user key
//! window       key_group:u16be | operator:u16be | table:u16be | len:u32be | user key | start:u64be | end:u64be
//! its timer    key_group:u16be | operator:u16be | table:u16be | time:u64be | len:u32be | user key | start:u64be | end:u64be
//! ```
//! What all tasks have is a map under the empty key, whose key group's task writes it.
//! A key group is one range of the store, and so is what one key has in one list or map: no user key of another length
//! or other bytes begins like it. An element's entry is its number, `u64be`; that of a map is the entry's own key. Whatever
//! the kind, the user's key is told from the rest. The timers of a key group are in the order of time.
//!
//! A delta is `{key_len:u32, key, value_len:u32, value}*`, little endian, with `NULL` for what is cleared. It does not ask
//! for the kind of a table: neither do log, applier and savepoint.

use weir_core::frame::NULL;
use weir_core::key_group::KeyGroup;
use weir_core::ports::{KeyRef, Table, TableKind};
use weir_core::{OperatorId, TableId};

use crate::error::Error;

/// Bytes before the part that depends on the table's kind.
pub(crate) const PREFIX: usize = 6;
/// Bytes of the time of a timer.
const TIME: usize = 8;
/// Bytes of a delta entry besides key and value.
pub(crate) const ENTRY_OVERHEAD: usize = 8;

/// Key group and operator: what one operator's keys of one key group begin with.
pub(crate) fn operator_prefix(group: KeyGroup, operator: OperatorId) -> [u8; 4] {
    let ([a, b], [c, d]) = (group.0.to_be_bytes(), operator.0.to_be_bytes());
    [a, b, c, d]
}

/// Appends the state key; of a list or a map what all entries of `key` begin with.
pub(crate) fn push_key(out: &mut Vec<u8>, operator: OperatorId, table: Table, key: KeyRef<'_>) {
    push_table(out, operator, table, KeyGroup::of_hash(key.hash));
    match table.kind {
        // That of a window is told from the rest by itself; before that of a timer comes its time.
        TableKind::Value | TableKind::Reducing | TableKind::Window => {}
        TableKind::Timer | TableKind::ProcessingTimer | TableKind::WindowTimer => {}
        TableKind::List | TableKind::Map | TableKind::Broadcast => {
            out.extend_from_slice(&(key.bytes.len() as u32).to_be_bytes())
        }
    }
    out.extend_from_slice(key.bytes);
}

/// Appends the state key of the timer of `key` at `time`, in the table's own order of time.
pub(crate) fn push_timer(out: &mut Vec<u8>, operator: OperatorId, table: Table, time: &[u8], key: KeyRef<'_>) {
    push_table(out, operator, table, KeyGroup::of_hash(key.hash));
    out.extend_from_slice(time);
    out.extend_from_slice(key.bytes);
}

/// Appends what all keys of `table` in one key group begin with.
pub(crate) fn push_table(out: &mut Vec<u8>, operator: OperatorId, table: Table, group: KeyGroup) {
    out.extend_from_slice(&operator_prefix(group, operator));
    out.extend_from_slice(&table.id.0.to_be_bytes());
}

/// Operator and table of a state key, and the part that depends on the table's kind; `None` where it is none.
pub(crate) fn parse_key(key: &[u8]) -> Option<(OperatorId, TableId, &[u8])> {
    let ([_, _, a, b, c, d], rest) = key.split_first_chunk::<PREFIX>()?;
    Some((OperatorId(u16::from_be_bytes([*a, *b])), TableId(u16::from_be_bytes([*c, *d])), rest))
}

/// The user's key, and the entry where there are several under it: of the part that depends on the kind.
pub(crate) fn parse_rest(kind: TableKind, rest: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    match kind {
        TableKind::Value | TableKind::Reducing => Some((rest, None)),
        TableKind::Timer | TableKind::ProcessingTimer => {
            rest.split_at_checked(TIME).map(|(time, key)| (key, Some(time)))
        }
        TableKind::WindowTimer => {
            let (time, rest) = rest.split_at_checked(TIME)?;
            parse_rest(TableKind::Window, rest).map(|(key, _)| (key, Some(time)))
        }
        TableKind::List | TableKind::Map | TableKind::Broadcast | TableKind::Window => {
            let (len, rest) = rest.split_first_chunk::<4>()?;
            let (key, entry) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
            Some((key, Some(entry)))
        }
    }
}

/// Appends `len:u32, bytes`, or [`NULL`] for none: a value in a delta, and in what a call is given.
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

#[cfg(test)]
mod tests {
    use weir_core::key_group::key_hash;

    use super::*;

    fn key(kind: TableKind, user: &[u8], entry: &[u8]) -> Vec<u8> {
        let (mut out, table) = (Vec::new(), Table { id: TableId(0x0304), kind, ttl: None });
        push_key(&mut out, OperatorId(0x0102), table, KeyRef { hash: key_hash(user), bytes: user });
        out.extend_from_slice(entry);
        out
    }

    #[test]
    fn the_bytes_of_each_kind_are_pinned() {
        let group = KeyGroup::of_hash(key_hash(b"ab")).0.to_be_bytes();
        let head = [&group[..], &[1, 2, 3, 4]].concat();
        assert_eq!(key(TableKind::Value, b"ab", b""), [&head[..], b"ab"].concat());
        assert_eq!(key(TableKind::Map, b"ab", b"e"), [&head[..], b"\0\0\0\x02abe"].concat());
        let element = 7u64.to_be_bytes();
        assert_eq!(key(TableKind::List, b"ab", &element), [&head[..], b"\0\0\0\x02ab", &element].concat());
    }

    #[test]
    fn whatever_the_kind_the_users_key_is_told_from_the_rest() {
        for (kind, entry) in
            [(TableKind::Value, None), (TableKind::List, Some(&b"12345678"[..])), (TableKind::Map, Some(b""))]
        {
            for user in [&b""[..], b"ab", b"\0\0\0\x02ab"] {
                let bytes = key(kind, user, entry.unwrap_or_default());
                let (operator, table, rest) = parse_key(&bytes).unwrap();
                assert_eq!((operator.0, table.0), (0x0102, 0x0304));
                assert_eq!(parse_rest(kind, rest), Some((user, entry)), "{kind}");
            }
        }
        assert_eq!(parse_rest(TableKind::Map, b"\0\0\0\x02a"), None, "it says a longer key than it has");
        let (mut timer, table) = (Vec::new(), Table { id: TableId(0x0304), kind: TableKind::Timer, ttl: None });
        push_timer(&mut timer, OperatorId(0x0102), table, b"12345678", KeyRef { hash: 0, bytes: b"ab" });
        let (_, _, rest) = parse_key(&timer).unwrap();
        assert_eq!(rest, b"12345678ab");
        assert_eq!(parse_rest(TableKind::Timer, rest), Some((&b"ab"[..], Some(&b"12345678"[..]))));
        assert_eq!(parse_rest(TableKind::Timer, b"1234567"), None, "it has no time");
    }

    #[test]
    fn no_key_begins_like_the_entries_of_another() {
        let users: [&[u8]; 6] = [b"", b"a", b"ab", b"\0", b"a\0\0\0\x01", b"\0\0\0\x01a"];
        for one in users {
            for other in users.into_iter().filter(|other| *other != one) {
                // As if they were of one key group.
                let begin = &key(TableKind::Map, one, b"")[PREFIX..];
                assert!(!key(TableKind::Map, other, b"entry")[PREFIX..].starts_with(begin), "{one:?} {other:?}");
            }
        }
    }
}
