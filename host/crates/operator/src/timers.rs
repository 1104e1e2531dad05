//! HOT PATH. The timers of a node: in their table, which is the truth, and the first of them in memory
//! ([`weir_time::Timers`]), so that what is due is found without a read. Those of windows are set by the host, those of other
//! nodes by their plugin.

use std::collections::HashMap;
use std::ops::Range;

use weir_core::ports::{Change, KeyedState, Table};
use weir_core::window_key::{time_bytes, time_of};
use weir_core::{Batch, Frame, FrameWriter, Origin, PortError, RecordView};
use weir_time::Timers;
use weir_time::timers::{Due, Firing, Limits, Load, Storm, Timer};

use crate::error::NodeError;
use crate::updates::TimerChange;

/// How a node has timers.
#[derive(Debug, Clone)]
pub struct TimerOptions {
    /// Where they are kept.
    pub table: Table,
    /// The key groups of the task.
    pub groups: Range<u16>,
}

/// Why timers cannot go on.
pub(crate) enum TimerError {
    /// What is kept of them cannot be changed.
    State(PortError),
    /// They set each other without end.
    Storm(Storm),
}

impl TimerError {
    /// Of the operator of this name.
    pub(crate) fn of(self, operator: &str) -> NodeError {
        match self {
            Self::State(error) => NodeError::Change(operator.to_owned(), error),
            Self::Storm(storm) => NodeError::Storm(operator.to_owned(), storm),
        }
    }
}

impl From<PortError> for TimerError {
    fn from(error: PortError) -> Self {
        Self::State(error)
    }
}

impl From<Storm> for TimerError {
    fn from(storm: Storm) -> Self {
        Self::Storm(storm)
    }
}

/// See the module. A slot is that of the call under way.
pub(crate) struct NodeTimers {
    options: TimerOptions,
    near: Timers,
    /// For each key whose timer is firing: the round of what it sets.
    rounds: HashMap<Box<[u8]>, u32>,
}

impl NodeTimers {
    /// Those that the table holds.
    pub(crate) fn new(options: TimerOptions) -> Self {
        Self { options, near: Timers::restored(Limits::default()), rounds: HashMap::new() }
    }

    /// Sets the timer of a slot, which has this key. `round`: see [`Timers::set`].
    pub(crate) fn set(
        &mut self,
        (slot, key): (u32, &[u8]),
        at_ms: i64,
        round: u32,
        state: &mut dyn KeyedState,
    ) -> Result<(), TimerError> {
        state.change(slot, self.options.table, Change::Put { entry: &time_bytes(at_ms), value: &[] })?;
        Ok(self.near.set(at_ms, key, round)?)
    }

    /// What a call has changed of timers, one after the other; `keys` are those of its slots.
    pub(crate) fn change(
        &mut self,
        changes: impl Iterator<Item = TimerChange>,
        keys: &[&[u8]],
        state: &mut dyn KeyedState,
    ) -> Result<(), TimerError> {
        for TimerChange { slot, at_ms, is_set } in changes {
            let Some(key) = keys.get(slot as usize).copied() else { continue };
            if is_set {
                let round = self.rounds.get(key).copied().unwrap_or(0);
                self.set((slot, key), at_ms, round, state)?;
            } else {
                self.near.cancel(at_ms, key);
                self.is_over(slot, at_ms, state)?;
            }
        }
        Ok(())
    }

    /// These are firing, until [`NodeTimers::has_fired`]: what is set of their keys is set by them.
    pub(crate) fn is_firing(&mut self, due: &[Due]) {
        self.rounds.extend(due.iter().map(|due| (due.timer.key.clone(), due.next_round)));
    }

    /// Nothing is firing any more: what is set is set by records.
    pub(crate) fn has_fired(&mut self) {
        self.rounds.clear();
    }

    /// A timer that was given out, or is cancelled, is over.
    pub(crate) fn is_over(&self, slot: u32, at_ms: i64, state: &mut dyn KeyedState) -> Result<(), PortError> {
        state.change(slot, self.options.table, Change::Delete(&time_bytes(at_ms)))
    }

    /// The next `count` that are due when time has come to `to_ms`, or fewer; none where nothing is due.
    pub(crate) fn due(&mut self, to_ms: i64, count: usize, state: &mut dyn KeyedState) -> Result<Vec<Due>, PortError> {
        loop {
            match self.near.due(to_ms, count) {
                Firing::Now(due) => return Ok(due),
                Firing::Load(load) => self.load(&load, state)?,
                Firing::Nothing => return Ok(Vec::new()),
            }
        }
    }

    /// Whether more may be due when time has come to `to_ms`.
    pub(crate) fn has_due(&self, to_ms: i64) -> bool {
        self.near.next_ms().is_some_and(|next_ms| next_ms <= to_ms)
    }

    fn load(&mut self, load: &Load, state: &mut dyn KeyedState) -> Result<(), PortError> {
        let from = load.from.as_ref().map(|timer| [&time_bytes(timer.time_ms), &*timer.key].concat());
        let TimerOptions { table, groups } = &self.options;
        let mut found = Vec::new();
        state.timers(*table, groups.clone(), &from.unwrap_or_default(), load.count, &mut found)?;
        self.near.load(found.iter().filter_map(|bytes| parse(bytes)), load);
        Ok(())
    }
}

/// The due list of timers that a plugin has set: a record for each, with its key and its time.
pub(crate) fn due_list<'a>(timers: impl IntoIterator<Item = &'a Timer>) -> Batch {
    let mut writer = FrameWriter::new(Vec::new());
    for Timer { time_ms, key } in timers {
        writer.push(RecordView {
            timestamp_ms: *time_ms,
            source: writer.len() as u32,
            key: Some(key),
            value: Some(&time_ms.to_le_bytes()),
            headers: &[],
        });
    }
    let origins = vec![Origin::NONE; writer.len()];
    Batch { frame: writer.finish(), origins }
}

/// The first timer of a due list, for people.
pub(crate) fn described(list: &Frame) -> String {
    let Some((key, at_ms)) = list.records().next().and_then(|record| Some((record.key?, record.timestamp_ms))) else {
        return "a timer".to_owned();
    };
    format!("the timer of key {:?} at {at_ms} ms", String::from_utf8_lossy(key))
}

/// A timer, as its table has it.
fn parse(bytes: &[u8]) -> Option<Timer> {
    let (time, key) = bytes.split_first_chunk::<8>()?;
    Some(Timer { time_ms: time_of(*time), key: key.into() })
}

#[cfg(test)]
mod tests;
