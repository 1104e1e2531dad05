//! What a user chooses about Kafka, as plain values.

use std::time::Duration;

use weir_core::{JobName, ShardId, Start, Until};

use crate::Error;
use crate::properties::Properties;

/// What every client of a job shares.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `HOST:PORT,..`.
    pub brokers: String,
    /// librdkafka properties that are passed through: TLS, SASL, tuning.
    pub properties: Properties,
    /// The job: group, client and transactional ids derive from it.
    pub job: JobName,
    /// The shard.
    pub shard: ShardId,
}

/// What the consumer group of every job begins with.
pub(crate) const GROUP_PREFIX: &str = "weir-";

impl ClientOptions {
    /// The consumer group that holds the job's offsets: `weir-JOB`.
    pub fn group(&self) -> String {
        format!("{GROUP_PREFIX}{}", self.job)
    }

    /// A transactional id, for `number` 0 or 1: `weir-JOB-SHARD-0` or `-1`, and no others ever: the ACLs of a job can be
    /// written down.
    pub fn transactional_id(&self, number: u8) -> String {
        format!("{}-{}-{number}", self.group(), self.shard)
    }

    /// Refuses what no client could use.
    pub fn check(&self) -> Result<(), Error> {
        if self.brokers.trim().is_empty() {
            return Err(Error::Option { option: "--brokers", reason: "needs HOST:PORT of a Kafka broker".to_owned() });
        }
        Ok(())
    }
}

/// Which topics are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    /// These.
    Named(Vec<String>),
    /// All whose whole name matches, now and later.
    Pattern(String),
}

/// What a user chooses about a Kafka source.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// Which topics are read.
    pub topics: Topics,
    /// Where a first start begins.
    pub start: Start,
    /// Where a bounded read ends.
    pub until: Option<Until>,
    /// Records per second per partition, at most.
    pub max_rate: Option<u64>,
    /// How often new partitions and topics are looked for.
    pub discovery_interval: Duration,
    /// Whether a partition may be held back while others are read (alignment of event time).
    pub holds: bool,
    /// Whether headers that are Weir's own words ([`weir_core::ports::OWN_HEADERS`]) are given: to who reads what Weir has
    /// written, and runs no plugin.
    pub keeps_own_headers: bool,
}

impl SourceOptions {
    /// Unbounded and unlimited from the earliest record on; looks for new partitions every 30 s.
    pub fn new(topics: Topics) -> Self {
        Self {
            topics,
            start: Start::Earliest,
            until: None,
            max_rate: None,
            discovery_interval: Duration::from_secs(30),
            holds: false,
            keeps_own_headers: false,
        }
    }

    /// Whether each partition has a queue of its own, because it may have to wait while others are read.
    pub(crate) fn has_lanes(&self) -> bool {
        self.max_rate.is_some() || self.holds
    }
}
