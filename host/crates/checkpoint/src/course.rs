//! What a job runs: what its process was asked for, until an epoch holds that has it; then the plan of the epoch that is
//! restored. A process is asked at its start, by its pipeline and the words that come with it.
//!
//! ```text
//!            the first record of an attempt has it     that record, or a later one of the attempt, is restored
//!   Pending ──────────────────────────────────▶ tried ────────────────────────────────────────▶ Applied
//!      ▲                                          │
//!      └──────────────────────────────────────────┘
//!            the epoch before it is restored: that is what it is applied to again
//! ```
//! Which of both it is, the restored record says alone: a commit whose answer was lost holds, and one that this process
//! only sent may not. Once applied, it is not asked for again: whatever changes a plan later would be undone by the next
//! recovery.
//!
//! What took over from a file while the job ran is more than what the next process is asked for, if that is the same file:
//! it goes on with it.

use std::collections::HashSet;
use std::sync::Arc;

use weir_core::{AttemptId, Consent, Digest};
use weir_plan::Graph;

use crate::inherit::{Declared, Misfit, Mismatch, Note, Numbered, inherit};
use crate::manifest::{Manifest, OperatorEntry, Plan, PlanRecord, PluginEntry, SourceEntry, plans};
use crate::resolve::MarkerPlace;

/// What a process is asked to run. It becomes a plan on top of that of the epoch that holds, which has the numbers of what
/// it has in common with it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Who reads whom.
    pub graph: Graph,
    /// Where the marker is to stand.
    pub marker: MarkerPlace,
    /// The operators of the graph.
    pub operators: Vec<Declared>,
    /// What the user says of state that does not fit.
    pub consent: Consent,
}

/// What a job runs. See the module's head.
#[derive(Debug)]
pub enum Course {
    /// No epoch that holds has what the process was asked for.
    Pending(Box<Pending>),
    /// The plan of the epoch that was restored last, which has it.
    Applied(Arc<PlanRecord>),
}

/// What no epoch that holds has.
#[derive(Debug)]
pub struct Pending {
    wanted: Wanted,
    /// The plan that it is applied to; `None` before the first epoch.
    held: Option<Arc<PlanRecord>>,
    /// The attempts whose records have it.
    tried: HashSet<AttemptId>,
    /// What took over from the files that the process was started with, as far as it is still there.
    versions: Vec<Declared>,
}

impl Course {
    /// Of a process that begins.
    pub fn new(wanted: Wanted) -> Self {
        Self::Pending(Box::new(Pending { wanted, held: None, tried: HashSet::new(), versions: Vec::new() }))
    }

    /// These versions could be run, where the epoch that holds has them.
    pub fn offer(&mut self, versions: Vec<Declared>) {
        if let Self::Pending(pending) = self {
            pending.versions = versions;
        }
    }

    /// The versions that some record of the log has, and that took over from what is asked for now: all that
    /// [`Course::offer`] can be of use for.
    pub fn taken_over(&self, log: &[(Manifest, Digest)]) -> Vec<(String, PluginEntry)> {
        let Self::Pending(pending) = self else { return Vec::new() };
        let entries = plans(log).into_iter().flat_map(|plan| &plan.operators);
        let mut versions: Vec<_> = entries
            .filter(|entry| pending.wanted.operators.iter().any(|now| took_over(entry, now)))
            .map(|entry| (entry.name.clone(), entry.plugin.clone()))
            .collect();
        versions.sort_by(|(one, a), (other, b)| (one, &a.digest.0).cmp(&(other, &b.digest.0)));
        versions.dedup();
        versions
    }

    /// Whether an epoch that holds has what the process was asked for, as far as it has restored any.
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied(_))
    }

    /// Whether `record` was written to apply what no epoch had then.
    pub fn has_tried(&self, record: &Manifest) -> bool {
        match self {
            Self::Pending(pending) => pending.has_tried(record),
            Self::Applied(_) => false,
        }
    }

    /// The plan that is still to be left, where there is one: somebody else may be running it.
    pub fn leaves(&self) -> Option<&Plan> {
        match self {
            Self::Pending(pending) => pending.held(),
            Self::Applied(_) => None,
        }
    }

    /// Whether it could go on from `held`: to be asked before anything is changed.
    pub fn check(&self, held: &Manifest) -> Result<(), Mismatch> {
        match self {
            Self::Pending(pending) if !pending.has_tried(held) => pending.number(Some(&held.plan)).map(drop),
            Self::Pending(_) | Self::Applied(_) => Ok(()),
        }
    }

    /// This record holds, and is restored; `None` where nothing does, or nobody knows more of it than positions.
    pub fn restore(&mut self, held: Option<&Manifest>) {
        let plan = held.map(|held| Arc::clone(&held.plan));
        match (&mut *self, held, plan) {
            (Self::Pending(pending), Some(held), Some(plan)) if pending.has_tried(held) => *self = Self::Applied(plan),
            (Self::Pending(pending), _, plan) => pending.held = plan,
            (Self::Applied(applied), _, Some(plan)) => *applied = plan,
            (Self::Applied(_), _, None) => {}
        }
    }

    /// What the records of `attempt` have, which goes on from what was restored with these sources; and what there is to
    /// tell of recorded state.
    pub fn plan(&mut self, attempt: &AttemptId, sources: &[SourceEntry]) -> Result<(Plan, Vec<Note>), Mismatch> {
        match self {
            Self::Applied(plan) => Ok((plan.with(sources), Vec::new())),
            Self::Pending(pending) => {
                let (Numbered { operators, next }, notes) = pending.number(pending.held())?;
                let Wanted { graph, marker, .. } = &pending.wanted;
                let plan = Plan::of(graph.clone(), sources, marker.clone(), (operators, next));
                pending.tried.insert(attempt.clone());
                Ok((plan, notes))
            }
        }
    }
}

impl Pending {
    fn held(&self) -> Option<&Plan> {
        self.held.as_ref().map(|held| &***held)
    }

    fn has_tried(&self, record: &Manifest) -> bool {
        self.tried.contains(&record.attempt)
    }

    /// The operators, with the numbers that those of `held` have.
    fn number(&self, held: Option<&Plan>) -> Result<(Numbered, Vec<Note>), Mismatch> {
        let recorded = held.map(Numbered::of).unwrap_or_default();
        let goes_on = |now: &Declared| self.goes_on(now, &recorded.operators).cloned();
        let declared: Vec<_> = self.wanted.operators.iter().map(goes_on).collect::<Result<_, _>>()?;
        inherit(&recorded, &declared, &self.wanted.consent)
    }

    /// What runs where `now` is asked for.
    fn goes_on<'a>(&'a self, now: &'a Declared, recorded: &[OperatorEntry]) -> Result<&'a Declared, Mismatch> {
        let Some(entry) = recorded.iter().find(|entry| took_over(entry, now)) else { return Ok(now) };
        let version = self.versions.iter().find(|version| version.name == now.name && version.plugin.is(&entry.plugin));
        version.ok_or_else(|| {
            let (operator, version, digest) =
                (now.name.clone(), entry.plugin.version.clone(), entry.plugin.digest.clone());
            Mismatch(vec![Misfit::Version { operator, version, digest }])
        })
    }
}

/// Whether what is recorded took over from the very file that is asked for now.
fn took_over(entry: &OperatorEntry, now: &Declared) -> bool {
    let from = entry.plugin.took_over.as_ref().map(|took_over| &took_over.from);
    entry.name == now.name && from == Some(&now.plugin.digest)
}

#[cfg(test)]
mod tests;
