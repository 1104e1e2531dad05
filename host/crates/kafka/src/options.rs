//! What a user chooses about Kafka, as plain values.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_core::{JobName, ShardId, Start, Until};

use crate::Error;

/// What every client of a job shares.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `HOST:PORT,..`.
    pub brokers: String,
    /// librdkafka properties that are passed through: TLS, SASL, tuning. See [`refused_properties`].
    pub properties: BTreeMap<String, String>,
    /// The job: group, client and transactional ids derive from it.
    pub job: JobName,
    /// The shard.
    pub shard: ShardId,
}

impl ClientOptions {
    /// The consumer group that holds the job's offsets: `weir-JOB`.
    pub fn group(&self) -> String {
        format!("weir-{}", self.job)
    }

    /// A transactional id, for `number` 0 or 1: `weir-JOB-SHARD-0` or `-1`, and no others ever: the ACLs of a job can be
    /// written down.
    pub fn transactional_id(&self, number: u8) -> String {
        format!("{}-{}-{number}", self.group(), self.shard)
    }

    /// Refuses properties that correctness depends on.
    pub fn check(&self) -> Result<(), Error> {
        if self.brokers.trim().is_empty() {
            return Err(Error::Option { option: "--brokers", reason: "needs HOST:PORT of a Kafka broker".to_owned() });
        }
        for (key, reason) in refused_properties() {
            if self.properties.contains_key(*key) {
                return Err(Error::Property { key: (*key).to_owned(), reason });
            }
        }
        Ok(())
    }
}

/// The librdkafka properties that cannot be passed through, and why.
pub fn refused_properties() -> &'static [(&'static str, &'static str)] {
    const BROKERS: &str = "use --brokers";
    const NAMES: &str = "Weir derives it from the job's name, so that state, offsets and ACLs agree; use --job";
    const DURABLE: &str = "exactly once needs an idempotent producer that waits for all replicas";
    const OFFSETS: &str = "Weir commits offsets with its own epochs";
    const TIMEOUT: &str = "it follows from the transaction; use --transaction-timeout";
    &[
        ("bootstrap.servers", BROKERS),
        ("metadata.broker.list", BROKERS),
        ("group.id", NAMES),
        ("group.instance.id", "Weir assigns partitions itself and never joins a group"),
        ("group.protocol", "Weir assigns partitions itself and never joins a group"),
        ("transactional.id", NAMES),
        ("transaction.timeout.ms", "use --transaction-timeout"),
        ("enable.idempotence", DURABLE),
        ("acks", DURABLE),
        ("request.required.acks", DURABLE),
        ("max.in.flight", DURABLE),
        ("max.in.flight.requests.per.connection", DURABLE),
        ("retries", DURABLE),
        ("message.send.max.retries", DURABLE),
        ("enable.gapless.guarantee", DURABLE),
        ("message.timeout.ms", TIMEOUT),
        ("delivery.timeout.ms", TIMEOUT),
        ("retry.backoff.ms", "a resent request may end a later transaction unless it waits; Weir keeps it at 100"),
        ("retry.backoff.max.ms", "a resent request may end a later transaction unless it waits"),
        ("partitioner", "Weir partitions as the Java clients do (murmur2), so that topics stay co-partitioned"),
        ("isolation.level", "Weir reads only what is committed"),
        ("auto.offset.reset", "skipping lost records silently would break the results; use --start for a first start"),
        ("enable.auto.commit", OFFSETS),
        ("enable.auto.offset.store", OFFSETS),
        ("enable.partition.eof", "Weir needs to see the end of a partition"),
        ("allow.auto.create.topics", "use --create-topics"),
        ("check.crcs", "Weir always verifies what it reads"),
        ("delivery.report.only.error", "Weir counts the broker's answer to every record before it commits"),
        ("enabled_events", "Weir reads the client's events itself"),
        ("api.version.request", "without it the client reads what was never committed"),
        ("offset.store.method", OFFSETS),
        ("test.mock.num.brokers", "it puts a mock in place of Kafka"),
        ("log.queue", "Weir reads the client's log itself"),
    ]
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
        }
    }
}
