//! The concurrent reader: a read_committed consumer that reads the output while the job is tortured, as a user's would.
//! It remembers all it saw, in order, and sees at once when a key's chain breaks.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::collect::read_output;
use super::facts::Sight;
use crate::broker::Broker;
use crate::reader::{Isolation, consumer};

const POLL: Duration = Duration::from_millis(20);

/// Reads in the background.
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug)]
struct Shared {
    over: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    partitions: BTreeMap<i32, Vec<(Sight, Instant)>>,
    chains: HashMap<String, (u64, u64)>,
    count: usize,
    /// The first thing that was wrong.
    broken: Option<String>,
    last: Option<Instant>,
    longest_pause: Duration,
}

impl Watcher {
    /// Starts to read `topic` from its beginning.
    pub fn start(broker: &Broker, topic: &str, partitions: i32) -> Result<Self> {
        let consumer = consumer(broker, Isolation::Committed)?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        let shared = Arc::new(Shared { over: AtomicBool::new(false), seen: Mutex::default() });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("oracle-watcher".into()).spawn(move || read(&consumer, &own))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// When the first record at or beyond `floors` was read, if it was.
    pub fn reached(&self, floors: &BTreeMap<i32, i64>) -> Option<Instant> {
        let seen = self.shared.lock();
        let first = |(partition, sights): (&i32, &Vec<(Sight, Instant)>)| {
            let floor = floors.get(partition).copied().unwrap_or(0);
            let at = sights.partition_point(|(sight, _)| sight.offset < floor);
            sights.get(at).map(|(_, moment)| *moment)
        };
        seen.partitions.iter().filter_map(first).min()
    }

    /// Fails as soon as what was read is not exact.
    pub fn expect_unbroken(&self) -> Result<()> {
        ensure!(self.thread.as_ref().is_some_and(|thread| !thread.is_finished()), "the concurrent reader has ended");
        match &self.shared.lock().broken {
            Some(broken) => Err(anyhow!("the concurrent reader saw {broken}")),
            None => Ok(()),
        }
    }

    /// How many records it has read.
    pub fn count(&self) -> usize {
        self.shared.lock().count
    }

    /// Stops, and gives all it saw and the longest time in which nothing came.
    pub fn stop(mut self) -> Result<(BTreeMap<i32, Vec<Sight>>, Duration)> {
        self.shared.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the concurrent reader was stopped already")?;
        thread.join().ok().context("the concurrent reader panicked")??;
        let seen = std::mem::take(&mut *self.shared.lock());
        let sights = |(partition, sights): (i32, Vec<(Sight, Instant)>)| {
            (partition, sights.into_iter().map(|(sight, _)| sight).collect())
        };
        Ok((seen.partitions.into_iter().map(sights).collect(), seen.longest_pause))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(consumer: &BaseConsumer, shared: &Shared) -> Result<()> {
    while !shared.over.load(Ordering::Relaxed) {
        let message = match consumer.poll(POLL) {
            Some(Ok(message)) => message,
            Some(Err(error)) if passes(&error) => continue,
            None => continue,
            Some(Err(error)) => return Err(error).context("the concurrent reader cannot read"),
        };
        let (key, payload) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        shared.lock().take(message.partition(), message.offset(), key, payload);
    }
    Ok(())
}

/// Ends of partitions, and a broker that was stopped or killed on purpose: the client comes back by itself.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    let code = error.rdkafka_error_code();
    matches!(error, KafkaError::PartitionEOF(_))
        || matches!(code, Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut))
}

impl Seen {
    fn take(&mut self, partition: i32, offset: i64, key: &[u8], payload: &[u8]) {
        let now = Instant::now();
        self.longest_pause = self.longest_pause.max(self.last.map_or(Duration::ZERO, |last| now - last));
        self.last = Some(now);
        self.count += 1;
        let print = super::facts::fingerprint(key, payload);
        self.partitions.entry(partition).or_default().push((Sight { offset, print }, now));
        if let Err(error) = self.link(key, payload) {
            let place = format!("at partition {partition}, offset {offset}");
            self.broken.get_or_insert_with(|| format!("{error:#}, {place}"));
        }
    }

    /// The record must be the next link of its key's chain.
    fn link(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        let record = read_output(key, payload)?;
        let (n, hash) = self.chains.get(&record.key).copied().unwrap_or_default();
        let next = (record.n, record.hash);
        let key = record.key.clone();
        self.chains.insert(record.key, next);
        ensure!(record.n == n + 1, "record {} of {key:?} (sequence {}) after record {n}", record.n, record.sequence);
        ensure!(record.prev == hash, "record {} of {key:?} with another chain than record {n}", record.n);
        Ok(())
    }
}
