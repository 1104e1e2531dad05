//! An independent reader: its own consumer, read_committed, every partition from its first to its last offset.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::Broker;

const PATIENCE: Duration = Duration::from_secs(60);

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it was.
    pub partition: i32,
    /// Where it was.
    pub offset: i64,
    /// In milliseconds.
    pub timestamp: Option<i64>,
    /// Null is `None`.
    pub key: Option<Vec<u8>>,
    /// Null is `None`.
    pub value: Option<Vec<u8>>,
    /// In their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Which records a consumer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Those of committed transactions, up to the last stable offset.
    Committed,
    /// All, up to the high watermark.
    Uncommitted,
}

/// All records of `topic` that are committed, once no transaction is open any more.
pub fn read_all(broker: &Broker, topic: &str) -> Result<Vec<Record>> {
    settle(broker, topic)?;
    let mut records = Vec::new();
    visit(broker, topic, |message| records.push(record(message)))?;
    Ok(records)
}

/// Waits until no transaction is open: a commit returns some milliseconds before the partitions know of it.
pub fn settle(broker: &Broker, topic: &str) -> Result<()> {
    let observer = Observer::new(broker, topic)?;
    let deadline = Instant::now() + PATIENCE;
    while observer.open_transactions()? > 0 {
        ensure!(Instant::now() < deadline, "a transaction on {topic} stays open");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Calls `see` for every record of `topic` that is committed now, partition by partition in order of offsets.
pub fn visit(broker: &Broker, topic: &str, mut see: impl FnMut(&BorrowedMessage<'_>)) -> Result<()> {
    let consumer = consumer(broker, Isolation::Committed)?;
    let mut assignment = TopicPartitionList::new();
    let mut open = HashSet::new();
    for (partition, (first, end)) in bounds(&consumer, topic)? {
        if first < end {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
            open.insert(partition);
        }
    }
    consumer.assign(&assignment)?;
    let mut heard = Instant::now();
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => see(&message),
            // May come again for a partition, when it grows meanwhile.
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(error)) => return Err(error).with_context(|| format!("failed to read {topic}")),
            None if heard.elapsed() < PATIENCE => continue,
            None => bail!("nothing came from {topic} for {PATIENCE:?}"),
        }
        heard = Instant::now();
    }
    Ok(())
}

/// Sees the ends of a topic from outside.
pub struct Observer {
    topic: String,
    committed: BaseConsumer,
    uncommitted: BaseConsumer,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Observer {
    /// Of `topic`.
    pub fn new(broker: &Broker, topic: &str) -> Result<Self> {
        let (committed, uncommitted) =
            (consumer(broker, Isolation::Committed)?, consumer(broker, Isolation::Uncommitted)?);
        Ok(Self { topic: topic.to_owned(), committed, uncommitted })
    }

    /// The sum of the last stable offsets: it grows with what is committed.
    pub fn stable(&self) -> Result<i64> {
        Ok(bounds(&self.committed, &self.topic)?.values().map(|(_, end)| end).sum())
    }

    /// The sum of the high watermarks: it grows with what is written.
    pub fn high(&self) -> Result<i64> {
        Ok(bounds(&self.uncommitted, &self.topic)?.values().map(|(_, end)| end).sum())
    }

    /// The high watermark of each partition: what is written later stands there or beyond.
    pub fn highs(&self) -> Result<BTreeMap<i32, i64>> {
        Ok(bounds(&self.uncommitted, &self.topic)?.into_iter().map(|(partition, (_, end))| (partition, end)).collect())
    }

    /// In how many partitions a transaction is open: records are there that no read_committed reader may see yet.
    pub fn open_transactions(&self) -> Result<usize> {
        // The stable ends first. Where nothing moves, as after a kill, both are of one moment.
        let stable = bounds(&self.committed, &self.topic)?;
        let high = bounds(&self.uncommitted, &self.topic)?;
        let is_open = |partition: &i32, end: i64| stable.get(partition).is_some_and(|(_, stable)| *stable < end);
        Ok(high.iter().filter(|(partition, (_, end))| is_open(partition, *end)).count())
    }
}

/// A consumer that has nothing assigned.
pub fn consumer(broker: &Broker, isolation: Isolation) -> Result<BaseConsumer> {
    let level = if isolation == Isolation::Committed { "read_committed" } else { "read_uncommitted" };
    let mut config = broker.client();
    config
        .set("group.id", "weir-tests-judge")
        .set("isolation.level", level)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.wait.max.ms", "10")
        .set("allow.auto.create.topics", "false");
    Ok(config.create()?)
}

fn bounds(consumer: &BaseConsumer, topic: &str) -> Result<HashMap<i32, (i64, i64)>> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let partitions = found.with_context(|| format!("there is no topic {topic}"))?.partitions();
    ensure!(!partitions.is_empty(), "topic {topic} has no partition");
    partitions
        .iter()
        .map(|partition| Ok((partition.id(), consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?)))
        .collect()
}

/// A copy of `message`.
pub fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}
