//! Topics, and records written to them by a plain Kafka client.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::Broker;
use crate::reader::Observer;

const PATIENCE: Duration = Duration::from_secs(60);

/// Records are `(key, value)`; none of both is null.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Creates `name` with `partitions` partitions, as many replicas as is usual there, and `settings`
/// (`max.message.bytes`, ..).
pub fn create(broker: &Broker, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    administrate(broker, async |admin| admin.create_topics([&topic], &options()).await)?;
    wait_until_known(broker, name)
}

/// The controller answers before every broker knows what it created, and who leads it.
fn wait_until_known(broker: &Broker, name: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = Observer::new(broker, name)?.high() {
        ensure!(Instant::now() < deadline, "topic {name} was created and is not there: {error:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Deletes `name`.
pub fn delete(broker: &Broker, name: &str) -> Result<()> {
    administrate(broker, async |admin| admin.delete_topics(&[name], &options()).await)
}

/// Deletes `name`, and creates it again under its name: the broker needs a moment in between.
pub fn replace(broker: &Broker, name: &str, partitions: i32) -> Result<()> {
    delete(broker, name)?;
    let deadline = Instant::now() + PATIENCE;
    while create(broker, name, partitions, &[]).is_err() {
        ensure!(Instant::now() < deadline, "{name} cannot be created again");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Adds partitions to `name` until it has `partitions`.
pub fn grow(broker: &Broker, name: &str, partitions: usize) -> Result<()> {
    let wanted = NewPartitions::new(name, partitions);
    administrate(broker, async |admin| admin.create_partitions([&wanted], &options()).await)
}

/// Removes the records of `name` before `offsets`, of partition 0, 1, ..; as retention would.
pub fn truncate(broker: &Broker, name: &str, offsets: &[i64]) -> Result<()> {
    let mut before = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(offsets) {
        before.add_partition_offset(name, partition, Offset::Offset(*offset))?;
    }
    let admin: AdminClient<DefaultClientContext> = broker.client().create()?;
    let answers = runtime()?.block_on(admin.delete_records(&before, &options()))?;
    for answer in answers.elements() {
        answer.error().with_context(|| format!("the broker refused for {name}-{}", answer.partition()))?;
    }
    Ok(())
}

/// Deletes what `groups` have committed; those that do not exist are fine.
pub fn delete_groups(broker: &Broker, groups: &[&str]) -> Result<()> {
    administrate(broker, async |admin| {
        let deadline = Instant::now() + PATIENCE;
        let answers = loop {
            let answers = admin.delete_groups(groups, &options()).await?;
            // A broker that has just made its offsets topic needs a moment.
            if !answers.iter().any(is_loading) || Instant::now() > deadline {
                break answers;
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        let missing = |answer: &Result<String, (String, RDKafkaErrorCode)>| {
            matches!(answer, Err((_, RDKafkaErrorCode::GroupIdNotFound | RDKafkaErrorCode::NotCoordinator)))
        };
        Ok(answers.into_iter().filter(|answer| !missing(answer)).collect())
    })
}

fn is_loading(answer: &Result<String, (String, RDKafkaErrorCode)>) -> bool {
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable};
    matches!(answer, Err((_, CoordinatorLoadInProgress | CoordinatorNotAvailable)))
}

fn administrate(
    broker: &Broker,
    ask: impl AsyncFnOnce(
        &AdminClient<DefaultClientContext>,
    ) -> Result<Vec<Result<String, (String, RDKafkaErrorCode)>>, KafkaError>,
) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = broker.client().create()?;
    for answer in runtime()?.block_on(ask(&admin))? {
        answer.map_err(|(topic, code)| anyhow!("the broker refused for topic {topic}: {code}"))?;
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().build()?)
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

/// Writes records as fast as the broker takes them.
pub struct Writer {
    producer: BaseProducer,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer without transactions; each record arrives once, in order.
    pub fn new(broker: &Broker) -> Result<Self> {
        let producer = settings(broker).create()?;
        Ok(Self { producer })
    }

    /// A writer whose records are seen only after [`Writer::commit`].
    pub fn transactional(broker: &Broker, id: &str) -> Result<Self> {
        let producer: BaseProducer = settings(broker).set("transactional.id", id).create()?;
        producer.init_transactions(PATIENCE)?;
        Ok(Self { producer })
    }

    /// Opens a transaction.
    pub fn begin(&self) -> Result<()> {
        Ok(self.producer.begin_transaction()?)
    }

    /// Commits it.
    pub fn commit(&self) -> Result<()> {
        Ok(self.producer.commit_transaction(PATIENCE)?)
    }

    /// Aborts it; what was written stays in the log, and nobody may see it.
    pub fn abort(&self) -> Result<()> {
        self.flush()?;
        Ok(self.producer.abort_transaction(PATIENCE)?)
    }

    /// Writes a record, to the partition that its key says.
    pub fn write(&self, topic: &str, key: &[u8], value: &[u8]) -> Result<()> {
        self.send(BaseRecord::to(topic).key(key).payload(value))
    }

    /// Writes any record.
    pub fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(Duration::from_millis(5));
                    record = back;
                }
                Err((error, _)) => return Err(error).context("failed to write a record"),
            }
        }
    }

    /// Takes the broker's answers; to be called now and then by who writes slowly.
    pub fn poll(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until the broker has everything.
    pub fn flush(&self) -> Result<()> {
        self.producer.flush(PATIENCE)?;
        ensure!(self.producer.in_flight_count() == 0, "records are still on their way after {PATIENCE:?}");
        Ok(())
    }
}

fn settings(broker: &Broker) -> rdkafka::ClientConfig {
    let mut config = broker.client();
    config
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .set("batch.size", "262144")
        .set("message.max.bytes", "4194304")
        .set("queue.buffering.max.messages", "200000")
        .set("allow.auto.create.topics", "false");
    config
}

/// Writes `count` records over `keys` keys: key `key-00000042`, value of `value_len` bytes that starts with the number
/// of the record.
pub fn fill(writer: &Writer, topic: &str, count: u64, keys: u64, value_len: usize) -> Result<()> {
    for number in 0..count {
        // Any fixed scattering serves; neighbours in the stream have different keys.
        let key = format!("key-{:012}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % keys);
        let mut value = format!("{number:012}-abcdefgh").into_bytes();
        value.resize(value_len, b'x');
        writer.write(topic, key.as_bytes(), &value)?;
    }
    writer.flush()
}
