//! A broker, a state store and an epoch log in memory, each as strict as the real one.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use weir_core::frame::NULL;
use weir_core::ports::*;
use weir_core::*;

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

/// One of its sources.
struct Source {
    world: Arc<World>,
    topic: String,
}

impl Source {
    fn splits(&self) -> Vec<SplitState> {
        let position = self.world.lock().begin;
        let end = Some(self.world.limit_of(&self.topic));
        let split = |partition| SplitId::new(self.topic.as_str(), partition);
        let state = |p| SplitState { split: split(p), position, end, identity: Some("id".into()), term: None };
        let is_hidden =
            self.world.lock().hidden.as_ref().is_some_and(|(topic, looks)| *topic == self.topic && *looks > 0);
        let partitions = if is_hidden { 0 } else { self.world.partitions };
        (0..partitions).map(state).collect()
    }
}

impl SourceConnector for Source {
    fn discover(&self) -> Result<Vec<SplitState>, PortError> {
        self.world.pass(Hang::Discover);
        let mut splits = self.splits();
        // No bound is resolved by a look.
        splits.iter_mut().for_each(|split| split.end = None);
        if let Some((topic, looks)) = &mut self.world.lock().hidden {
            *looks -= u32::from(*topic == self.topic && *looks > 0);
        }
        Ok(splits)
    }
    fn resolve(&self) -> Result<Vec<SplitState>, PortError> {
        Ok(self.splits())
    }
    fn start(&self) -> String {
        format!("from {}", self.world.lock().begin)
    }
    fn resume(&self, mut splits: Vec<SplitState>) -> Result<Vec<SplitState>, PortError> {
        if splits.is_empty() {
            // What appeared meanwhile is read from its beginning.
            splits = self.splits().into_iter().map(|split| SplitState { position: 0, ..split }).collect();
        }
        splits.iter_mut().for_each(|s| s.end = Some(self.world.limit_of(&self.topic)));
        Ok(splits)
    }
    fn recognise(&self, split: &SplitId) -> Option<SplitId> {
        (*split.stream == *self.topic).then(|| split.clone())
    }
    fn open(&self, splits: Vec<SplitState>) -> Result<Box<dyn SourceReader>, PortError> {
        self.world.pass(Hang::OpenSource);
        // Opening verifies where the splits stand.
        self.world.verify(&splits);
        let (verified, alive) = (Arc::clone(&self.world.verified), Arc::default());
        let world = Arc::clone(&self.world);
        Ok(Box::new(Reader { splits, keys: self.world.keys, next: 0, world, verified, alive }))
    }
    fn is_replayable(&self) -> bool {
        true
    }
    fn may_find_nothing(&self) -> bool {
        self.world.lock().hidden.as_ref().is_some_and(|(topic, _)| *topic == self.topic)
    }
    fn is_bounded(&self) -> bool {
        self.world.lock().endless.as_ref() != Some(&self.topic)
    }
}

struct Reader {
    splits: Vec<SplitState>,
    keys: i64,
    next: usize,
    world: Arc<World>,
    verified: Verifications,
    /// Nobody else keeps it alive.
    alive: Arc<()>,
}

impl SourceReader for Reader {
    fn poll(&mut self, _: Duration) -> Result<Poll, PortError> {
        // Slow enough for a few epochs.
        std::thread::sleep(Duration::from_micros(300));
        let paused = self.world.lock().paused.clone();
        let mut is_paused = false;
        for _ in 0..self.splits.len() {
            self.next = (self.next + 1) % self.splits.len();
            let split = &mut self.splits[self.next];
            if split.is_finished() {
                continue;
            }
            let pause =
                paused.as_ref().filter(|(topic, _)| *split.split.stream == **topic).map_or(i64::MAX, |(_, at)| *at);
            if split.position >= pause {
                is_paused = true;
                continue;
            }
            let mut writer = FrameWriter::new(Vec::new());
            let mut origins = Vec::new();
            for offset in split.position..(split.position + 37).min(split.end.unwrap()).min(pause) {
                let key = format!("k{}", offset % self.keys);
                let key = Some(key.as_bytes());
                let source = writer.len() as u32;
                writer.push(RecordView { timestamp_ms: offset, source, key, value: Some(b"v"), headers: &[] });
                origins.push(Origin::new(self.next as u32, offset));
            }
            split.position += origins.len() as i64;
            return Ok(Poll::Batch(Batch { frame: writer.finish(), origins }));
        }
        Ok(if is_paused { Poll::Pending } else { Poll::Finished })
    }
    fn snapshot(&mut self) -> Vec<SplitState> {
        self.splits.clone()
    }
    /// From another thread, later, and not at all once the reader is gone.
    fn verify(&mut self, done: Verified) {
        let (splits, verified) = (self.splits.clone(), Arc::clone(&self.verified));
        let alive = Arc::downgrade(&self.alive);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(8));
            if alive.upgrade().is_some() {
                verified.lock().unwrap().extend(splits.into_iter().map(|s| (s.split, s.position)));
                done(Ok(()));
            }
        });
    }
    fn progress(&self) -> Vec<SplitProgress> {
        Vec::new()
    }
    fn readings(&mut self) -> Vec<Reading> {
        Vec::new()
    }
}

/// The sink side: what it opens shares the world.
pub(crate) struct SinkSide {
    pub(crate) world: Arc<World>,
    /// How many sinks.
    pub(crate) sinks: usize,
}

impl SinkSide {
    fn read(&self, splits: &[SplitId]) -> Result<Vec<Committed>, PortError> {
        let broker = self.world.lock();
        let found = splits.iter().filter_map(|split| {
            let (position, metadata) = broker.committed.get(split)?;
            Some(Committed { split: split.clone(), position: *position, metadata: metadata.clone().into_bytes() })
        });
        Ok(found.collect())
    }
}

impl SinkConnector for SinkSide {
    fn read_marker(&self, splits: &[SplitId], _: MarkerRead) -> Result<Vec<Committed>, PortError> {
        self.world.pass(Hang::Marker);
        self.read(splits)
    }
    fn committed(&self) -> Result<Vec<Committed>, PortError> {
        self.world.pass(Hang::Marker);
        let splits: Vec<_> = self.world.lock().committed.keys().cloned().collect();
        self.read(&splits)
    }
    fn fence(&self) -> Result<(), PortError> {
        self.world.pass(Hang::Fence);
        self.world.lock().generation += 1;
        Ok(())
    }
    fn open(&self) -> Result<Outputs, PortError> {
        self.world.pass(Hang::OpenSinks);
        let open = Arc::new(Mutex::new(Vec::new()));
        let generation = self.world.lock().generation;
        let sink = |index| {
            let (world, open) = (Arc::clone(&self.world), Arc::clone(&open));
            Box::new(MemorySink { index, world, open }) as Box<dyn Sink>
        };
        let sinks = (0..self.sinks).map(sink).collect();
        let committer = MemoryCommitter { world: Arc::clone(&self.world), open, generation };
        Ok(Outputs { sinks, committer: Box::new(committer) })
    }
    fn marker_home(&self) -> Option<String> {
        Some("memory".to_owned())
    }
}

type OpenTransaction = Arc<Mutex<Vec<Written>>>;

struct MemorySink {
    index: usize,
    world: Arc<World>,
    open: OpenTransaction,
}

impl Sink for MemorySink {
    fn write(&mut self, batch: &Batch) -> Result<(), PortError> {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        let records =
            batch.frame.records().map(|r| (self.index, text(r.key), text(r.value).parse().unwrap_or_default()));
        self.open.lock().unwrap().extend(records);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), PortError> {
        let mut broker = self.world.lock();
        let now = broker.commits;
        match broker.failures.iter().position(|f| *f == (now, Failure::Write)) {
            Some(at) => {
                broker.failures.remove(at);
                broker.commits += 1;
                // Slow enough for a log record that did not wait for the acknowledgements.
                drop(broker);
                std::thread::sleep(Duration::from_millis(50));
                Err(PortError::new(Fault::Transient, "a message timed out"))
            }
            None => {
                if broker.is_plain {
                    broker.output.append(&mut self.open.lock().unwrap());
                }
                Ok(())
            }
        }
    }
}

struct MemoryCommitter {
    world: Arc<World>,
    open: OpenTransaction,
    generation: u64,
}

impl MemoryCommitter {
    fn happen(&self, broker: &mut Broker, commit: &Commit) {
        assert_eq!(broker.generation, self.generation, "a fenced producer commits nothing");
        broker.output.append(&mut self.open.lock().unwrap());
        for (split, position) in &commit.positions {
            let verified = self.world.verified.lock().unwrap().get(split).copied();
            let is_read = split.stream.starts_with("in");
            assert!(
                !is_read || verified.is_some_and(|verified| *position <= verified),
                "{split} at {position}: {verified:?}"
            );
            broker.committed.insert(split.clone(), (*position, commit.marker.clone()));
        }
    }
}

impl Committer for MemoryCommitter {
    fn commit(&mut self, commit: &Commit) -> Result<(), PortError> {
        let mut broker = self.world.lock();
        let now = broker.commits;
        broker.commits += 1;
        let due = |f: &(u64, Failure)| f.0 == now;
        let failure = broker.failures.iter().position(due).map(|at| broker.failures.remove(at).1);
        if let Some((begin, limit)) = broker.turn.take_if(|_| failure.is_some()) {
            (broker.begin, broker.limit) = (begin, limit);
        }
        let transient = |text: &str| Err(PortError::new(Fault::Transient, text));
        match failure {
            None => {
                self.happen(&mut broker, commit);
                Ok(())
            }
            Some(Failure::Slow) => {
                std::thread::sleep(Duration::from_millis(100));
                self.happen(&mut broker, commit);
                Ok(())
            }
            // A flush failure that was named for an attempt's first, empty epoch shows here.
            Some(Failure::BeforeCommit | Failure::Write) => transient("the commit timed out"),
            Some(Failure::AfterCommit) => {
                self.happen(&mut broker, commit);
                transient("the answer was lost")
            }
            Some(Failure::Denied) => Err(PortError::new(Fault::Denied, "not authorized")),
            Some(Failure::User) => Err(PortError::new(Fault::User, "a bad record")),
            Some(Failure::Fenced) => Err(PortError::new(Fault::Fenced, "fenced")),
            Some(Failure::Hang) => {
                drop(broker);
                for_ever();
                transient("never")
            }
            Some(Failure::Rival) => {
                let marker = commit.marker.replacen("weir;1;sim;0;", "weir;1;sim;0;9", 1);
                let mut fields: Vec<&str> = marker.split(';').collect();
                fields[5] = "somebody-else";
                let marker = fields.join(";");
                broker.committed.values_mut().for_each(|c| c.1.clone_from(&marker));
                Err(PortError::new(Fault::Fenced, "fenced"))
            }
        }
    }
}

/// Counts per key, natively.
pub(crate) struct CountFactory(PluginDescription, Digest, pub(crate) bool);

impl CountFactory {
    pub(crate) fn new() -> Self {
        let text = r#"{"name":"count","version":"1","tables":[{"name":"count","kind":"value"}]}"#;
        Self(serde_json::from_str(text).unwrap(), Digest("0".repeat(64)), true)
    }
}

impl OperatorFactory for CountFactory {
    fn description(&self) -> &PluginDescription {
        &self.0
    }
    fn digest(&self) -> &Digest {
        &self.1
    }
    fn instantiate(&self, _: &str, _: &str) -> Result<Box<dyn Operator>, PortError> {
        let refused = || PortError::new(Fault::Config, "the configuration is wrong");
        self.2.then(|| Box::new(Count) as Box<dyn Operator>).ok_or_else(refused)
    }
}

struct Count;

impl Operator for Count {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let mut counts = Vec::new();
        let mut rest = call.values;
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let len = u32::from_le_bytes(*len);
            let (value, after) = if len == NULL { (&[][..], after) } else { after.split_at(len as usize) };
            counts.push(value.try_into().map(u64::from_le_bytes).unwrap_or(0));
            rest = after;
        }
        let mut writer = FrameWriter::new(Vec::new());
        for (record, slot) in call.frame.records().zip(call.slots) {
            let count = &mut counts[*slot as usize];
            *count += 1;
            writer.push(RecordView { value: Some(count.to_string().as_bytes()), ..record });
        }
        for (slot, count) in counts.iter().enumerate() {
            effects.updates.push(1);
            for word in [0, slot as u32, 8] {
                effects.updates.extend_from_slice(&word.to_le_bytes());
            }
            effects.updates.extend_from_slice(&count.to_le_bytes());
        }
        effects.outputs.push((0, writer.finish()));
        Ok(())
    }
}

/// What is committed, as a disk has it.
#[derive(Default)]
struct Stored {
    values: HashMap<Vec<u8>, Vec<u8>>,
    applied: Option<RecordId>,
    /// Handed over and not applied, where it is lazy.
    waiting: Vec<(RecordId, Vec<Delta>)>,
}

impl Stored {
    fn apply_all(&mut self) {
        for (record, deltas) in std::mem::take(&mut self.waiting) {
            self.applied = Some(record);
            for delta in deltas {
                let mut rest = &delta.payload[..];
                while let Some((len, after)) = rest.split_first_chunk::<4>() {
                    let (key, after) = after.split_at(u32::from_le_bytes(*len) as usize);
                    let (len, after) = after.split_first_chunk::<4>().unwrap();
                    let (value, after) = after.split_at(u32::from_le_bytes(*len) as usize);
                    self.values.insert(key.to_vec(), value.to_vec());
                    rest = after;
                }
            }
        }
    }
}

/// What tests set, and see, of a store.
#[derive(Default)]
pub(crate) struct Settings {
    /// True while its disk hangs: it has no room, and nothing comes back.
    pub(crate) is_stuck: AtomicBool,
    /// A flush hangs, nothing else does.
    pub(crate) flush_hangs: AtomicBool,
    /// Nothing is applied until somebody asks for it.
    pub(crate) is_lazy: AtomicBool,
    /// What a task may hold that is not applied; 0 for any amount.
    pub(crate) budget: AtomicU64,
    /// The most that a task held.
    pub(crate) peak: AtomicU64,
}

/// The committed state; `open` gives tasks an overlay over it.
#[derive(Default)]
pub(crate) struct MemoryState {
    stored: Arc<Mutex<Stored>>,
    pub(crate) settings: Arc<Settings>,
}

impl MemoryState {
    fn is_stuck(&self) -> bool {
        self.settings.is_stuck.load(Ordering::Relaxed)
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap()
    }
}

impl StateStore for MemoryState {
    fn open(&self, operator: OperatorId, _: (u32, u32)) -> Box<dyn KeyedState> {
        let (slots, active, sealed, joined) = Default::default();
        let (stored, settings) = (Arc::clone(&self.stored), Arc::clone(&self.settings));
        Box::new(MemoryKeyed { operator, stored, settings, slots, active, sealed, joined })
    }
    fn apply(&self, record: &RecordId, deltas: Vec<Delta>) -> Result<(), PortError> {
        let mut stored = self.stored();
        let before = stored.waiting.last().map(|(record, _)| record).or(stored.applied.as_ref());
        assert!(before.is_none_or(|before| before.epoch < record.epoch), "applied only grows, then came {record}");
        stored.waiting.push((record.clone(), deltas));
        if !self.settings.is_lazy.load(Ordering::Relaxed) {
            stored.apply_all();
        }
        Ok(())
    }
    fn applied(&self) -> Option<RecordId> {
        self.stored().applied.clone()
    }
    fn has_room(&self) -> bool {
        !self.is_stuck()
    }
    fn durable(&self) -> Epoch {
        self.applied().map_or(Epoch(0), |record| record.epoch)
    }
    fn join(&self) -> Result<(), PortError> {
        if self.is_stuck() {
            for_ever();
        }
        self.stored().apply_all();
        Ok(())
    }
    fn flush(&self) -> Result<(), PortError> {
        if self.settings.flush_hangs.load(Ordering::Relaxed) {
            for_ever();
        }
        self.stored().apply_all();
        Ok(())
    }
    fn hurry(&self) {
        self.stored().apply_all();
    }
    fn bytes(&self, _: OperatorId) -> StateBytes {
        StateBytes { disk: 1000, memory: 0 }
    }
}

type Overlay = HashMap<Vec<u8>, Vec<u8>>;

/// Overlays over what is stored. It counts what cannot leave memory, and lets go of what can.
struct MemoryKeyed {
    operator: OperatorId,
    stored: Arc<Mutex<Stored>>,
    settings: Arc<Settings>,
    /// The keys of the call.
    slots: Vec<Vec<u8>>,
    active: Overlay,
    sealed: Option<(Epoch, Overlay)>,
    /// Committed, and not applied when last looked at; oldest first.
    joined: Vec<(Epoch, Overlay)>,
}

impl MemoryKeyed {
    fn full(&self, table: TableId, key: &[u8]) -> Vec<u8> {
        [&self.operator.0.to_be_bytes()[..], &table.0.to_be_bytes(), key].concat()
    }

    /// Bytes that cannot leave memory.
    fn pinned(&mut self) -> u64 {
        let applied = self.stored.lock().unwrap().applied.as_ref().map_or(Epoch(0), |record| record.epoch);
        self.joined.retain(|(epoch, _)| *epoch > applied);
        let sealed = self.sealed.iter().map(|(_, overlay)| overlay);
        let overlays = self.joined.iter().map(|(_, overlay)| overlay).chain(sealed).chain([&self.active]);
        overlays.flatten().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}

impl KeyedState for MemoryKeyed {
    fn set_time(&mut self, _: Now, _: &[Table]) {}
    fn enter(&mut self, keys: &[KeyRef<'_>]) {
        self.slots = keys.iter().map(|key| key.bytes.to_vec()).collect();
    }
    fn prefetch(&mut self, tables: &[Table], slots: Range<u32>, out: &mut Vec<u8>) -> Result<(), PortError> {
        for slot in slots {
            for table in tables {
                let full = self.full(table.id, &self.slots[slot as usize]);
                let sealed = self.sealed.as_ref().and_then(|(_, s)| s.get(&full));
                let joined = self.joined.iter().rev().find_map(|(_, overlay)| overlay.get(&full));
                let stored = || self.stored.lock().unwrap().values.get(&full).cloned();
                let value = self.active.get(&full).or(sealed).or(joined).cloned().or_else(stored);
                out.extend_from_slice(&value.as_ref().map_or(NULL, |v| v.len() as u32).to_le_bytes());
                out.extend_from_slice(&value.unwrap_or_default());
            }
        }
        Ok(())
    }
    fn get_many(&mut self, _: Table, _: &[(u32, &[u8])], _: &mut Vec<u8>) -> Result<(), PortError> {
        unreachable!("the counter has no maps")
    }
    fn scan(&mut self, _: Table, _: u32, _: &[u8], _: u32, _: &mut Vec<u8>) -> Result<bool, PortError> {
        unreachable!("the counter has no lists")
    }
    fn timers(&mut self, _: Table, _: Range<u16>, _: &[u8], _: usize, _: &mut Vec<Vec<u8>>) -> Result<(), PortError> {
        Ok(())
    }
    fn change(&mut self, slot: u32, table: Table, change: Change<'_>) -> Result<(), PortError> {
        let full = self.full(table.id, &self.slots[slot as usize]);
        let Change::Set(value) = change else { panic!("the counter clears nothing") };
        self.active.insert(full, value.to_vec());
        if self.settings.budget.load(Ordering::Relaxed) > 0 {
            let pinned = self.pinned();
            self.settings.peak.fetch_max(pinned, Ordering::Relaxed);
        }
        Ok(())
    }
    fn seal(&mut self, epoch: Epoch) -> Delta {
        assert!(self.sealed.is_none(), "one sealed epoch at most");
        let active = std::mem::take(&mut self.active);
        let mut payload = Vec::new();
        for (key, value) in &active {
            for bytes in [key, value] {
                payload.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                payload.extend_from_slice(bytes);
            }
        }
        let entries = active.len() as u64;
        self.sealed = Some((epoch, active));
        Delta { entries, payload: payload.into() }
    }
    fn commit(&mut self, epoch: Epoch) {
        let (sealed, values) = self.sealed.take().expect("a sealed epoch");
        assert_eq!(sealed, epoch);
        self.joined.push((sealed, values));
    }
    fn bytes(&self) -> u64 {
        (self.active.len() * 100) as u64
    }
    fn is_full(&mut self) -> bool {
        let budget = self.settings.budget.load(Ordering::Relaxed);
        budget > 0 && self.pinned() >= budget
    }
}

struct Record {
    id: RecordId,
    plan: Bytes,
    manifest: Bytes,
    deltas: Vec<Delta>,
}

/// A log that survives its process: clones share it.
#[derive(Clone, Default)]
pub(crate) struct MemoryLog {
    shared: Arc<Mutex<Vec<Record>>>,
    seen: Vec<RecordId>,
    plan: Bytes,
    /// Whose disk it is on.
    world: Option<Arc<World>>,
}

impl MemoryLog {
    /// On the disk of `world`.
    pub(crate) fn on(world: &Arc<World>) -> Self {
        Self { world: Some(Arc::clone(world)), ..Self::default() }
    }

    /// As the next process reads it.
    pub(crate) fn reopened(mut self) -> Self {
        self.look();
        self
    }

    fn look(&mut self) {
        self.seen = self.shared.lock().unwrap().iter().map(|record| record.id.clone()).collect();
    }
}

impl EpochLog for MemoryLog {
    fn records(&self) -> &[RecordId] {
        &self.seen
    }
    fn manifest(&self, index: usize) -> Result<Bytes, PortError> {
        Ok(self.shared.lock().unwrap()[index].manifest.clone())
    }
    fn plan(&self, index: usize) -> Result<Bytes, PortError> {
        Ok(self.shared.lock().unwrap()[index].plan.clone())
    }
    fn set_plan(&mut self, plan: &Bytes) {
        self.plan = plan.clone();
    }
    fn append(&mut self, epoch: Epoch, manifest: &[u8], deltas: &[Delta], _: bool) -> Result<(), PortError> {
        if let Some(world) = &self.world {
            world.pass(Hang::Log);
        }
        let (plan, manifest) = (self.plan.clone(), Bytes::copy_from_slice(manifest));
        let mut reader = weir_checkpoint::manifest::Reader::default();
        let read = reader.read(&manifest, || Ok::<_, weir_checkpoint::manifest::Error>(plan.clone()));
        let (_, digest) = read.expect("a manifest and its plan");
        let (id, deltas) = (RecordId { epoch, digest }, deltas.to_vec());
        self.shared.lock().unwrap().push(Record { id, plan, manifest, deltas });
        self.look();
        Ok(())
    }
    fn cut_after(&mut self, index: usize) -> Result<(), PortError> {
        self.shared.lock().unwrap().truncate(index + 1);
        self.look();
        Ok(())
    }
    fn replace(&mut self, epoch: Epoch, manifest: &[u8]) -> Result<(), PortError> {
        self.shared.lock().unwrap().clear();
        self.append(epoch, manifest, &[], true)
    }
    fn replay(
        &self,
        applied: Option<&RecordId>,
        index: usize,
        each: &mut dyn FnMut(&RecordId, Delta) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        let records = self.shared.lock().unwrap();
        let find = |applied: &RecordId| records.iter().position(|record| record.id == *applied);
        let done = applied.map_or(0, |applied| find(applied).expect("the store holds a record of its log") + 1);
        for Record { id, deltas, .. } in records.iter().take(index + 1).skip(done) {
            let payload: Vec<u8> = deltas.iter().flat_map(|d| d.payload.to_vec()).collect();
            each(id, Delta { entries: 0, payload: payload.into() })?;
        }
        Ok(())
    }
    fn trim(&mut self, durable: Epoch) -> Result<(), PortError> {
        let mut records = self.shared.lock().unwrap();
        let keep = records.iter().position(|record| record.id.epoch >= durable).unwrap_or(records.len());
        let keep = keep.min(records.len().saturating_sub(1));
        records.drain(..keep);
        drop(records);
        self.look();
        Ok(())
    }
    fn bytes(&self) -> u64 {
        0
    }
}
