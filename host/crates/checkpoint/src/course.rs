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

use std::collections::HashSet;
use std::sync::Arc;

use weir_core::{AttemptId, Consent};
use weir_plan::Graph;

use crate::inherit::{Declared, Mismatch, Note, Numbered, inherit};
use crate::manifest::{Manifest, Plan, PlanRecord, SourceEntry};
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
}

impl Course {
    /// Of a process that begins.
    pub fn new(wanted: Wanted) -> Self {
        Self::Pending(Box::new(Pending { wanted, held: None, tried: HashSet::new() }))
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
        inherit(&recorded, &self.wanted.operators, &self.wanted.consent)
    }
}

#[cfg(test)]
mod tests;
