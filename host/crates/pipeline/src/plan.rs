//! A plan that can run: everything checked, every default filled in, no choice left.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use weir_connector::{Cluster, Place, PlannedSink, PlannedSource, Range};
use weir_core::ports::Ttl;
use weir_core::{Delivery, JobName, KeySpec, OnError, Restart, Start, Until};
use weir_time::{TimestampSource, WindowSpec};

use crate::inputs::Partition;
use crate::places::Places;

/// A job, ready to be composed of adapters.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub job: JobName,
    /// What it promises.
    pub delivery: Delivery,
    /// Where records come from: at least one, in order of name.
    pub sources: Vec<SourcePlan>,
    /// Each after all that it reads; may be empty.
    pub operators: Vec<OperatorPlan>,
    /// At least one, in order of name; behind them those of dead letters.
    pub sinks: Vec<SinkPlan>,
    /// How the stream is cut.
    pub epochs: EpochsPlan,
    /// Where state is kept.
    pub state: StatePlan,
    /// Where the API listens.
    pub api: ApiPlan,
    /// Who changes the job by it.
    pub access: AccessPlan,
    /// How the job recovers from failures that may pass.
    pub restart: Restart,
    /// What commits output and positions; `None` where no end can.
    pub cluster: Option<Arc<dyn Cluster>>,
    /// Where the pipeline file says what.
    pub places: Places,
}

/// The source.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    /// Its name in the pipeline.
    pub name: String,
    /// What is read.
    pub reads: Arc<dyn PlannedSource>,
    /// Where a first start begins.
    pub start: Start,
    /// Where reading ends; `None`: where it ends by itself, if it does.
    pub until: Option<Until>,
    /// Records per second per partition, at most.
    pub max_rate: Option<NonZeroU64>,
    /// How often new partitions and topics are looked for.
    pub discovery_interval: Duration,
    /// Event time, where the user says something of it.
    pub watermark: Option<weir_time::Options>,
}

/// One of the things that a node reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Name of a source or an operator.
    pub node: String,
    /// Name of one of the operator's outputs; `None` is its first. Only the plugin knows which it has.
    pub output: Option<String>,
    /// Name of the reader's input that it comes into, where the user says it.
    pub port: Option<String>,
    /// To which of the reader's tasks a record goes.
    pub partition: Partition,
}

/// One operator.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorPlan {
    /// Its name in the pipeline: its state is found by it.
    pub name: String,
    /// Path of its plugin.
    pub plugin: PathBuf,
    /// What it reads, at least one.
    pub inputs: Vec<Input>,
    /// What its state is keyed by.
    pub key: KeySpec,
    /// How many tasks run it; at most one per key group.
    pub parallelism: NonZeroU16,
    /// For the plugin: an object.
    pub config: serde_json::Value,
    /// Its windows, where the pipeline names them.
    pub window: Option<WindowSpec>,
    /// How long what is written in tables of these names stays, where the pipeline says so.
    pub ttl: BTreeMap<String, Ttl>,
    /// What becomes of a record that it fails on.
    pub on_error: OnError,
    /// Bounds of one call.
    pub limits: Limits,
}

/// Bounds of one call of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of an instance, in bytes.
    pub memory_bytes: u64,
    /// Longest call.
    pub call_deadline: Duration,
    /// The longest chain of timers that set each other, all due at once.
    pub timer_rounds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let timer_rounds = weir_time::timers::Limits::default().rounds_max;
        Self { memory_bytes: 64 << 20, call_deadline: Duration::from_secs(1), timer_rounds }
    }
}

/// One sink.
#[derive(Debug, Clone)]
pub struct SinkPlan {
    /// Its name in the pipeline.
    pub name: String,
    /// What it takes, at least one.
    pub inputs: Vec<Input>,
    /// What is written.
    pub writes: Arc<dyn PlannedSink>,
}

/// How the stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochsPlan {
    /// Time between two commits.
    pub interval: Duration,
    /// After how long the broker aborts a transaction; at least three intervals.
    pub transaction_timeout: Duration,
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePlan {
    /// The place.
    pub dir: StateDir,
    /// Bytes for caches and overlays.
    pub memory_bytes: u64,
}

/// The place of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateDir {
    /// Kept and found again.
    Kept(PathBuf),
    /// A fresh directory that is removed at the end: under `under`, or where the system keeps such.
    Temporary {
        /// Where the user wants it.
        under: Option<PathBuf>,
    },
}

/// Where the API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiPlan {
    /// Nowhere.
    Off,
    /// At this address.
    Listen {
        /// Name or number; an IPv6 number in brackets.
        host: String,
        /// The port.
        port: u16,
        /// True when the user chose it: then no other port will do.
        explicit: bool,
    },
}

/// Who changes the job by the API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessPlan {
    /// The file with the token for it.
    pub token_file: Option<PathBuf>,
    /// Whether the token may cross the network in clear.
    pub is_plaintext: bool,
}

impl SourcePlan {
    /// The file of the plugin that says when its records were made, where one does.
    pub fn timestamps(&self) -> Option<&Path> {
        match &self.watermark.as_ref()?.timestamp {
            TimestampSource::Plugin(file) => Some(file),
            _ => None,
        }
    }

    /// Its event time in a pipeline that has any.
    pub fn event_time(&self) -> weir_time::Options {
        self.watermark.clone().unwrap_or_else(|| crate::event_time::default(&*self.reads))
    }

    /// True when the read has an end.
    pub fn is_bounded(&self) -> bool {
        self.until.is_some() || self.reads.abilities().ends
    }

    /// Which part of it is read, and how.
    pub fn range(&self) -> Range {
        Range {
            start: self.start.clone(),
            until: self.until.clone(),
            max_rate: self.max_rate,
            discovery_interval: self.discovery_interval,
            holds: self.watermark.as_ref().is_some_and(|watermark| watermark.max_drift_ms.is_some()),
        }
    }
}

impl Plan {
    /// True when every read has an end, and so the job.
    pub fn is_bounded(&self) -> bool {
        self.sources.iter().all(SourcePlan::is_bounded)
    }

    /// Whether some of its output goes to standard output.
    pub fn writes_to_stdout(&self) -> bool {
        self.sinks.iter().any(|sink| sink.writes.place() == Some(Place::Stdout))
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.node)?;
        self.output.iter().try_for_each(|output| write!(f, ".{output}"))
    }
}
