//! HOT PATH. The timers of a node: in their table, which is the truth, and the first of them in memory
//! ([`weir_time::Timers`]), so that what is due is found without a read. Those of windows are set by the host, those of other
//! nodes by their plugin. Those of event time wait for a watermark, those of processing time for a moment that whoever drives
//! the node brings: nobody here has a clock.

/// Those that a plugin sets.
mod plugin;

use std::ops::Range;

use weir_core::PortError;
use weir_core::ports::{Change, KeyedState, Table, TimeDomain};
use weir_core::window_key::{time_bytes, time_of};
use weir_time::Timers;
use weir_time::timers::{Due, Firing, Limits, Load, Storm, Timer};

use crate::error::NodeError;

pub(crate) use plugin::{PluginTimers, described, due_list, time_ms};

/// How a node has timers.
#[derive(Debug, Clone)]
pub struct TimerOptions {
    /// Where they are kept.
    pub table: Table,
    /// Of which time they are.
    pub domain: TimeDomain,
    /// The key groups of the task.
    pub groups: Range<u16>,
    /// The longest chain of those that set each other, all due at once.
    pub rounds_max: u32,
}

/// Why timers, or windows, cannot go on.
pub(crate) enum TimerError {
    /// What is kept of them cannot be read.
    Read(PortError),
    /// What is kept of them cannot be changed.
    State(PortError),
    /// They set each other without end.
    Storm(Storm),
}

impl TimerError {
    /// Of the operator of this name.
    pub(crate) fn of(self, operator: &str) -> NodeError {
        match self {
            Self::Read(error) => NodeError::Read(operator.to_owned(), error),
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
}

impl NodeTimers {
    /// Those that the table holds.
    pub(crate) fn new(options: TimerOptions) -> Self {
        let limits = Limits { rounds_max: options.rounds_max, ..Limits::default() };
        Self { options, near: Timers::restored(limits) }
    }

    /// Of which time they are.
    pub(crate) fn domain(&self) -> TimeDomain {
        self.options.domain
    }

    /// Nothing will ever come: what is set by now may fire at once, and what is set from now on is kept for another start.
    pub(crate) fn end(&mut self) {
        self.near.end();
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

    /// Takes back the timer of a slot, which has this key.
    pub(crate) fn cancel(
        &mut self,
        (slot, key): (u32, &[u8]),
        at_ms: i64,
        state: &mut dyn KeyedState,
    ) -> Result<(), PortError> {
        self.near.cancel(at_ms, key);
        self.is_over(slot, at_ms, state)
    }

    /// Whether a key may have a timer of this time: one of which only the table knows may be there.
    pub(crate) fn may_be_set(&self, at_ms: i64, key: &[u8]) -> bool {
        self.near.may_be_set(at_ms, key)
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

    /// A moment before which none is due; `None` where none is set.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.near.next_ms()
    }

    /// Takes back one that was due, but is not over yet.
    pub(crate) fn give_back(&mut self, due: Due) {
        self.near.give_back(due);
    }

    /// Whether more may be due when time has come to `to_ms`.
    pub(crate) fn has_due(&self, to_ms: i64) -> bool {
        self.next_ms().is_some_and(|next_ms| next_ms <= to_ms)
    }

    fn load(&mut self, load: &Load, state: &mut dyn KeyedState) -> Result<(), PortError> {
        let from = load.from.as_ref().map(|timer| [&time_bytes(timer.time_ms), &*timer.key].concat());
        let TimerOptions { table, groups, .. } = &self.options;
        let mut found = Vec::new();
        state.timers(*table, groups.clone(), &from.unwrap_or_default(), load.count, &mut found)?;
        self.near.load(found.iter().filter_map(|bytes| parse(bytes)), load);
        Ok(())
    }
}

/// A timer, as its table has it.
fn parse(bytes: &[u8]) -> Option<Timer> {
    let (time, key) = bytes.split_first_chunk::<8>()?;
    Some(Timer { time_ms: time_of(*time), key: key.into() })
}

#[cfg(test)]
mod tests;
