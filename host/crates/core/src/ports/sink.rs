//! Where records go, and where an epoch is committed.

use crate::batch::Batch;
use crate::fault::PortError;
use crate::ids::{Epoch, SplitId};
use crate::ports::RecordCheck;

/// How to read the marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerRead {
    /// What is committed now; never waits, fences nobody (`read_uncommitted`).
    Glance,
    /// Waits until no commit is pending (Kafka: `read_committed`, RequireStable).
    Stable,
}

/// What the group has committed for one split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The split.
    pub split: SplitId,
    /// The committed position.
    pub position: i64,
    /// The text beside it, raw: anyone may have written it. Empty where there is none.
    pub metadata: Vec<u8>,
}

/// What an epoch commits outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The epoch.
    pub epoch: Epoch,
    /// The committed position of every split that carries the marker.
    pub positions: Vec<(SplitId, i64)>,
    /// The marker, beside each of them.
    pub marker: String,
}

/// One sink of the pipeline, as the sink task uses it. Lives on the sink task's thread.
pub trait Sink: Send {
    /// Takes a batch; may block while buffers are full. What was written belongs to the open epoch.
    fn write(&mut self, batch: &Batch) -> Result<(), PortError>;

    /// Which records it takes; `None`: any, and nothing is asked of each.
    fn record_check(&self) -> Option<RecordCheck> {
        None
    }

    /// Returns when everything written so far is acknowledged, or flushed to the operating system (stdout,
    /// file). The sink counts acknowledgements itself.
    fn flush(&mut self) -> Result<(), PortError>;
}

/// Makes an epoch hold. Lives on the sink task's thread; may block, for ever at worst.
pub trait Committer: Send {
    /// Commits the open epoch; on `Ok` it holds. On `Err` the outcome may be unknown: the engine never commits again
    /// in this attempt, it recovers and reads the marker.
    fn commit(&mut self, commit: &Commit) -> Result<(), PortError>;
}

/// What an attempt writes through. All sinks share the committer: what it commits, it commits for all of them.
pub struct Outputs {
    /// In the order of the pipeline's sinks.
    pub sinks: Vec<Box<dyn Sink>>,
    /// The one committer.
    pub committer: Box<dyn Committer>,
}

/// Opens sinks and reads the marker. Lives as long as the job.
pub trait SinkConnector: Send + Sync {
    /// What is committed for `splits`; a split without a commit is left out. An error on any single split is an error.
    fn read_marker(&self, splits: &[SplitId], read: MarkerRead) -> Result<Vec<Committed>, PortError>;

    /// All that the job has committed, for whatever split; never waits, fences nobody. Nothing without a marker.
    fn committed(&self) -> Result<Vec<Committed>, PortError>;

    /// Fences every rival: after it returns, nothing of an earlier attempt can be committed. A no-op where nobody can be fenced.
    /// The fenced producers are kept for the next [`SinkConnector::open`].
    fn fence(&self) -> Result<(), PortError>;

    /// From the next [`SinkConnector::fence`] on the outside waits `factor` times as long for the commit of an epoch as
    /// configured, before it gives its output up. Nothing to do where nobody waits.
    fn stretch(&self, factor: u32) {
        let _ = factor;
    }

    /// Opens what one attempt needs.
    fn open(&self) -> Result<Outputs, PortError>;

    /// Where committed positions and the marker are kept, for people; `None` where there is no marker.
    fn marker_home(&self) -> Option<String>;
}
