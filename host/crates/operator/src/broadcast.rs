//! HOT PATH. Records that come to all tasks: they change the tables that all of them have, and nothing else, so that each task
//! has the same. One of them writes what changed, and counts the records and tells of those that fail, for all.

use weir_core::OnError;
use weir_core::ports::{CallError, Effects};

use crate::runner::{Runner, Step};

impl Runner {
    /// Whether what this step is taken with has come to all tasks.
    pub(crate) fn is_broadcast(&self, step: Step) -> bool {
        matches!(step, Step::Process(input) if self.options.terms.broadcast.contains(&input))
    }

    /// Whether another task counts these records.
    pub(crate) fn is_copy(&self, step: Step) -> bool {
        !self.options.writes_broadcast && self.is_broadcast(step)
    }

    /// Whether another task tells of those that fail. What ends the job is told by whoever comes first.
    pub(crate) fn is_told_elsewhere(&self, step: Step) -> bool {
        self.options.on_error != OnError::Fail && self.is_copy(step)
    }

    /// What comes to all tasks would go out of each of them.
    pub(crate) fn check_silent(&self, step: Step, effects: &Effects) -> Result<(), CallError> {
        if effects.outputs.is_empty() || !self.is_broadcast(step) {
            return Ok(());
        }
        let reason = "records out of a broadcast input, which come to all tasks: each would send them".to_owned();
        Err(CallError::Malformed { what: "frame", reason })
    }
}

#[cfg(test)]
mod tests;
