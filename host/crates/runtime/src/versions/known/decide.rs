//! What follows from what is known: what is owed, what is noted, what may be let go.

use std::time::Duration;

use weir_checkpoint::{PluginEntry, Turn};
use weir_core::Epoch;

use super::Known;
use crate::clock;
use crate::job::OperatorSetup;
use crate::versions::Reason;

impl Known {
    pub(super) fn all(&self) -> impl Iterator<Item = &OperatorSetup> {
        self.started.iter().chain(&self.others)
    }

    /// Whether what runs this operator failed, and is still to be replaced.
    pub(super) fn owes_at(&self, operator: usize) -> bool {
        self.running.get(operator).is_some_and(|runs| self.owes(&runs.setup).is_some())
    }

    /// What is to run in the place of `setup`, if that failed.
    pub(super) fn owes(&self, setup: &OperatorSetup) -> Option<PluginEntry> {
        let entry = setup.entry();
        let heir = self.history.heir(&setup.name, &entry);
        (!heir.is(&entry)).then(|| heir.clone())
    }

    /// What can be gone back to from `setup`.
    pub(super) fn before(&self, setup: &OperatorSetup) -> Option<&PluginEntry> {
        self.history.before(&setup.name, &setup.entry())
    }

    pub(super) fn turn(&self, operator: &str, (from, to): (PluginEntry, PluginEntry), epoch: Epoch) -> Turn {
        let (operator, epoch, at_ms) = (operator.to_owned(), epoch.0, clock::now_ms());
        Turn { operator, epoch, at_ms, from, to, failure: None, probation_ms: 0 }
    }

    pub(super) fn note(&mut self, turn: Turn) {
        self.history.add(turn.clone());
        self.news.push_back(turn);
    }

    /// What ran since the end of `since`, and what ran before it.
    pub(super) fn fallen(&self, operator: usize, since: Epoch) -> Option<(PluginEntry, PluginEntry)> {
        let runs = self.running.get(operator)?;
        if since == runs.since {
            let before = self.before(&runs.setup)?.clone();
            return Some((runs.setup.entry(), before));
        }
        // Another took over since.
        let turn = self.history.turn_at(&runs.setup.name, since.0)?;
        Some((turn.to.clone(), turn.from.clone()))
    }

    pub(super) fn note_failure(&mut self, name: &str, (failed, before): (PluginEntry, PluginEntry), why: String) {
        let turn = Turn { failure: Some(why), ..self.turn(name, (failed, before), self.epoch) };
        self.note(turn);
    }

    /// This runs from the end of `epoch` on, which holds. That one failed which it replaces was noted when it did.
    pub(super) fn took_over(
        &mut self,
        operator: usize,
        setup: &OperatorSetup,
        epoch: Epoch,
        (probation, reason, failure): (Duration, Reason, Option<String>),
    ) {
        let entry = setup.entry();
        let Some(runs) = self.running.get_mut(operator) else { return };
        let from = runs.held.replace(entry.clone()).unwrap_or_else(|| runs.setup.entry());
        if reason != Reason::Failure {
            let probation_ms = u64::try_from(probation.as_millis()).unwrap_or(u64::MAX);
            let turn = Turn { probation_ms, ..self.turn(&setup.name, (from.clone(), entry.clone()), epoch) };
            self.note(turn);
        }
        if let Some(failure) = failure {
            let before = self.history.heir(&setup.name, &from).clone();
            self.note_failure(&setup.name, (entry, before), failure);
        }
    }

    /// What runs holds by now: a start with another file than the last one is a turn like any other.
    pub(super) fn note_held(&mut self) {
        for at in 0..self.running.len() {
            let Some(runs) = self.running.get_mut(at) else { continue };
            let (name, to) = (runs.setup.name.clone(), runs.setup.entry());
            let Some(from) = runs.held.replace(to.clone()).filter(|from| !from.is(&to)) else { continue };
            if self.history.failed(&name, &from).is_none_or(|failed| !failed.to.is(&to)) {
                let turn = self.turn(&name, (from, to), self.epoch);
                self.note(turn);
            }
        }
    }

    /// What may not run again is let go, with its compiled code.
    pub(super) fn forget(&mut self) {
        let Self { others, running, history, .. } = self;
        let may_run = |setup: &OperatorSetup| {
            running.iter().filter(|runs| runs.setup.name == setup.name).any(|runs| {
                let (entry, runs) = (setup.entry(), runs.setup.entry());
                entry.is(&runs) || history.before(&setup.name, &runs).is_some_and(|before| before.is(&entry))
            })
        };
        others.retain(may_run);
    }
}
