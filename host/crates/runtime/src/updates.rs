//! What a plugin's call does to its state: `{op:u8, table:u32, slot:u32, len:u32, bytes}*`, little endian, as
//! `wit/FRAME.md` has it. Everything is checked before anything is applied.

use weir_core::TableId;
use weir_core::frame::NULL;
use weir_core::ports::{CallError, Change, KeyRef, KeyedState};

const SET: u8 = 1;
const CLEAR: u8 = 2;
const HEAD_BYTES: usize = 13;

struct Update<'a> {
    table: u32,
    slot: u32,
    change: Change<'a>,
}

/// Checks `updates` against the call's tables and keys. A null key has no slot, so nothing can be stored under it.
pub(crate) fn check(updates: &[u8], tables: usize, keys: usize) -> Result<(), CallError> {
    let malformed = |reason: String| CallError::Malformed { what: "updates", reason };
    let mut rest = updates;
    while !rest.is_empty() {
        let at = updates.len() - rest.len();
        let (update, after) = next(rest).map_err(|reason| malformed(format!("{reason} at byte {at}")))?;
        if update.table as usize >= tables {
            return Err(malformed(format!("table {} at byte {at}; the plugin declares {tables}", update.table)));
        }
        if update.slot as usize >= keys {
            return Err(malformed(format!("slot {} at byte {at}; the batch has {keys} keys", update.slot)));
        }
        rest = after;
    }
    Ok(())
}

/// Applies `updates`, which [`check`] has passed.
pub(crate) fn apply(updates: &[u8], tables: &[TableId], keys: &[KeyRef<'_>], state: &mut dyn KeyedState) {
    let mut rest = updates;
    while let Ok((update, after)) = next(rest) {
        if let (Some(table), Some(key)) = (tables.get(update.table as usize), keys.get(update.slot as usize)) {
            state.change(*table, *key, update.change);
        }
        rest = after;
    }
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
            Ok((Update { table, slot, change: Change::Set(value) }, rest))
        }
        CLEAR if len == 0 => Ok((Update { table, slot, change: Change::Clear }, rest)),
        CLEAR => Err("a clear with a value".to_owned()),
        other => Err(format!("unknown op {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(op: u8, table: u32, slot: u32, len: u32, value: &[u8]) -> Vec<u8> {
        [&[op][..], &table.to_le_bytes(), &slot.to_le_bytes(), &len.to_le_bytes(), value].concat()
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases: [(Vec<u8>, &str); 8] = [
            (update(0, 0, 0, 0, b""), "unknown op 0"),
            (update(3, 0, 0, 0, b""), "unknown op 3"),
            (update(SET, 1, 0, 0, b""), "table 1"),
            (update(SET, 0, 2, 0, b""), "slot 2"),
            (update(SET, 0, NULL, 0, b""), "slot 4294967295"),
            (update(SET, 0, 0, 5, b"four"), "cut"),
            (update(CLEAR, 0, 0, 1, b"x"), "clear with a value"),
            (vec![SET, 0], "cut"),
        ];
        for (bytes, wanted) in cases {
            let error = check(&bytes, 1, 2).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error} should say {wanted}");
        }
        let good = [update(SET, 0, 0, 1, b"x"), update(CLEAR, 0, 1, 0, b"")].concat();
        assert!(check(&good, 1, 2).is_ok());
    }
}
