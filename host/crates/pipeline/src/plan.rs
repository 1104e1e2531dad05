//! A plan that can run: everything checked, every default filled in, no choice left.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use weir_core::{Delivery, JobName, KeySpec, OnError, Restart, Secret, Start, Until};
use weir_time::WindowSpec;

use crate::inputs::Partition;
use crate::lines::LineFormat;
use crate::places::Places;

/// A job, ready to be composed of adapters.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Its name.
    pub job: JobName,
    /// What it promises.
    pub delivery: Delivery,
    /// Where records come from: at least one, in order of name.
    pub sources: Vec<SourcePlan>,
    /// Each after all that it reads; may be empty.
    pub operators: Vec<OperatorPlan>,
    /// At least one, in order of name.
    pub sinks: Vec<SinkPlan>,
    /// How the stream is cut.
    pub epochs: EpochsPlan,
    /// Where state is kept.
    pub state: StatePlan,
    /// Where the API listens.
    pub api: ApiPlan,
    /// Whether missing topics that are written are created.
    pub create_topics: bool,
    /// How the job recovers from failures that may pass.
    pub restart: Restart,
    /// The one cluster of the job; `None` where neither end is Kafka.
    pub kafka: Option<KafkaPlan>,
    /// Where the pipeline file says what.
    pub places: Places,
}

/// A Kafka cluster and how to talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaPlan {
    /// `HOST:PORT,..`.
    pub brokers: String,
    /// librdkafka properties of sinks and of everything that is not the source.
    pub properties: BTreeMap<String, Secret>,
}

/// The source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePlan {
    /// Its name in the pipeline.
    pub name: String,
    /// What is read.
    pub kind: SourceKind,
    /// Where a first start begins.
    pub start: Start,
    /// Where reading ends; `None`: never, or where a file, a counted generator or stdin ends.
    pub until: Option<Until>,
    /// Records per second per partition, at most.
    pub max_rate: Option<NonZeroU64>,
    /// How often new partitions and topics are looked for.
    pub discovery_interval: Duration,
    /// Event time, where the user says something of it.
    pub watermark: Option<weir_time::Options>,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// Kafka topics.
    Kafka {
        /// Which.
        topics: Topics,
        /// librdkafka properties of the consumer.
        properties: BTreeMap<String, Secret>,
    },
    /// Lines from standard input.
    Stdin {
        /// How they look.
        format: LineFormat,
    },
    /// Lines of a file.
    File {
        /// Its path.
        path: PathBuf,
        /// How they look.
        format: LineFormat,
    },
    /// Made-up records.
    Generate(GeneratePlan),
}

/// Which topics are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    /// These.
    Named(Vec<String>),
    /// All whose whole name matches this regular expression.
    Pattern(String),
}

/// Made-up records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneratePlan {
    /// What is made up.
    pub generator: Generator,
    /// Records per second.
    pub rate: Option<NonZeroU64>,
    /// How many distinct keys.
    pub keys: NonZeroU64,
    /// How many records in all.
    pub count: Option<u64>,
    /// Least size of a value.
    pub bytes: Option<u32>,
}

/// The known generators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generator {
    /// Key `offset % keys`, value the offset.
    Sequence,
    /// JSON clicks of about 300 bytes.
    Clicks,
}

impl Generator {
    /// Every generator, with its name.
    pub const ALL: [(&'static str, Self); 2] = [("clicks", Self::Clicks), ("sequence", Self::Sequence)];

    /// Its name in addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Clicks => "clicks",
        }
    }
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
}

/// One sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkPlan {
    /// Its name in the pipeline.
    pub name: String,
    /// What it takes, at least one.
    pub inputs: Vec<Input>,
    /// What is written.
    pub kind: SinkKind,
    /// How its topic is made where it is not there and may be created.
    pub creation: TopicCreation,
}

/// How a topic is made; what is not said follows the source, or the brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicCreation {
    /// How many partitions; `None`: as many as the source has.
    pub partitions: Option<NonZeroU16>,
    /// How many replicas.
    pub replication: Option<NonZeroU16>,
    /// Its settings.
    pub config: BTreeMap<String, Secret>,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkKind {
    /// A Kafka topic of the job's cluster.
    Kafka {
        /// Its name.
        topic: String,
        /// Other topics that a record may name instead.
        routes: Vec<String>,
    },
    /// Lines to standard output.
    Stdout {
        /// How they look.
        format: LineFormat,
    },
    /// Lines appended to a file.
    File {
        /// Its path.
        path: PathBuf,
        /// How they look.
        format: LineFormat,
    },
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

impl SourcePlan {
    /// Its event time in a pipeline that has any.
    pub fn event_time(&self) -> weir_time::Options {
        self.watermark.clone().unwrap_or_else(|| crate::event_time::default(&self.kind))
    }

    /// True when the read has an end.
    pub fn is_bounded(&self) -> bool {
        match &self.kind {
            SourceKind::Kafka { .. } => self.until.is_some(),
            SourceKind::Stdin { .. } | SourceKind::File { .. } => true,
            SourceKind::Generate(generate) => generate.count.is_some(),
        }
    }
}

impl SourceKind {
    /// Whether what was read can be read again. What cannot leaves no position that the next run could use.
    pub fn is_replayable(&self) -> bool {
        match self {
            Self::Kafka { .. } | Self::File { .. } | Self::Generate(_) => true,
            Self::Stdin { .. } => false,
        }
    }

    /// How its lines look, where it reads lines.
    pub fn lines(&self) -> Option<&LineFormat> {
        match self {
            Self::Stdin { format } | Self::File { format, .. } => Some(format),
            Self::Kafka { .. } | Self::Generate(_) => None,
        }
    }
}

impl SinkKind {
    /// Every topic that may be written, the sink's own first.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        let (own, routes) = match self {
            Self::Kafka { topic, routes } => (Some(topic), &routes[..]),
            Self::Stdout { .. } | Self::File { .. } => (None, &[][..]),
        };
        own.into_iter().chain(routes).map(String::as_str)
    }
}

impl Plan {
    /// True when every read has an end, and so the job.
    pub fn is_bounded(&self) -> bool {
        self.sources.iter().all(SourcePlan::is_bounded)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.node)?;
        self.output.iter().try_for_each(|output| write!(f, ".{output}"))
    }
}
