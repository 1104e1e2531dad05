//! What a plugin's call does to its state, and which records it rejects: `{op:u8, table:u32, slot:u32, len:u32, bytes}*`,
//! little endian, as `wit/FRAME.md` has it. Everything is checked before anything is applied.

use weir_core::PortError;
use weir_core::frame::NULL;
use weir_core::ports::{CallError, CallState, Change, Table, TableKind};
use weir_time::timestamp::LEGAL_MS;

const SET: u8 = 1;
const CLEAR: u8 = 2;
const REJECT: u8 = 3;
const APPEND: u8 = 4;
const PUT: u8 = 5;
const DELETE: u8 = 6;
const MERGE: u8 = 7;
const SET_TIMER: u8 = 8;
const CANCEL_TIMER: u8 = 9;
const HEAD_BYTES: usize = 13;
/// Bytes of a rejection's message that are kept.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// What a call may refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Within<'a> {
    /// The plugin's tables, in its order.
    pub tables: &'a [Table],
    /// How many distinct keys the call has. A null key has no slot, so nothing can be stored under it.
    pub keys: usize,
    /// How many records the call has.
    pub records: usize,
    /// Whether they come to all tasks: such a call changes the tables that all tasks have, which no other does.
    pub is_broadcast: bool,
}

impl Within<'_> {
    /// What is wrong with a change of what `slot` has in `table`, which `fits` tables of some kinds; else it says what it is.
    fn misplaced(
        &self,
        (table, slot): (u32, u32),
        fits: impl Fn(TableKind) -> Result<(), &'static str>,
    ) -> Option<String> {
        let kind = self.tables.get(table as usize).map(|table| table.kind);
        match kind {
            Some(TableKind::Broadcast) if slot != NULL => {
                return Some(format!("slot {slot} of table {table}, which is a broadcast and under no key,"));
            }
            Some(TableKind::Broadcast) if !self.is_broadcast => {
                return Some(format!("table {table}, which is a broadcast that only its own inputs change,"));
            }
            Some(TableKind::Broadcast) => {}
            _ if slot as usize >= self.keys => {
                return Some(format!("slot {slot}, where the batch has {} keys,", self.keys));
            }
            _ => {}
        }
        let Some(kind) = kind else {
            return Some(format!("table {table}, where the plugin declares {},", self.tables.len()));
        };
        fits(kind).err().map(|what| format!("{what} of table {table}, which is a {kind},"))
    }
}

/// A record that the plugin has undone by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reject<'a> {
    /// Its index in the call.
    pub record: u32,
    /// The plugin's own number for why.
    pub code: u32,
    /// The plugin's own words.
    pub message: &'a str,
}

impl From<Reject<'_>> for CallError {
    fn from(reject: Reject<'_>) -> Self {
        let Reject { record, code, message } = reject;
        let message = message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or(message).to_owned();
        Self::Failed { index: Some(record), code, message }
    }
}

/// A timer that is set or cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerChange {
    /// The table that it is in: its index in the plugin's description.
    pub table: u32,
    /// Whose it is.
    pub slot: u32,
    /// When it is due.
    pub at_ms: i64,
    /// What becomes of it.
    pub is_set: bool,
}

enum Update<'a> {
    Change { table: u32, slot: u32, change: Change<'a> },
    Merge { table: u32, slot: u32, addend: &'a [u8] },
    Timer(TimerChange),
    Reject(Reject<'a>),
}

/// Checks `updates` against what the call has; returns how many records are rejected.
pub(crate) fn check(updates: &[u8], within: Within<'_>) -> Result<usize, CallError> {
    let malformed = |reason: String| CallError::Malformed { what: "updates", reason };
    let (mut rest, mut rejected, mut reject_next) = (updates, 0, 0);
    while !rest.is_empty() {
        let at = updates.len() - rest.len();
        let (update, after) = next(rest).map_err(|reason| malformed(format!("{reason} at byte {at}")))?;
        let wrong = match update {
            Update::Change { table, slot, change } => {
                let fits = |kind| if fits(change, kind) { Ok(()) } else { Err(name(change)) };
                within.misplaced((table, slot), fits).map(|what| format!("{what} at byte {at}"))
            }
            Update::Merge { table, slot, .. } => {
                let fits = |kind| if kind == TableKind::Reducing { Ok(()) } else { Err("a merge") };
                within.misplaced((table, slot), fits).map(|what| format!("{what} at byte {at}"))
            }
            Update::Timer(TimerChange { at_ms, .. }) if !LEGAL_MS.contains(&at_ms) => {
                Some(format!("a timer at {at_ms} ms, outside of the years 1970 to 9899, at byte {at}"))
            }
            Update::Timer(TimerChange { table, slot, .. }) => {
                let fits = |kind: TableKind| kind.timers_of().map(drop).ok_or("a timer");
                within.misplaced((table, slot), fits).map(|what| format!("{what} at byte {at}"))
            }
            Update::Reject(Reject { record, .. }) if record as usize >= within.records => {
                Some(format!("record {record} is rejected at byte {at}; the batch has {}", within.records))
            }
            Update::Reject(Reject { record, .. }) if record < reject_next => {
                Some(format!("record {record} is rejected twice or out of order, at byte {at}"))
            }
            Update::Reject(Reject { record, .. }) => {
                (rejected, reject_next) = (rejected + 1, record + 1);
                None
            }
        };
        if let Some(reason) = wrong {
            return Err(malformed(reason));
        }
        rest = after;
    }
    Ok(rejected)
}

/// Whether a table of this kind can change so.
fn fits(change: Change<'_>, kind: TableKind) -> bool {
    match change {
        // The host alone says when a window is gone; timers are cancelled one by one.
        Change::Clear => kind != TableKind::Window && !kind.is_timer(),
        Change::Set(_) => matches!(kind, TableKind::Value | TableKind::Window),
        Change::Append(_) => kind == TableKind::List,
        Change::Put { .. } | Change::Delete(_) => matches!(kind, TableKind::Map | TableKind::Broadcast),
    }
}

fn name(change: Change<'_>) -> &'static str {
    match change {
        Change::Set(_) => "a set",
        Change::Clear => "a clear",
        Change::Append(_) => "an append",
        Change::Put { .. } => "a put",
        Change::Delete(_) => "a delete",
    }
}

/// Applies the changes of `updates`, which [`check`] has passed, to the state that the call has entered: all but those of
/// reducing tables, see [`merges`].
pub(crate) fn apply(updates: &[u8], call: &mut CallState) -> Result<(), PortError> {
    let mut rest = updates;
    while let Ok((update, after)) = next(rest) {
        if let Update::Change { table, slot, change } = update
            && let Some(table) = call.tables().get(table as usize).copied()
            && table.kind != TableKind::Reducing
        {
            call.state.change(slot, table, change)?;
        }
        rest = after;
    }
    Ok(())
}

/// The slots whose value `updates` sets, which [`check`] has passed; one may come twice.
pub(crate) fn slots_set(updates: &[u8]) -> impl Iterator<Item = u32> {
    all(updates).filter_map(|update| match update {
        Update::Change { slot, change: Change::Set(_), .. } => Some(slot),
        Update::Change { .. } | Update::Merge { .. } | Update::Timer(_) | Update::Reject(_) => None,
    })
}

/// What `updates`, which [`check`] has passed, do to the reducing table of this index, in order: the slot, and what is merged
/// into what it has, which goes where there is nothing to merge.
pub(crate) fn merges(updates: &[u8], index: u32) -> impl Iterator<Item = (u32, Option<&[u8]>)> {
    all(updates).filter_map(move |update| match update {
        Update::Merge { table, slot, addend } if table == index => Some((slot, Some(addend))),
        Update::Change { table, slot, change: Change::Clear } if table == index => Some((slot, None)),
        Update::Change { .. } | Update::Merge { .. } | Update::Timer(_) | Update::Reject(_) => None,
    })
}

/// The timers that `updates` sets and cancels, which [`check`] has passed: in order.
pub(crate) fn timer_changes(updates: &[u8]) -> impl Iterator<Item = TimerChange> {
    all(updates).filter_map(|update| match update {
        Update::Timer(change) => Some(change),
        Update::Change { .. } | Update::Merge { .. } | Update::Reject(_) => None,
    })
}

/// The records that `updates` rejects, which [`check`] has passed: in order, none twice.
pub(crate) fn rejects(updates: &[u8]) -> impl Iterator<Item = Reject<'_>> {
    all(updates).filter_map(|update| match update {
        Update::Reject(reject) => Some(reject),
        Update::Change { .. } | Update::Merge { .. } | Update::Timer(_) => None,
    })
}

fn all(updates: &[u8]) -> impl Iterator<Item = Update<'_>> {
    let mut rest = updates;
    std::iter::from_fn(move || {
        let (update, after) = next(rest).ok()?;
        rest = after;
        Some(update)
    })
}

fn next(bytes: &[u8]) -> Result<(Update<'_>, &[u8]), String> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(|| "an update is cut".to_owned())?;
    let [op, t0, t1, t2, t3, s0, s1, s2, s3, l0, l1, l2, l3] = *head;
    let (table, slot) = (u32::from_le_bytes([t0, t1, t2, t3]), u32::from_le_bytes([s0, s1, s2, s3]));
    let len = u32::from_le_bytes([l0, l1, l2, l3]);
    match op {
        SET if len == NULL => Err("a set without a value".to_owned()),
        SET => {
            let (value, rest) = rest.split_at_checked(len as usize).ok_or_else(|| "a value is cut".to_owned())?;
            Ok((Update::Change { table, slot, change: Change::Set(value) }, rest))
        }
        CLEAR if len == 0 => Ok((Update::Change { table, slot, change: Change::Clear }, rest)),
        CLEAR => Err("a clear with a value".to_owned()),
        REJECT if len == NULL => Err("a reject without a message".to_owned()),
        REJECT => {
            let (message, rest) = rest.split_at_checked(len as usize).ok_or_else(|| "a message is cut".to_owned())?;
            let message = str::from_utf8(message).map_err(|_| "a message that is not UTF-8".to_owned())?;
            Ok((Update::Reject(Reject { record: slot, code: table, message }), rest))
        }
        APPEND | PUT | DELETE | MERGE if len == NULL => Err("an update without bytes".to_owned()),
        APPEND | PUT | DELETE | MERGE => {
            let (bytes, rest) = rest.split_at_checked(len as usize).ok_or_else(|| "an update is cut".to_owned())?;
            if op == MERGE {
                return Ok((Update::Merge { table, slot, addend: bytes }, rest));
            }
            let change = match op {
                APPEND => Change::Append(bytes),
                DELETE => Change::Delete(bytes),
                _ => put(bytes).ok_or_else(|| "the key of an entry is cut".to_owned())?,
            };
            Ok((Update::Change { table, slot, change }, rest))
        }
        SET_TIMER | CANCEL_TIMER if len != 8 => Err("a timer without a time of 8 bytes".to_owned()),
        SET_TIMER | CANCEL_TIMER => {
            let (time, rest) = rest.split_first_chunk::<8>().ok_or_else(|| "a timer is cut".to_owned())?;
            let change = TimerChange { table, slot, at_ms: i64::from_le_bytes(*time), is_set: op == SET_TIMER };
            Ok((Update::Timer(change), rest))
        }
        other => Err(format!("unknown op {other}")),
    }
}

/// `key_len:u32, key, value`.
fn put(bytes: &[u8]) -> Option<Change<'_>> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (entry, value) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some(Change::Put { entry, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [Table; 6] = [
        table(TableKind::Value),
        table(TableKind::List),
        table(TableKind::Map),
        table(TableKind::Timer),
        table(TableKind::Reducing),
        table(TableKind::Broadcast),
    ];
    const WITHIN: Within<'_> = Within { tables: &TABLES, keys: 2, records: 3, is_broadcast: false };
    /// Its records have come to all tasks.
    const TO_ALL: Within<'_> = Within { keys: 0, is_broadcast: true, ..WITHIN };

    const fn table(kind: TableKind) -> Table {
        Table { id: weir_core::TableId(0), kind, ttl: None }
    }

    fn update(op: u8, table: u32, slot: u32, len: u32, value: &[u8]) -> Vec<u8> {
        [&[op][..], &table.to_le_bytes(), &slot.to_le_bytes(), &len.to_le_bytes(), value].concat()
    }

    fn reject(record: u32) -> Vec<u8> {
        update(REJECT, 100, record, 3, b"why")
    }

    #[test]
    fn what_has_come_to_all_tasks_changes_what_all_of_them_have_and_nothing_else() {
        let good = [update(PUT, 5, NULL, 5, &[0, 0, 0, 0, 7]), update(DELETE, 5, NULL, 1, b"k"), reject(2)].concat();
        assert_eq!(check(&good, TO_ALL).unwrap(), 1);
        assert_eq!(check(&update(CLEAR, 5, NULL, 0, b""), TO_ALL).unwrap(), 0);
        let timer = 1_i64.to_le_bytes();
        for (bytes, wanted) in [
            (update(SET, 0, 0, 0, b""), "slot 0, where the batch has 0 keys"),
            (update(SET, 0, NULL, 0, b""), "slot 4294967295, where the batch has 0 keys"),
            (update(SET_TIMER, 3, 0, 8, &timer), "slot 0, where the batch has 0 keys"),
            (update(SET_TIMER, 5, NULL, 8, &timer), "a timer of table 5, which is a broadcast"),
            (update(SET, 5, NULL, 0, b""), "a set of table 5, which is a broadcast"),
            (update(PUT, 5, 0, 4, &[0; 4]), "slot 0 of table 5, which is a broadcast and under no key, at byte 0"),
        ] {
            let error = check(&bytes, TO_ALL).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error} should say {wanted}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let at = |ms: i64| ms.to_le_bytes();
        let cases = [
            (update(0, 0, 0, 0, b""), "unknown op 0"),
            (update(10, 0, 0, 0, b""), "unknown op 10"),
            (update(MERGE, 0, 0, 8, &at(1)), "a merge of table 0, which is a value, at byte 0"),
            (update(MERGE, 4, 2, 8, &at(1)), "slot 2, where the batch has 2 keys, at byte 0"),
            (update(MERGE, 4, 0, NULL, b""), "without bytes"),
            (update(SET, 4, 0, 8, &at(1)), "a set of table 4, which is a reducing"),
            (update(SET, 6, 0, 0, b""), "table 6, where the plugin declares 6, at byte 0"),
            (
                update(PUT, 5, NULL, 4, &[0; 4]),
                "table 5, which is a broadcast that only its own inputs change, at byte 0",
            ),
            (update(SET, 3, 0, 0, b""), "a set of table 3, which is a timer"),
            (update(CLEAR, 3, 0, 0, b""), "a clear of table 3, which is a timer"),
            (update(SET_TIMER, 0, 0, 8, &at(1)), "a timer of table 0, which is a value, at byte 0"),
            (update(SET_TIMER, 3, 2, 8, &at(1)), "slot 2, where the batch has 2 keys, at byte 0"),
            (update(SET_TIMER, 3, 0, 8, &at(-1)), "a timer at -1 ms, outside of the years 1970 to 9899"),
            (update(CANCEL_TIMER, 3, 0, 8, &at(i64::MAX)), "outside of the years"),
            (update(SET_TIMER, 3, 0, 7, &at(1)), "a timer without a time"),
            (update(CANCEL_TIMER, 3, 0, NULL, b""), "a timer without a time"),
            (update(SET_TIMER, 3, 0, 8, b"1234567"), "a timer is cut"),
            (update(SET, 1, 0, 0, b""), "a set of table 1, which is a list"),
            (update(SET, 2, 0, 0, b""), "a set of table 2, which is a map"),
            (update(APPEND, 0, 0, 0, b""), "an append of table 0, which is a value"),
            (update(APPEND, 2, 0, 0, b""), "an append of table 2, which is a map"),
            (update(PUT, 1, 0, 4, &[0; 4]), "a put of table 1, which is a list"),
            (update(DELETE, 0, 0, 0, b""), "a delete of table 0, which is a value"),
            (update(APPEND, 1, 0, NULL, b""), "without bytes"),
            (update(APPEND, 1, 0, 5, b"four"), "cut"),
            (update(PUT, 2, 0, 3, &[0; 3]), "the key of an entry is cut"),
            (update(PUT, 2, 0, 5, &[2, 0, 0, 0, 7]), "the key of an entry is cut"),
            (update(SET, 0, 2, 0, b""), "slot 2"),
            (update(SET, 0, NULL, 0, b""), "slot 4294967295"),
            (update(SET, 0, 0, 5, b"four"), "cut"),
            (update(CLEAR, 0, 0, 1, b"x"), "clear with a value"),
            (vec![SET, 0], "cut"),
            (reject(3), "record 3 is rejected at byte 0; the batch has 3"),
            ([reject(1), reject(1)].concat(), "record 1 is rejected twice or out of order, at byte 16"),
            ([reject(2), reject(0)].concat(), "out of order"),
            (update(REJECT, 0, 0, 1, b"\xff"), "not UTF-8"),
            (update(REJECT, 0, 0, NULL, b""), "without a message"),
        ];
        for (bytes, wanted) in cases {
            let error = check(&bytes, WITHIN).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error} should say {wanted}");
        }
        let lists = [update(APPEND, 1, 0, 1, b"x"), update(CLEAR, 1, 0, 0, b"")].concat();
        let maps = [update(PUT, 2, 1, 6, b"\x01\0\0\0kv"), update(DELETE, 2, 1, 1, b"k"), update(CLEAR, 2, 1, 0, b"")]
            .concat();
        let timers = [update(SET_TIMER, 3, 1, 8, &at(7)), update(CANCEL_TIMER, 3, 0, 8, &at(0))].concat();
        let change = |slot, at_ms, is_set| TimerChange { table: 3, slot, at_ms, is_set };
        assert_eq!(timer_changes(&timers).collect::<Vec<_>>(), [change(1, 7, true), change(0, 0, false)]);
        let numbers = [update(MERGE, 4, 1, 1, b"7"), update(CLEAR, 4, 0, 0, b""), update(CLEAR, 2, 1, 0, b"")].concat();
        assert_eq!(merges(&numbers, 4).collect::<Vec<_>>(), [(1, Some(&b"7"[..])), (0, None)]);
        assert_eq!(check(&[lists, maps, timers, numbers].concat(), WITHIN).unwrap(), 0);
        let good = [update(SET, 0, 0, 1, b"x"), reject(0), update(CLEAR, 0, 1, 0, b""), reject(2)].concat();
        assert_eq!(check(&good, WITHIN).unwrap(), 2);
        let seen: Vec<_> = rejects(&good).map(|reject| (reject.record, reject.code, reject.message)).collect();
        assert_eq!(seen, [(0, 100, "why"), (2, 100, "why")]);
    }

    #[test]
    fn a_long_message_is_clipped() {
        let message = "ä".repeat(MESSAGE_BYTES_MAX);
        let error = CallError::from(Reject { record: 7, code: 1, message: &message });
        let CallError::Failed { index: Some(7), code: 1, message } = error else { panic!("{error:?}") };
        assert_eq!(message.len(), MESSAGE_BYTES_MAX);
    }
}
