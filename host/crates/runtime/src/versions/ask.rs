//! How a version is asked for: by people, on their threads, or because the one that runs failed. Its instances are opened
//! here, beside the job; the coordinator does the rest.

use std::time::Duration;

use weir_core::PortError;
use weir_core::ports::Operator;
use weir_machine::channel::{RecvTimeoutError, bounded};

use super::{Answer, Asked, NotSwapped, Reason, Swap, Swapped};
use crate::error::chain;
use crate::job::{JobHandle, OperatorSetup};
use crate::status::JobState;

/// How long an epoch under way may hold up a swap.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);

impl JobHandle {
    /// Has another version of an operator take over, without a stop: beside the job its instances are opened, and between two
    /// batches each task takes its own. Returns once that holds, or why it does not.
    ///
    /// # Errors
    /// Says why the version before goes on.
    pub fn swap(&self, swap: Swap) -> Result<Swapped, NotSwapped> {
        let (operator, runs, started) = self.versions.place(&swap.operator)?;
        let setup = runs.swapped_for(&swap, &started);
        self.change((operator, &runs), setup, (swap.probation, swap.dry_run), Reason::Wanted)
    }

    /// Goes back to the version before, as [`JobHandle::swap`] goes on to another.
    ///
    /// # Errors
    /// Says why the version that runs goes on.
    pub fn rollback(&self, operator: &str) -> Result<Swapped, NotSwapped> {
        let (operator, runs, _) = self.versions.place(operator)?;
        let before = self.versions.before(operator).ok_or_else(|| NotSwapped::NoneBefore(runs.name.clone()))?;
        let setup = self.versions.find(&runs.name, &before).map_err(NotSwapped::Gone)?;
        self.change((operator, &runs), setup, (Duration::ZERO, false), Reason::Back)
    }

    fn change(
        &self,
        (operator, runs): (usize, &OperatorSetup),
        setup: OperatorSetup,
        (probation, dry_run): (Duration, bool),
        reason: Reason,
    ) -> Result<Swapped, NotSwapped> {
        let began = weir_machine::now();
        if runs.is(&setup.name, &setup.entry()) {
            return Err(NotSwapped::Same(setup.name));
        }
        let differences = runs.differences(&setup);
        if !differences.is_empty() {
            return Err(NotSwapped::Place { operator: setup.name, differences });
        }
        self.may_change()?;
        let instances = self.open(operator, &setup).map_err(NotSwapped::Open)?;
        self.may_change()?;
        let (to, answered) = bounded(1);
        let answer = Answer { began, to: Some(to) };
        self.versions.ask(Asked { operator, setup, instances, probation, dry_run, reason, answer });
        match answered.recv_timeout(BEGUN_WITHIN) {
            Err(RecvTimeoutError::Timeout) if self.versions.withdraw() => Err(NotSwapped::Late),
            // It is on its way: its epoch holds, or the attempt ends.
            Err(RecvTimeoutError::Timeout) => answered.recv().unwrap_or(Err(NotSwapped::Ended)),
            outcome => outcome.unwrap_or(Err(NotSwapped::Ended)),
        }
    }

    fn may_change(&self) -> Result<(), NotSwapped> {
        match self.status().state {
            JobState::Running => Ok(()),
            state => Err(NotSwapped::NotRunning(state.word())),
        }
    }

    fn open(&self, operator: usize, setup: &OperatorSetup) -> Result<Vec<Box<dyn Operator>>, PortError> {
        let status = self.status();
        let tasks = status.operators.get(operator).map_or(1, |shown| shown.parallelism);
        setup.open_all(&status.job, status.shard, tasks)
    }

    /// Has the version before the one that runs, and failed on probation, run again in all tasks. Nobody waits for it: it is
    /// loaded and opened elsewhere. What comes to nothing is tried again later.
    pub(crate) fn restore_version(&self, operator: usize) {
        let handle = self.clone();
        let restore = move || {
            let opened = handle.open_heir(operator);
            handle.versions.tried(operator);
            if let Err(error) = opened {
                let error = chain(&error);
                tracing::error!(
                    operator,
                    error,
                    "the version before does not take over: tasks that have not failed go on"
                );
            }
        };
        if let Err(error) = weir_machine::spawn("weir-restore", restore) {
            self.versions.tried(operator);
            tracing::error!(%error, "failed to start a thread: tasks that have not failed go on with the new version");
        }
    }

    fn open_heir(&self, operator: usize) -> Result<(), PortError> {
        let Some((name, heir)) = self.versions.heir(operator) else { return Ok(()) };
        let setup = self.versions.find(&name, &heir)?;
        let instances = self.open(operator, &setup)?;
        let (probation, dry_run, reason) = (Duration::ZERO, false, Reason::Failure);
        let answer = Answer { began: weir_machine::now(), to: None };
        self.versions.ask(Asked { operator, setup, instances, probation, dry_run, reason, answer });
        Ok(())
    }
}
