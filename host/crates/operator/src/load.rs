//! HOT PATH. The state that a call is given. Values are read only as far as a call can take them, so that a batch of
//! keys with large values needs no more memory than one call.

use weir_core::frame::{HEADER_BYTES, NULL, RECORD_BYTES};
use weir_core::ports::{KeyedState, Table};
use weir_core::{Frame, PortError};

use crate::runner::CALL_BYTES_MAX;

/// Appends the values of so many slots to `values`, in order, and stops once there are more than `room` bytes of them.
/// `each` is what the values of a slot took the last time; returns what they took now.
pub(crate) fn load(
    state: &mut dyn KeyedState,
    tables: &[Table],
    slots: u32,
    (room, each): (usize, usize),
    values: &mut Vec<u8>,
) -> Result<usize, PortError> {
    let (mut at, mut each) = (0, each);
    while !tables.is_empty() && at < slots && values.len() <= room {
        let fit = u32::try_from((room - values.len()) / each.max(1)).unwrap_or(u32::MAX);
        let now = at..at + fit.clamp(1, slots - at);
        at = now.end;
        state.prefetch(tables, now, values)?;
        each = values.len().div_ceil(at as usize);
    }
    Ok(each)
}

/// How many records of a call that is too large fit, with the values of their keys: fewer than all, and at least one.
/// `values` may end after those of any slot.
pub(crate) fn fitting(frame: &Frame, slots: &[u32], values: &[u8], tables: usize) -> usize {
    let (mut bytes, mut rest, mut slots_seen) = (HEADER_BYTES, values, 0);
    for (index, record) in frame.records().enumerate() {
        bytes += RECORD_BYTES + record.bytes();
        // Slots are numbered in the order of their first records.
        if slots.get(index) == Some(&slots_seen) {
            slots_seen += 1;
            let before = rest.len();
            for _ in 0..tables {
                let Some(after) = after_value(rest) else { return index.max(1) };
                rest = after;
            }
            bytes += before - rest.len();
        }
        if bytes > CALL_BYTES_MAX {
            return index.max(1);
        }
    }
    // Not reached for a call that is too large.
    (frame.len() / 2).max(1)
}

/// Takes the first of values off: `None` if it is absent.
pub(crate) fn next_value<'a>(values: &mut &'a [u8]) -> Option<&'a [u8]> {
    let after = after_value(values)?;
    let (value, _) = values.split_at_checked(values.len() - after.len())?;
    let (len, value) = value.split_first_chunk::<4>()?;
    *values = after;
    (u32::from_le_bytes(*len) != NULL).then_some(value)
}

/// All of these values; `None`: absent.
pub(crate) fn values(bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        after_value(rest)?;
        Some(next_value(&mut rest))
    })
}

pub(crate) fn after_value(values: &[u8]) -> Option<&[u8]> {
    let (len, rest) = values.split_first_chunk::<4>()?;
    match u32::from_le_bytes(*len) {
        NULL => Some(rest),
        len => rest.get(len as usize..),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use weir_core::ports::{Change, Delta, KeyRef, Now, TableKind};
    use weir_core::{Epoch, FrameWriter, RecordView, TableId};

    use super::*;

    const TABLES: [Table; 1] = [Table { id: TableId(1), kind: TableKind::Value, ttl: None }];

    /// Every key has one value, of as many KiB as the key says; counts what is asked for.
    #[derive(Default)]
    struct Large {
        lens: Vec<usize>,
        keys_read: usize,
        calls: usize,
    }

    impl KeyedState for Large {
        fn set_time(&mut self, _: Now, _: &[Table]) {}
        fn follow(&mut self) {}
        fn enter(&mut self, keys: &[KeyRef<'_>]) {
            let len = |key: &KeyRef<'_>| std::str::from_utf8(key.bytes).unwrap().parse::<usize>().unwrap() << 10;
            self.lens = keys.iter().map(len).collect();
        }
        fn prefetch(&mut self, _: &[Table], slots: Range<u32>, out: &mut Vec<u8>) -> Result<(), PortError> {
            self.calls += 1;
            self.keys_read += slots.len();
            for slot in slots {
                let len = self.lens[slot as usize];
                out.extend_from_slice(&(len as u32).to_le_bytes());
                out.resize(out.len() + len, 0);
            }
            Ok(())
        }
        fn get_many(&mut self, _: Table, _: &[(u32, &[u8])], _: &mut Vec<u8>) -> Result<(), PortError> {
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
            Delta { entries: 0, payload: bytes::Bytes::new() }
        }
        fn commit(&mut self, _: Epoch) {}
        fn bytes(&self) -> u64 {
            0
        }
        fn is_full(&mut self) -> bool {
            false
        }
    }

    fn frame(keys: &[String]) -> Frame {
        let mut writer = FrameWriter::new(Vec::new());
        for key in keys {
            let key = Some(key.as_bytes());
            writer.push(RecordView { timestamp_ms: 0, source: 0, key, value: None, headers: &[] });
        }
        writer.finish()
    }

    /// Enters `keys` and loads their values.
    fn load_keys(state: &mut Large, keys: &[String], sizes: (usize, usize), values: &mut Vec<u8>) -> usize {
        let entered: Vec<_> = keys.iter().map(|key| KeyRef { hash: 0, bytes: key.as_bytes() }).collect();
        state.enter(&entered);
        load(state, &TABLES, keys.len() as u32, sizes, values).unwrap()
    }

    #[test]
    fn small_values_are_read_at_once_and_large_ones_as_far_as_they_fit() {
        let (mut state, mut values) = (Large::default(), Vec::new());
        let small: Vec<String> = vec!["0".into(); 1_000];
        let each = load_keys(&mut state, &small, (1 << 20, 0), &mut values);
        assert_eq!((each, state.calls, values.len()), (4, 1, 4_000));
        let large: Vec<String> = vec!["300".into(); 1_000];
        for _ in 0..3 {
            values.clear();
            load_keys(&mut state, &large, (1 << 20, 300 << 10), &mut values);
            assert_eq!(values.len(), 4 * (4 + (300 << 10)), "three fit, and the fourth shows that no more do");
        }
        assert_eq!(state.keys_read, 1_000 + 3 * 4);
    }

    #[test]
    fn as_many_records_fit_as_their_values_leave_room_for() {
        let text: Vec<String> = ["300", "300", "5", "300", "200"].map(str::to_owned).to_vec();
        let mut values = Vec::new();
        load_keys(&mut Large::default(), &text, (usize::MAX, 0), &mut values);
        let distinct = [0, 1, 2, 3, 4];
        assert_eq!(fitting(&frame(&text), &distinct, &values, 1), 4);
        assert_eq!(fitting(&frame(&text), &distinct, &values[..2 * (4 + (300 << 10))], 1), 2, "the rest was not read");
        let (text, mut values) = (vec!["300".to_owned(); 5], Vec::new());
        load_keys(&mut Large::default(), &text, (usize::MAX, 0), &mut values);
        assert_eq!(fitting(&frame(&text), &distinct, &values, 1), 3);
        assert_eq!(fitting(&frame(&text), &[0, 0, 1, 2, 3], &values, 1), 4, "a slot counts once");
    }

    #[test]
    fn one_record_always_fits() {
        let (text, mut values) = (vec!["5000".to_owned(); 2], Vec::new());
        load_keys(&mut Large::default(), &text, (1 << 20, 0), &mut values);
        assert_eq!(fitting(&frame(&text), &[0, 1], &values, 1), 1);
    }
}
