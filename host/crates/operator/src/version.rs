//! What runs a node: an opened instance of a plugin, and what the plugin says of itself. Another may take over between two
//! batches; the state, the windows, the timers and the time of the node stay.
//!
//! A version that took over is on probation for a while, in which the one before it waits beside it. What would end the job,
//! or show that the version is bad, brings the one before back on the very part of the batch that failed: nothing of a failed
//! call has happened. Of records that are left out by policy a few may be: the data's fault and not the version's.

use std::time::{Duration, Instant};

use weir_core::OnError;
use weir_core::ports::{CallError, Operator, Table};

use crate::reduce::Reducing;

/// Of so many records that were tried in probation, and not fewer, the share that was left out counts.
const TRIED_MIN: u64 = 100;
/// One in so many may be left out.
const LEFT_OUT_SHARE: u64 = 10;

/// What a plugin's description says to whoever runs it.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Its tables, in the plugin's order.
    pub tables: Vec<Table>,
    /// Those of them whose values a call is given, in this order.
    pub prefetched: Vec<Table>,
    /// Those that numbers are merged into.
    pub reducing: Vec<Reducing>,
    /// Its inputs whose records go to all tasks, and change the tables that all tasks have.
    pub broadcast: Vec<u32>,
    /// Whether it asks for `weir.origin.*` headers.
    pub origin: bool,
    /// Which plugin it is, for people.
    pub plugin: PluginLabel,
}

/// Which plugin something was.
#[derive(Debug, Clone, Default)]
pub struct PluginLabel {
    /// Its name and version, as in `count 1.0.0`.
    pub name: String,
    /// The digest of its file.
    pub digest: String,
}

/// See the module.
pub struct Version {
    /// What its plugin says of itself.
    pub terms: Terms,
    /// Its instance, opened.
    pub operator: Box<dyn Operator>,
}

/// For how long a version may still be gone back from, by itself.
pub struct Probation {
    /// The time; none at all if it is zero.
    pub lasts: Duration,
    /// Told of the failure that ended it, if one did. The version before runs again by then.
    pub failed: Box<dyn FnOnce(&CallError) + Send>,
}

/// What waits while a version is on probation.
pub(crate) struct Fallback {
    /// The version before.
    pub(crate) version: Version,
    /// See [`Probation`].
    pub(crate) failed: Box<dyn FnOnce(&CallError) + Send>,
    until: Instant,
    tried: u64,
    left_out: u64,
}

impl Fallback {
    pub(crate) fn new(version: Version, Probation { lasts, failed }: Probation) -> Option<Self> {
        let until = weir_machine::now().checked_add(lasts)?;
        (!lasts.is_zero()).then_some(Self { version, failed, until, tried: 0, left_out: 0 })
    }

    /// Whether the probation is over.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// Whether this failure of a call on `records` ends the probation badly.
    pub(crate) fn ends_by(&mut self, failure: &CallError, records: usize, on_error: OnError) -> bool {
        match failure {
            CallError::Trapped { .. }
            | CallError::Deadline { .. }
            | CallError::Memory { .. }
            | CallError::Malformed { .. } => true,
            CallError::Failed { .. } | CallError::Unfit { .. } | CallError::Unreduced { .. } => {
                records == 1 && (on_error == OnError::Fail || !self.bears(1, 1))
            }
            CallError::NoWindow(_) | CallError::Host(_) => false,
        }
    }

    /// Counts so many records more, of which some are left out; whether that is still borne.
    pub(crate) fn bears(&mut self, records: usize, left_out: usize) -> bool {
        self.tried += records as u64;
        self.left_out += left_out as u64;
        self.tried < TRIED_MIN || self.left_out <= self.tried / LEFT_OUT_SHARE
    }
}

#[cfg(test)]
mod tests;
