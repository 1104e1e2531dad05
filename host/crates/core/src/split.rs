//! The position of a reader in one split, as the manifest keeps it.

use serde::{Deserialize, Serialize};

use crate::ids::SplitId;

/// One split as an epoch leaves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SplitState {
    /// Which split.
    pub split: SplitId,
    /// Offset of the next record to read. Everything below it is reflected in output and state.
    pub position: i64,
    /// Exclusive bound of a bounded read, resolved once on the first start and kept until reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// What makes the split itself and not another of the same name: Kafka's topic id. `None` where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// In which term of whoever leads the split the record before the position was written, or a later one: a leader that
    /// did not have that record may have put another in its place. Kafka's leader epoch. `None` where no record was read,
    /// or none stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<i32>,
}

impl SplitState {
    /// True while a bounded read of `splits` is under way: every one has a bound, and some have not reached it.
    pub fn is_bound_pending(splits: &[Self]) -> bool {
        splits.iter().all(|s| s.end.is_some()) && splits.iter().any(|s| !s.is_finished())
    }

    /// True when a bounded split has been read to its end.
    ///
    /// ```
    /// use weir_core::{SplitId, SplitState};
    /// let split = SplitId::new("clicks", 0);
    /// let mut state = SplitState { split, position: 9, end: Some(10), identity: None, term: None };
    /// assert!(!state.is_finished());
    /// state.position = 10;
    /// assert!(state.is_finished());
    /// ```
    pub fn is_finished(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }
}
