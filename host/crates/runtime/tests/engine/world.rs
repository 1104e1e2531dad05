//! A broker, a state store and an epoch log in memory, each as strict as the real one.

/// An operator.
mod count;
/// The epoch log.
mod log;
/// What is written and committed.
mod sink;
/// What is read.
mod source;
/// The state store.
mod state;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use weir_core::ports::*;
use weir_core::*;

pub(crate) use count::CountFactory;
pub(crate) use log::MemoryLog;
pub(crate) use sink::SinkSide;
use source::Source;
pub(crate) use state::MemoryState;

/// What goes wrong at a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The commit fails and did not happen.
    BeforeCommit,
    /// The commit happened and its answer is lost.
    AfterCommit,
    /// The flush before it fails.
    Write,
    /// The producer is fenced by the broker's own time-out.
    Fenced,
    /// The call never returns.
    Hang,
    /// The commit takes its time.
    Slow,
    /// Somebody else commits first.
    Rival,
    /// The brokers refuse this user.
    Denied,
    /// The record is broken, for ever.
    User,
}

/// A call outside of epochs that never comes back, the time it is made that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hang {
    /// The source is asked what there is.
    Discover,
    /// The source is opened.
    OpenSource,
    /// The marker is read.
    Marker,
    /// Earlier attempts are fenced.
    Fence,
    /// The sinks are opened.
    OpenSinks,
    /// A record is appended to the log.
    Log,
}

/// Longer than any test: the thread is left behind.
fn for_ever() {
    std::thread::sleep(Duration::from_secs(3600));
}

#[derive(Default)]
struct Broker {
    /// Committed output.
    output: Vec<Written>,
    committed: BTreeMap<SplitId, (i64, String)>,
    generation: u64,
    commits: u64,
    failures: Vec<(u64, Failure)>,
    limit: i64,
    /// Where whoever starts first asks to begin.
    begin: i64,
    /// `begin` and `limit` from the next commit on that fails.
    turn: Option<(i64, i64)>,
    one_topic: Option<String>,
    /// A topic that is not there, for so many looks.
    hidden: Option<(String, u32)>,
    /// How far each partition of a topic can be read for now.
    paused: Option<(String, i64)>,
    /// A topic that is read for ever, as far as its source says.
    endless: Option<String>,
    /// Topics with less in each partition.
    shorter: BTreeMap<String, i64>,
    /// Without transactions output is there as soon as it is acknowledged.
    is_plain: bool,
    /// Calls that hang, and how many go well before.
    hangs: Vec<(Hang, u32)>,
}

/// Sink, key, count: 0 where the value is none.
pub(crate) type Written = (usize, String, u64);

/// How far each split was verified.
type Verifications = Arc<Mutex<BTreeMap<SplitId, i64>>>;

/// Input, output, group offsets.
pub(crate) struct World {
    broker: Mutex<Broker>,
    verified: Verifications,
    partitions: i32,
    keys: i64,
    /// For each source whether the marker stands beside its positions.
    marked: Vec<bool>,
}

impl World {
    pub(crate) fn new(partitions: i32, records: i64, keys: i64, failures: &[(u64, Failure)]) -> Self {
        Self::with_sources(&[true], (partitions, records, keys), failures)
    }

    /// With several sources, each of so many partitions and records and with the same keys. Of each the word says whether
    /// the marker stands beside its positions.
    pub(crate) fn with_sources(
        marked: &[bool],
        (partitions, records, keys): (i32, i64, i64),
        failures: &[(u64, Failure)],
    ) -> Self {
        let broker = Broker { failures: failures.to_vec(), limit: records, ..Broker::default() };
        let (broker, verified) = (Mutex::new(broker), Verifications::default());
        Self { broker, verified, partitions, keys, marked: marked.to_vec() }
    }

    /// Its sources, and whether each carries the marker.
    pub(crate) fn sources(self: &Arc<Self>) -> Vec<(Arc<dyn SourceConnector>, bool)> {
        let source = |(at, marked): (usize, &bool)| {
            let topic = self.topic(at);
            let source = Source { world: Arc::clone(self), topic };
            (Arc::new(source) as Arc<dyn SourceConnector>, *marked)
        };
        self.marked.iter().enumerate().map(source).collect()
    }

    fn topic(&self, at: usize) -> String {
        let apart = || if at == 0 { "in".to_owned() } else { format!("in-{at}") };
        self.lock().one_topic.clone().unwrap_or_else(apart)
    }

    /// These positions were verified to be what they seem.
    pub(crate) fn verify(&self, splits: &[SplitState]) {
        self.verified.lock().unwrap().extend(splits.iter().map(|s| (s.split.clone(), s.position)));
    }

    /// All its sources read one topic.
    pub(crate) fn share_topic(&self) {
        self.lock().one_topic = Some("in".to_owned());
    }

    /// Nothing is there that the source which reads `topic` would find, for so many looks.
    pub(crate) fn hide(&self, topic: &str, looks: u32) {
        self.lock().hidden = Some((topic.to_owned(), looks));
    }

    /// Nothing of `topic` comes from `offset` on, until this is called with another.
    pub(crate) fn pause(&self, topic: &str, offset: i64) {
        self.lock().paused = Some((topic.to_owned(), offset));
    }

    /// The source that reads `topic` says that it has no end.
    pub(crate) fn call_endless(&self, topic: &str) {
        self.lock().endless = Some(topic.to_owned());
    }

    /// Everything committed, in order.
    pub(crate) fn output(&self) -> Vec<Written> {
        self.lock().output.clone()
    }

    /// `call` never comes back, after it has gone well `after` times.
    pub(crate) fn hang(&self, call: Hang, after: u32) {
        self.lock().hangs.push((call, after));
    }

    /// Hangs if it is due; a call that hung once goes well from then on.
    fn pass(&self, call: Hang) {
        let mut broker = self.lock();
        let Some(at) = broker.hangs.iter().position(|(due, _)| *due == call) else { return };
        match broker.hangs[at].1.checked_sub(1) {
            Some(left) => broker.hangs[at].1 = left,
            None => {
                broker.hangs.remove(at);
                drop(broker);
                for_ever();
            }
        }
    }

    /// From now on sinks write without transactions.
    pub(crate) fn without_transactions(&self) {
        self.lock().is_plain = true;
    }

    /// Per key every count up to n, some perhaps more than once.
    pub(crate) fn assert_nothing_lost(&self) {
        let broker = self.lock();
        let mut counts: HashMap<&str, std::collections::BTreeSet<u64>> = HashMap::new();
        for (_, key, count) in &broker.output {
            counts.entry(key).or_default().insert(*count);
        }
        for (key, counts) in &counts {
            assert_eq!(counts.last().copied(), Some(counts.len() as u64), "key {key} has gaps");
        }
        let total = i64::from(self.partitions) * broker.limit;
        assert_eq!(counts.values().map(|c| c.len() as i64).sum::<i64>(), total, "every record at least once");
    }

    pub(crate) fn limit_reads(&self, records: i64) {
        self.lock().limit = records;
    }

    /// Who starts from now on asks to begin at `offset`.
    pub(crate) fn begin_at(&self, offset: i64) {
        self.lock().begin = offset;
    }

    /// The commit of this number (from 0, over all attempts) goes wrong.
    pub(crate) fn fail(&self, commit: u64, failure: Failure) {
        self.lock().failures.push((commit, failure));
    }

    /// So does the next one.
    pub(crate) fn fail_next(&self, failure: Failure) {
        let next = self.lock().commits;
        self.fail(next, failure);
    }

    /// Who starts after the next commit that fails asks to begin at `offset`, and finds so many records.
    pub(crate) fn turn(&self, offset: i64, records: i64) {
        self.lock().turn = Some((offset, records));
    }

    /// The partitions of `topic` have no more than so many records.
    pub(crate) fn shorten(&self, topic: &str, records: i64) {
        self.lock().shorter.insert(topic.to_owned(), records);
    }

    /// Whether every partition of `topic` was part of the last commit, at `position`.
    pub(crate) fn is_committed_at(&self, topic: &str, position: i64) -> bool {
        let broker = self.lock();
        let last = broker.committed.values().map(|(_, marker)| marker).max_by_key(|marker| epoch_of(marker));
        let at = |partition| broker.committed.get(&SplitId::new(topic, partition));
        (0..self.partitions).all(|p| at(p).is_some_and(|(at, marker)| *at == position && Some(marker) == last))
    }

    fn limit_of(&self, topic: &str) -> i64 {
        let broker = self.lock();
        broker.shorter.get(topic).copied().unwrap_or(i64::MAX).min(broker.limit)
    }

    fn lock(&self) -> MutexGuard<'_, Broker> {
        self.broker.lock().unwrap()
    }

    /// Per key 1..n in order, and every input reflected.
    pub(crate) fn assert_exact(&self) {
        let broker = self.lock();
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for (_, key, count) in &broker.output {
            let last = counts.entry(key).or_default();
            assert_eq!(*count, *last + 1, "key {key}");
            *last = *count;
        }
        let total = i64::from(self.partitions) * broker.limit;
        assert_eq!(counts.values().sum::<u64>(), total as u64, "every record once");
    }
}

/// A marker is `weir;1;job;shard;epoch;attempt;digest`.
fn epoch_of(marker: &str) -> u64 {
    marker.split(';').nth(4).unwrap().parse().unwrap()
}
