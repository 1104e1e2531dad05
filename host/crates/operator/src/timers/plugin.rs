//! HOT PATH. The timers that a plugin sets, of each time those that it has a table for: changed by what its calls return, and
//! handed to it as due lists.

use std::collections::HashMap;

use weir_core::ports::{KeyedState, Table, TimeDomain};
use weir_core::{Batch, FrameWriter, Origin, PortError, RecordView};
use weir_time::timers::Due;

use super::{NodeTimers, TimerError, TimerOptions};
use crate::updates::TimerChange;

/// Bytes of a time.
const TIME: usize = 8;
/// Bytes of the value of a timer in a due list: its time and the index of its table.
const VALUE: usize = TIME + 4;

/// See the module.
pub(crate) struct PluginTimers {
    each: Vec<NodeTimers>,
    /// For each key whose timer is firing: the round of what it sets, of whichever time.
    rounds: HashMap<Box<[u8]>, u32>,
}

impl PluginTimers {
    /// Those that the tables hold.
    pub(crate) fn new(options: impl IntoIterator<Item = TimerOptions>) -> Self {
        Self { each: options.into_iter().map(NodeTimers::new).collect(), rounds: HashMap::new() }
    }

    /// Those of one time, where the plugin has any.
    pub(crate) fn of(&self, domain: TimeDomain) -> Option<&NodeTimers> {
        self.each.iter().find(|timers| timers.domain() == domain)
    }

    /// The same, to be changed.
    pub(crate) fn of_mut(&mut self, domain: TimeDomain) -> Option<&mut NodeTimers> {
        self.each.iter_mut().find(|timers| timers.domain() == domain)
    }

    /// What a call has changed, one after the other; `tables` are those of the plugin, `keys` those of its slots.
    pub(crate) fn change(
        &mut self,
        changes: impl Iterator<Item = TimerChange>,
        (tables, keys): (&[Table], &[&[u8]]),
        state: &mut dyn KeyedState,
    ) -> Result<(), TimerError> {
        for TimerChange { table, slot, at_ms, is_set } in changes {
            let domain = tables.get(table as usize).and_then(|table| table.kind.timers_of());
            let timers = self.each.iter_mut().find(|timers| Some(timers.domain()) == domain);
            let (Some(timers), Some(key)) = (timers, keys.get(slot as usize).copied()) else { continue };
            if is_set {
                let round = self.rounds.get(key).copied().unwrap_or(0);
                timers.set((slot, key), at_ms, round, state)?;
            } else {
                timers.cancel((slot, key), at_ms, state)?;
            }
        }
        Ok(())
    }

    /// These timers of one time, each with its slot, were handed over: they are over.
    pub(crate) fn are_over(
        &self,
        domain: TimeDomain,
        mut fired: impl Iterator<Item = (u32, i64)>,
        state: &mut dyn KeyedState,
    ) -> Result<(), PortError> {
        let Some(timers) = self.of(domain) else { return Ok(()) };
        fired.try_for_each(|(slot, at_ms)| timers.is_over(slot, at_ms, state))
    }

    /// These are firing, until [`Self::have_fired`]: what is set of their keys is set by them.
    pub(crate) fn are_firing(&mut self, due: &[Due]) {
        self.rounds.extend(due.iter().map(|due| (due.timer.key.clone(), due.next_round)));
    }

    /// Nothing is firing any more: what is set is set by records.
    pub(crate) fn have_fired(&mut self) {
        self.rounds.clear();
    }
}

/// The due list of these timers, of the table of this index: a record for each, with its key, its time and that index. What
/// it sends should carry no less than `reached_ms`: later operators take it for late otherwise.
pub(crate) fn due_list(due: &[Due], table: u32, reached_ms: i64) -> Batch {
    let mut writer = FrameWriter::new(Vec::new());
    let mut value = [0; VALUE];
    value[TIME..].copy_from_slice(&table.to_le_bytes());
    for Due { timer, .. } in due {
        value[..TIME].copy_from_slice(&timer.time_ms.to_le_bytes());
        writer.push(RecordView {
            timestamp_ms: timer.time_ms.max(reached_ms),
            source: writer.len() as u32,
            key: Some(&timer.key),
            value: Some(&value),
            headers: &[],
        });
    }
    let origins = vec![Origin::NONE; writer.len()];
    Batch { frame: writer.finish(), origins }
}

/// When the timer of a record of a due list was set for.
pub(crate) fn time_ms(record: &RecordView<'_>) -> Option<i64> {
    record.value?.first_chunk().map(|time| i64::from_le_bytes(*time))
}

/// The timer of a record of a due list, for people.
pub(crate) fn described(record: &RecordView<'_>) -> String {
    let Some((key, at_ms)) = record.key.zip(time_ms(record)) else { return "a timer".to_owned() };
    format!("the timer of key {:?} at {at_ms} ms", String::from_utf8_lossy(key))
}
