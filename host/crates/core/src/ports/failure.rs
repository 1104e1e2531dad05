//! What kinds of failure a record can meet in an operator: for machines, which want a word and no sentence.

use std::fmt;

use super::operator::CallError;

/// A kind of [`CallError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The plugin said so: it returned a failure, or rejected the record.
    Failed,
    /// The plugin trapped.
    Trap,
    /// The call took too long.
    Deadline,
    /// The plugin wanted more memory than it may have.
    Memory,
    /// What the plugin handed over is malformed.
    Malformed,
    /// An output record is one that a sink does not take.
    Unfit,
    /// What the plugin merged into a table does not go.
    Merge,
    /// No window holds the record: it has no key, or no timestamp that can be used.
    NoWindow,
    /// The host could not make the call.
    Host,
}

impl FailureKind {
    /// Every kind that can be a record's.
    pub const OF_RECORDS: [Self; 8] = [
        Self::Failed,
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::Malformed,
        Self::Unfit,
        Self::Merge,
        Self::NoWindow,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Malformed => "malformed",
            Self::Unfit => "unfit",
            Self::Merge => "merge",
            Self::NoWindow => "no-window",
            Self::Host => "host",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl CallError {
    /// Of which kind it is.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Failed { .. } => FailureKind::Failed,
            Self::Trapped { .. } => FailureKind::Trap,
            Self::Deadline { .. } => FailureKind::Deadline,
            Self::Memory { .. } => FailureKind::Memory,
            Self::Malformed { .. } => FailureKind::Malformed,
            Self::Unfit { .. } => FailureKind::Unfit,
            Self::Unreduced { .. } => FailureKind::Merge,
            Self::NoWindow(_) => FailureKind::NoWindow,
            Self::Host(_) => FailureKind::Host,
        }
    }
}
