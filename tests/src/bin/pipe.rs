//! The bare Kafka client, which `make bench` compares with: copies a topic to a topic, one transaction per interval, no
//! operator, no state. Tuned as far as the client goes: many messages per call, no queue left waiting, no spinning.
//!
//! `pipe BROKERS FROM TO NAME exactly-once|at-least-once INTERVAL_MS [latest]`
#![expect(unsafe_code, reason = "rdkafka does not wrap the batch consumption that the fastest pipe needs")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const BATCH: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, from, to, name, delivery, interval, until @ ..] = args.as_slice() else {
        bail!("usage: pipe BROKERS FROM TO NAME exactly-once|at-least-once INTERVAL_MS [latest]");
    };
    let interval = Duration::from_millis(interval.parse()?);
    let mut pipe = Pipe::open(brokers, from, to, name, delivery == "exactly-once")?;
    pipe.run(interval, until.first().is_some_and(|until| until == "latest"))
}

struct Pipe {
    from: String,
    to: String,
    consumer: BaseConsumer,
    producer: BaseProducer,
    transactional: bool,
    /// By partition: what to read next.
    positions: BTreeMap<i32, i64>,
    /// Partitions whose end was not reached yet.
    open: usize,
}

impl Pipe {
    fn open(brokers: &str, from: &str, to: &str, name: &str, transactional: bool) -> Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", name)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.queue.backoff.ms", "2")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "32768")
            .create()?;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "100000");
        if transactional {
            config.set("transactional.id", name).set("transaction.timeout.ms", "15000");
        }
        let producer: BaseProducer = config.create()?;
        if transactional {
            producer.init_transactions(PATIENCE)?;
        }
        let mut pipe = Self {
            from: from.to_owned(),
            to: to.to_owned(),
            consumer,
            producer,
            transactional,
            positions: BTreeMap::new(),
            open: 0,
        };
        pipe.assign()?;
        Ok(pipe)
    }

    /// All partitions, from what the group has committed, else from the beginning.
    fn assign(&mut self) -> Result<()> {
        let metadata = self.consumer.fetch_metadata(Some(&self.from), PATIENCE)?;
        let mut wanted = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            wanted.add_partition(&self.from, partition.id());
        }
        let committed = self.consumer.committed_offsets(wanted, PATIENCE)?;
        let mut assignment = TopicPartitionList::new();
        for split in committed.elements() {
            split.error()?;
            let start = if let Offset::Offset(_) = split.offset() { split.offset() } else { Offset::Beginning };
            assignment.add_partition_offset(&self.from, split.partition(), start)?;
        }
        self.open = assignment.count();
        ensure!(self.open > 0, "there is no topic {}", self.from);
        Ok(self.consumer.assign(&assignment)?)
    }

    fn run(&mut self, interval: Duration, bounded: bool) -> Result<()> {
        let mut queue = Queue::of(&self.consumer)?;
        let mut begun: Option<Instant> = None;
        loop {
            queue.take(Duration::from_millis(5));
            for message in queue.messages() {
                if message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF {
                    self.open = self.open.saturating_sub(1);
                    continue;
                }
                ensure!(message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, "{:?}", message.err);
                if begun.is_none() {
                    begun = Some(Instant::now());
                    if self.transactional {
                        self.producer.begin_transaction()?;
                    }
                }
                self.copy(message)?;
                self.positions.insert(message.partition, message.offset + 1);
            }
            queue.release();
            let over = bounded && self.open == 0;
            if begun.is_some_and(|begun| over || begun.elapsed() >= interval) {
                self.commit()?;
                begun = None;
            }
            if over {
                return Ok(());
            }
        }
    }

    fn copy(&self, message: &sys::rd_kafka_message_t) -> Result<()> {
        let (key, value) = (bytes(message.key, message.key_len), bytes(message.payload, message.len));
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.to);
        record.key = key;
        record.payload = value;
        while let Err((error, back)) = self.producer.send(record) {
            let full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            ensure!(full, "failed to write: {error}");
            self.producer.poll(Duration::ZERO);
            std::thread::sleep(Duration::from_micros(200));
            record = back;
        }
        Ok(())
    }

    fn commit(&self) -> Result<()> {
        // rdkafka's own waits spin to their deadline.
        loop {
            self.producer.poll(Duration::ZERO);
            if self.producer.in_flight_count() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, position) in &self.positions {
            offsets.add_partition_offset(&self.from, *partition, Offset::Offset(*position))?;
        }
        if self.transactional {
            let group = self.consumer.group_metadata().context("the consumer has a group")?;
            self.producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
            self.producer.commit_transaction(PATIENCE)?;
        } else {
            self.consumer.commit(&offsets, CommitMode::Sync)?;
        }
        Ok(())
    }
}

/// The bytes of a field that librdkafka owns; null is `None`.
fn bytes<'a>(start: *mut std::ffi::c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: librdkafka gives null or `len` bytes that live until the message is destroyed, which is after the copy.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
}

/// The consumer's queue, and the messages last taken from it.
struct Queue {
    queue: *mut sys::rd_kafka_queue_t,
    taken: Vec<*mut sys::rd_kafka_message_t>,
}

impl Queue {
    fn of(consumer: &BaseConsumer) -> Result<Self> {
        // SAFETY: the client is alive, and outlives the queue.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        ensure!(!queue.is_null(), "the consumer has no queue");
        Ok(Self { queue, taken: Vec::with_capacity(BATCH) })
    }

    fn take(&mut self, wait: Duration) {
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: there is room for BATCH pointers; librdkafka writes that many at most and returns how many.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(self.queue, wait, self.taken.as_mut_ptr(), BATCH);
            self.taken.set_len(usize::try_from(taken).unwrap_or(0).min(BATCH));
        }
    }

    fn messages(&self) -> impl Iterator<Item = &sys::rd_kafka_message_t> {
        // SAFETY: the messages are ours until `release`.
        self.taken.iter().map(|message| unsafe { &**message })
    }

    fn release(&mut self) {
        for message in self.taken.drain(..) {
            // SAFETY: each is destroyed once.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.release();
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) };
    }
}
