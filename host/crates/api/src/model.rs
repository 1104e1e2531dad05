//! What is sent, field by field. This is a contract with people's scripts: fields are added, never changed.

use serde::{Deserialize, Serialize};
use weir_plan::Shown;

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub job: String,
    /// Its shard.
    pub shard: u16,
    /// Where it stands.
    pub state: State,
    /// What it promises: `exactly-once`, `at-least-once`, `none`.
    pub delivery: String,
    /// The newest epoch that holds.
    pub epoch: u64,
    /// The attempt under way.
    pub attempt: Option<String>,
    /// Recoveries in place so far.
    pub restarts: u64,
    /// The last error, with its causes; kept when the job has recovered from it.
    pub last_error: Option<String>,
    /// When the next attempt begins (RFC 3339), while the job waits for it.
    pub next_attempt: Option<String>,
    /// What the job has been waiting for longer than it should.
    pub waiting: Option<Waiting>,
    /// Each after all that it reads.
    pub operators: Vec<Operator>,
    /// What is read.
    pub splits: Vec<Split>,
    /// What is written.
    pub sinks: Vec<Sink>,
    /// Which threads carry records, and how these get from node to node, as `host validate --json` says it; `None` until
    /// the plugins are loaded.
    #[serde(skip_deserializing)]
    pub plan: Option<Shown>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Restoring.
    Starting,
    /// Processing.
    Running,
    /// Sources stand still until somebody says otherwise; everything else goes on.
    Paused,
    /// An attempt failed; the next one waits or starts.
    Recovering,
    /// The last epoch is under way.
    Stopping,
    /// Everything is committed.
    Finished,
    /// It stopped with an error.
    Failed,
}

impl State {
    /// For people, after "it is".
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Recovering => "recovering",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// What came of a pause, of its end, or of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Where the job stands now.
    pub state: State,
    /// The newest epoch that holds.
    pub epoch: u64,
}

/// A wait that has become slow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// `for the commit`, `to read the marker`.
    pub what: String,
    /// For how long so far.
    pub seconds: f64,
    /// Whether that may take any time, as whoever reads a pipe may: the job is well.
    pub patient: bool,
}

/// One operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Its name.
    pub name: String,
    /// How many tasks it has.
    pub parallelism: u16,
    /// What it runs.
    pub plugin: Plugin,
    /// Its keyed state, estimated.
    pub state_bytes: u64,
    /// How far its event time has come, in milliseconds since 1970; null where it has none, and at the end of time.
    pub watermark_ms: Option<i64>,
}

/// The plugin of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// BLAKE3 of its file.
    pub digest: String,
}

/// What took over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swapped {
    /// What runs now; or would.
    pub plugin: Plugin,
    /// From the end of this epoch on, which holds; null after a dry run.
    pub epoch: Option<u64>,
    /// How long a task stood still for it, at most.
    pub paused_ms: Option<f64>,
    /// From the question to the answer, without the compilation.
    pub took_ms: Option<f64>,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Whose matter it is.
    pub kind: RefusalKind,
    /// Cause and cure.
    pub error: String,
}

impl Refusal {
    /// Of this kind, with cause and cure.
    pub fn new(kind: RefusalKind, error: impl Into<String>) -> Self {
        Self { kind, error: error.into() }
    }
}

/// Kinds of refusals: `unknown`, `unfit`, `state`, `conflict`, `busy`, `failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// There is no such operator.
    Unknown,
    /// The plugin cannot run there.
    Unfit,
    /// State would be lost or misread.
    State,
    /// There is nothing to be done: it is so already.
    Conflict,
    /// Not now; perhaps later.
    Busy,
    /// It was tried, and did not hold.
    Failed,
}

/// One version took over from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// From the end of this epoch on.
    pub epoch: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// What ran before.
    pub from: Plugin,
    /// What ran then.
    pub to: Plugin,
    /// How `from` failed on probation; null where somebody asked for the change.
    pub failure: Option<String>,
}

/// One split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The source that reads it.
    pub source: String,
    /// Topic, file or generator.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset of the next record to read.
    pub position: i64,
    /// Offset after the last record; null where unknown.
    pub end: Option<i64>,
    /// `end - position`; null where unknown.
    pub lag: Option<i64>,
    /// How far its event time has come, in milliseconds since 1970; null where it has none, and at the end of time.
    pub watermark_ms: Option<i64>,
    /// Whether it has been silent for so long that nobody waits for its time.
    pub idle: bool,
}

/// One sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// Topic or path.
    pub topic: String,
    /// Records written by this process.
    pub records: u64,
}

impl Job {
    /// Why the job does not work at the moment; `None` when it does.
    pub fn illness(&self) -> Option<String> {
        let because = |what| self.because(what);
        match (self.state, &self.waiting) {
            (State::Failed, _) => Some(because("failed")),
            (State::Finished, _) => None,
            (_, Some(Waiting { what, seconds, patient: false })) => Some(format!("waiting {what} for {seconds} s")),
            (State::Running | State::Paused | State::Stopping, _) => None,
            (State::Starting, _) => Some(because("starting")),
            (State::Recovering, _) => Some(because("recovering")),
        }
    }

    /// What a job that is well waits for.
    pub fn remark(&self) -> Option<String> {
        let waiting = self.waiting.as_ref();
        let waiting = waiting.map(|Waiting { what, seconds, .. }| format!("waiting {what} for {seconds} s"));
        waiting.or_else(|| (self.state == State::Paused).then(|| "paused".to_owned()))
    }

    /// Why the job does not process records; `None` when it does, however slowly.
    pub fn unreadiness(&self) -> Option<String> {
        match self.state {
            State::Running => None,
            State::Paused => Some("paused".to_owned()),
            State::Starting => Some(self.because("starting")),
            State::Recovering => Some(self.because("recovering")),
            State::Stopping => Some("stopping".to_owned()),
            State::Finished => Some("finished".to_owned()),
            State::Failed => Some(self.because("failed")),
        }
    }

    fn because(&self, what: &str) -> String {
        match &self.last_error {
            Some(error) => format!("{what}: {error}"),
            None => what.to_owned(),
        }
    }
}
