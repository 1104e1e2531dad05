//! What an outsider may know of a job: a snapshot that the coordinator's thread writes at each epoch and twice a second,
//! and anyone may read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use weir_checkpoint::PluginEntry;
use weir_core::{AttemptId, Delivery, Epoch, JobName, Progress, ShardId, SourceName, SplitId, Watermark};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Reading the marker, fencing, restoring.
    Starting,
    /// Processing.
    Running,
    /// An attempt failed; the next one waits or starts.
    Recovering,
    /// A stop was asked for; the last epoch is under way.
    Stopping,
    /// Everything is committed; it left.
    Finished,
    /// It stopped with an error.
    Failed,
}

impl JobState {
    /// For people, after "it is".
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Recovering => "recovering",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// A snapshot of a job.
#[derive(Debug, Clone)]
pub struct JobStatus {
    /// The job.
    pub job: JobName,
    /// Its shard.
    pub shard: ShardId,
    /// Where it stands.
    pub state: JobState,
    /// Whether its sources stand still.
    pub is_paused: bool,
    /// What it promises.
    pub delivery: Delivery,
    /// The newest epoch that holds.
    pub epoch: Epoch,
    /// The attempt under way.
    pub attempt: Option<AttemptId>,
    /// Recoveries in place so far.
    pub restarts: u64,
    /// The last error, with its causes; kept when the job has recovered from it.
    pub last_error: Option<String>,
    /// When the next attempt begins, while the job waits for it.
    pub next_attempt: Option<Instant>,
    /// What the job has been waiting for longer than it should.
    pub waiting: Option<Waiting>,
    /// Since when the attempt under way holds its first epoch.
    pub running_since: Option<Instant>,
    /// In order of the chain.
    pub operators: Vec<OperatorStatus>,
    /// In the order in which they were seen first.
    pub splits: Vec<SplitStatus>,
    /// In order of the pipeline.
    pub sinks: Vec<SinkStatus>,
    /// Records read by this process.
    pub records_read: u64,
    /// Of these, in the attempt under way.
    pub records_read_in_attempt: u64,
}

/// A wait that has become slow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `for the commit`, `to read the marker`.
    pub what: String,
    /// Since when.
    pub since: Instant,
    /// Whether that may take any time: the job is well.
    pub is_patient: bool,
}

/// One operator.
#[derive(Debug, Clone)]
pub struct OperatorStatus {
    /// Its name.
    pub name: String,
    /// How many tasks it has.
    pub parallelism: u16,
    /// The plugin that it runs.
    pub plugin: PluginEntry,
    /// Its keyed state, estimated.
    pub state_bytes: u64,
    /// How far its event time has come, in the task that is behind.
    pub watermark: Watermark,
}

/// One split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitStatus {
    /// The source that reads it.
    pub source: SourceName,
    /// Which one.
    pub split: SplitId,
    /// Offset of the next record to read.
    pub position: i64,
    /// Its position in the newest epoch that holds.
    pub committed: i64,
    /// Where it was read from, the first time this process saw it: for progress.
    pub begin: i64,
    /// Where reading ends (bounded), or could end now; `None` where unknown.
    pub end: Option<i64>,
    /// `end - position`.
    pub lag: Option<i64>,
    /// How far its event time has come, and whether nobody waits for it; none without event time.
    pub time: Progress,
}

/// One sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStatus {
    /// What it writes to, for people.
    pub target: String,
    /// Records written by this process, committed or not.
    pub records: u64,
}

/// The shared snapshot. Only the engine writes it.
#[derive(Debug, Clone)]
pub(crate) struct Board(Arc<Mutex<JobStatus>>);

impl Board {
    pub(crate) fn new(status: JobStatus) -> Self {
        Self(Arc::new(Mutex::new(status)))
    }

    pub(crate) fn read(&self) -> JobStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut JobStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
