//! HOT PATH. What a call merges into reducing tables: combined with what their keys have, before any of it happens, so that
//! a merge which cannot be fails the call. The plugin need not have seen what its keys have.

use weir_core::PortError;
use weir_core::ports::{CallError, Change, KeyedState, Reduce, Table, Unreduced};

use crate::load::next_value;
use crate::updates;

/// A reducing table of an operator.
#[derive(Debug, Clone, Copy)]
pub struct Reducing {
    /// Its index in the plugin's description.
    pub index: u32,
    /// The table.
    pub table: Table,
    /// What it does with what is merged.
    pub reduce: Reduce,
}

/// What a call makes of its reducing tables.
#[derive(Debug, Default)]
pub(crate) struct Reduced(Vec<(Table, u32, Has)>);

/// What a key has.
type Has = Option<[u8; 8]>;

/// What `updates`, which are checked, make of these tables; the call has so many `keys`.
pub(crate) fn reduced(
    updates: &[u8],
    tables: &[Reducing],
    keys: usize,
    state: &mut dyn KeyedState,
) -> Result<Reduced, CallError> {
    let mut all = Reduced::default();
    for reducing in tables {
        let mut slots = reducing.read(updates, keys, state)?;
        for (slot, addend) in updates::merges(updates, reducing.index) {
            let Some(Some(has)) = slots.get_mut(slot as usize) else { continue };
            *has = match addend {
                Some(addend) => Some(reducing.reduce.merge(*has, addend).map_err(|why| reducing.failed(why))?),
                None => None,
            };
        }
        let changed = (0..).zip(slots).filter_map(|(slot, now)| Some((reducing.table, slot, now?)));
        all.0.extend(changed);
    }
    Ok(all)
}

impl Reducing {
    /// What each slot has that `updates` change; nothing for the others, or at all where they change none.
    fn read(&self, updates: &[u8], keys: usize, state: &mut dyn KeyedState) -> Result<Vec<Option<Has>>, CallError> {
        let (mut slots, mut wanted, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, _) in updates::merges(updates, self.index) {
            slots.resize(keys, None);
            if let Some(has @ None) = slots.get_mut(slot as usize) {
                *has = Some(None);
                wanted.push((slot, &[][..]));
            }
        }
        state.get_many(self.table, &wanted, &mut values)?;
        let mut rest = values.as_slice();
        for (slot, _) in wanted {
            let value = next_value(&mut rest).map(|value| self.reduce.number(value)).transpose();
            if let Some(has) = slots.get_mut(slot as usize) {
                *has = Some(value.map_err(|why| self.failed(why))?);
            }
        }
        Ok(slots)
    }

    fn failed(&self, why: Unreduced) -> CallError {
        CallError::Unreduced { table: self.index, why }
    }
}

impl Reduced {
    /// Lets it happen.
    pub(crate) fn apply(self, state: &mut dyn KeyedState) -> Result<(), PortError> {
        self.0.iter().try_for_each(|(table, slot, has)| {
            let change = has.as_ref().map_or(Change::Clear, |has| Change::Set(has));
            state.change(*slot, *table, change)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use weir_core::ports::{Call, Effects, Operator, TableKind};
    use weir_core::{Batch, FrameWriter, OnError, Origin, RecordView, TableId};

    use super::*;
    use crate::testing::{Alone, Counters, Memory, Stored, options};
    use crate::{Runner, Terms};

    const TOTAL: Table = Table { id: TableId(0), kind: TableKind::Reducing, ttl: None };

    /// Merges the value of each record, and clears before one that is "clear"; says what it was shown.
    struct Adds {
        shown: Arc<Mutex<Vec<u8>>>,
    }

    impl Operator for Adds {
        fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
            self.shown.lock().unwrap().extend_from_slice(call.values);
            for (record, slot) in call.frame.records().zip(call.slots) {
                let text = str::from_utf8(record.value.unwrap()).unwrap();
                let (op, bytes) = match text.parse::<i64>() {
                    Ok(number) => (7, number.to_le_bytes().to_vec()),
                    Err(_) => (2, Vec::new()),
                };
                effects.updates.push(op);
                for number in [0, *slot, bytes.len() as u32] {
                    effects.updates.extend_from_slice(&number.to_le_bytes());
                }
                effects.updates.extend_from_slice(&bytes);
            }
            Ok(())
        }
    }

    fn run(stored: &Arc<Mutex<Stored>>, prefetched: &[Table], records: &[(&str, &str)]) -> (usize, Vec<u8>) {
        let (shown, counters) = (Arc::default(), Arc::new(Counters::default()));
        let terms = Terms {
            tables: vec![TOTAL],
            prefetched: prefetched.to_vec(),
            reducing: vec![Reducing { index: 0, table: TOTAL, reduce: Reduce::of_schema("i64 sum").unwrap() }],
            ..Terms::default()
        };
        let options = options(terms, OnError::Skip);
        let adds = Box::new(Adds { shown: Arc::clone(&shown) });
        let mut runner =
            Runner::new(options, adds, Some(Box::new(Memory::new(stored))), Box::new(Alone(Arc::clone(&counters))));
        let mut frame = FrameWriter::new(Vec::new());
        for (source, (key, value)) in (0..).zip(records) {
            let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
            frame.push(RecordView { timestamp_ms: 0, source, key, value, headers: &[] });
        }
        let origins = (0..records.len()).map(|at| Origin::new(0, at as i64)).collect();
        runner.run(0, &Batch { frame: frame.finish(), origins }, &mut Vec::new()).unwrap();
        drop(runner);
        let shown = shown.lock().unwrap().clone();
        (counters.skipped.load(std::sync::atomic::Ordering::Relaxed), shown)
    }

    fn of(stored: &Arc<Mutex<Stored>>, key: &str) -> Option<i64> {
        let stored = stored.lock().unwrap();
        let bytes = stored.values.get(&(TOTAL.id, key.as_bytes().to_vec()))?;
        Some(i64::from_le_bytes(bytes.as_slice().try_into().unwrap()))
    }

    #[test]
    fn what_is_merged_is_added_to_what_was_there_without_being_shown() {
        let stored = Arc::default();
        let (skipped, shown) = run(&stored, &[], &[("a", "5"), ("b", "7"), ("a", "-2")]);
        assert_eq!((skipped, shown.len()), (0, 0));
        assert_eq!((of(&stored, "a"), of(&stored, "b"), of(&stored, "c")), (Some(3), Some(7), None));
        let (_, shown) = run(&stored, &[TOTAL], &[("a", "1"), ("c", "clear"), ("b", "clear"), ("b", "2")]);
        assert_eq!((of(&stored, "a"), of(&stored, "b")), (Some(4), Some(2)), "a clear counts where it comes");
        assert_eq!(shown[..12], [&8u32.to_le_bytes()[..], &3i64.to_le_bytes()].concat(), "it asks to be shown");
    }

    #[test]
    fn the_record_whose_merge_overflows_fails_and_no_other() {
        let (stored, max) = (Arc::default(), i64::MAX.to_string());
        let records = [("a", "1"), ("b", "1"), ("a", &*max), ("a", "2"), ("b", &*max), ("a", "-1")];
        assert_eq!(run(&stored, &[], &records).0, 2);
        assert_eq!((of(&stored, "a"), of(&stored, "b")), (Some(2), Some(1)));
    }
}
