//! Where records come from.

use std::time::Duration;

use crate::batch::Batch;
use crate::fault::PortError;
use crate::ids::SplitId;
use crate::split::SplitState;

/// Opens readers; knows what exists and where a first start begins. Lives as long as the job.
pub trait SourceConnector: Send + Sync {
    /// The splits that exist now, at their first readable position, with their identity; no bound resolved.
    /// Used before a start, to know which splits may carry a marker.
    fn discover(&self) -> Result<Vec<SplitState>, PortError>;

    /// A first start: start positions and bounds, resolved once. The manifest keeps them from here on.
    fn resolve(&self) -> Result<Vec<SplitState>, PortError>;

    /// A later start of the job, from the positions in `splits`. A bound that is not reached yet is kept; otherwise the
    /// options decide anew: no bound, or one resolved now (then also for splits that appeared meanwhile).
    fn resume(&self, splits: Vec<SplitState>) -> Result<Vec<SplitState>, PortError>;

    /// Which of this source's splits `split`, recorded by an earlier start, is; `None`: this source does not read it, and
    /// must not go on from it. Touches nothing outside that could hang.
    fn recognise(&self, split: &SplitId) -> Option<SplitId>;

    /// Reads on from `splits`; splits that appear later are the reader's own business (from their earliest offset).
    /// Verifies identity and range first: a re-created topic or records lost to retention are `Fault::Corrupt`, with
    /// the numbers.
    fn open(&self, splits: Vec<SplitState>) -> Result<Box<dyn SourceReader>, PortError>;

    /// False for a source that cannot be read again (stdin): the job then never recovers in place.
    fn is_replayable(&self) -> bool;

    /// True when the read has an end (a bounded Kafka read, a file, stdin).
    fn is_bounded(&self) -> bool;
}

/// What one call of [`SourceReader::poll`] brought.
#[derive(Debug)]
pub enum Poll {
    /// At least one record.
    Batch(Batch),
    /// Nothing within the wait. Positions may still have moved, past control records at a partition's tail.
    Pending,
    /// Every split is finished; nothing will come any more.
    Finished,
}

/// Reads the splits of one shard. Lives on the source task's thread; polls no client itself if that may block long.
pub trait SourceReader: Send {
    /// Waits at most `wait` for the next batch. Backpressure is simply not calling this.
    fn poll(&mut self, wait: Duration) -> Result<Poll, PortError>;

    /// Every split and the position after everything that `poll` has returned. The index of a split in this list is
    /// [`crate::Origin::split`]; splits are only ever appended.
    fn snapshot(&mut self) -> Vec<SplitState>;

    /// For the eye only: the end of each split, where known, in the order of `snapshot`.
    fn progress(&self) -> Vec<SplitProgress>;
}

/// How far a split could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SplitProgress {
    /// Offset after the last readable record, when last seen. `None` where unknown.
    pub end: Option<i64>,
}
