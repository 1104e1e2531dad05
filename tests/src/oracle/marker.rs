//! What the job's group has committed, watched all the time, and the marker beside it, read without Weir's own code:
//! `weir;1;JOB;SHARD;EPOCH;ATTEMPT;DIGEST`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::facts::{Committed, Observation};
use crate::broker::Broker;

const EVERY: Duration = Duration::from_millis(25);
const ASK_WITHIN: Duration = Duration::from_secs(10);
/// A broker that is stopped on purpose does not answer for so long at most.
const SILENT_AT_MOST: Duration = Duration::from_secs(60);

/// What a marker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The job that wrote it.
    pub job: String,
    /// The shard of the job.
    pub shard: u64,
    /// The epoch that holds.
    pub epoch: u64,
    /// The attempt that committed it.
    pub attempt: String,
    /// Digest of the manifest of that epoch.
    pub digest: String,
}

impl Marker {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self> {
        let fields: Vec<&str> = text.split(';').collect();
        let ["weir", "1", job, shard, epoch, attempt, digest] = fields[..] else { bail!("{text:?} is no marker") };
        ensure!(!attempt.is_empty() && !digest.is_empty(), "{text:?} lacks attempt or digest");
        let (job, attempt, digest) = (job.to_owned(), attempt.to_owned(), digest.to_owned());
        Ok(Self { job, shard: shard.parse()?, epoch: epoch.parse()?, attempt, digest })
    }
}

/// Watches what a group has committed, in the background.
#[derive(Debug)]
pub struct Markers {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    observations: Mutex<Vec<Observation>>,
}

impl Markers {
    /// Watches what `job` has committed for the partitions of `topics`, each of which has so many. They are numbered
    /// through, topic by topic.
    pub fn start(broker: &Broker, job: &str, topics: &[String], partitions: i32) -> Result<Self> {
        let mut config = broker.client();
        // Not read_committed, which would wait for the end of each open transaction.
        config.set("group.id", format!("weir-{job}")).set("isolation.level", "read_uncommitted");
        let consumer: BaseConsumer = config.set("enable.auto.commit", "false").create()?;
        let mut asked = TopicPartitionList::new();
        for topic in topics {
            asked.add_partition_range(topic, 0, partitions - 1);
        }
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("oracle-markers".into());
        let first_of =
            (0..).step_by(usize::try_from(partitions)?).zip(topics).map(|(first, topic)| (topic.clone(), first));
        let first_of: BTreeMap<String, i32> = first_of.collect();
        let thread = thread.spawn(move || watch(&consumer, (&asked, &first_of), &own))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What was committed when it was looked at last.
    pub fn last(&self) -> Option<Observation> {
        self.shared.lock().last().cloned()
    }

    /// Stops, and gives all that was different from what was seen before it.
    pub fn stop(mut self) -> Result<Vec<Observation>> {
        self.shared.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the watcher of markers was stopped already")?;
        thread.join().ok().context("the watcher of markers panicked")??;
        Ok(std::mem::take(&mut *self.shared.lock()))
    }
}

impl Drop for Markers {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Vec<Observation>> {
        self.observations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked for, and the number of each topic's first partition.
type Asked<'a> = (&'a TopicPartitionList, &'a BTreeMap<String, i32>);

fn watch(consumer: &BaseConsumer, asked: Asked<'_>, shared: &Shared) -> Result<()> {
    let mut answered = Instant::now();
    while !shared.over.load(Ordering::Relaxed) {
        match look(consumer, asked) {
            Ok(seen) => {
                answered = Instant::now();
                let mut observations = shared.lock();
                if !seen.is_empty() && observations.last() != Some(&seen) {
                    observations.push(seen);
                }
            }
            Err(error) if answered.elapsed() > SILENT_AT_MOST => {
                return Err(error).context("the group's offsets cannot be read");
            }
            Err(_) => {}
        }
        std::thread::sleep(EVERY);
    }
    Ok(())
}

fn look(consumer: &BaseConsumer, (asked, first_of): Asked<'_>) -> Result<Observation> {
    // Serves the client's events; nothing is assigned, so no record comes.
    drop(consumer.poll(Duration::ZERO));
    let answer = consumer.committed_offsets(asked.clone(), ASK_WITHIN)?;
    let mut seen = Observation::new();
    for element in answer.elements() {
        element.error()?;
        if let Offset::Offset(position) = element.offset() {
            let first = first_of.get(element.topic()).context("a topic that nobody asked for")?;
            seen.insert(first + element.partition(), Committed { position, metadata: element.metadata().to_owned() });
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::Marker;

    #[test]
    fn a_marker_is_read_and_nothing_else_is() {
        let marker = Marker::parse("weir;1;orders;0;42;uuid;digest").unwrap();
        assert_eq!((marker.job.as_str(), marker.shard, marker.epoch), ("orders", 0, 42));
        for other in
            ["", "weir;2;orders;0;42;uuid;digest", "weir;1;orders;0;x;uuid;digest", "weir;1;orders;0;42;;", "a"]
        {
            assert!(Marker::parse(other).is_err(), "{other:?}");
        }
    }
}
