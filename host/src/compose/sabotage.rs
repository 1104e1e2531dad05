//! Rules of exactly-once that a test breaks from outside: what it wraps behaves as if the engine had forgotten the rule.
//! Only in `host-crash-points`.
#![warn(
    clippy::missing_trait_methods,
    reason = "a port's default in the place of what is wrapped would break a second rule"
)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_connector::JobFacts;
use weir_core::crash::{Sabotage, sabotaged};
use weir_core::ports::{
    Bytes, Commit, Committed, Committer, Delta, EpochLog, MarkerRead, Outputs, Poll, RecordCheck, Sink, SinkConnector,
    SourceConnector, SourceReader, SplitProgress, Verified,
};
use weir_core::{Batch, Epoch, PortError, Reading, RecordId, SplitId, SplitState};
use weir_kafka::Turn;
use weir_kafka::connector::Cluster as KafkaCluster;
use weir_pipeline::plan::Plan;

/// `source`, or one whose readers confirm whatever they are asked.
pub(super) fn source(source: Arc<dyn SourceConnector>) -> Arc<dyn SourceConnector> {
    if sabotaged(Sabotage::UnverifiedSource) { Arc::new(Unverified(source)) } else { source }
}

/// `sink`, or one that fences late, takes every commit for one that holds, or keeps batches.
pub(super) fn sink(sink: Arc<dyn SinkConnector>) -> Arc<dyn SinkConnector> {
    if sabotaged(Sabotage::MarkerBeforeFence) {
        Arc::new(FencedLate(sink))
    } else if sabotaged(Sabotage::UnknownIsSuccess) {
        Arc::new(Hopeful(sink))
    } else if sabotaged(Sabotage::KeepBatches) {
        Arc::new(Keeping { inner: sink, kept: Arc::default() })
    } else {
        sink
    }
}

/// What the cluster of `plan` opens, `usual`; or sinks of Kafka that never change their transactional id.
pub(super) fn cluster(
    plan: &Plan,
    job: &JobFacts,
    usual: Option<Arc<dyn SinkConnector>>,
) -> Result<Option<Arc<dyn SinkConnector>>, PortError> {
    let kafka = plan.cluster.as_ref().and_then(|cluster| cluster.of::<KafkaCluster>());
    let Some(kafka) = kafka.filter(|_| sabotaged(Sabotage::NoRotation)) else { return Ok(usual) };
    Ok(Some(Arc::new(kafka.kafka_sinks(job)?.rotating(|_, _| Turn::Same))))
}

/// `log`, or one whose records are not synced.
pub(super) fn log(log: Box<dyn EpochLog>) -> Box<dyn EpochLog> {
    if sabotaged(Sabotage::NoDurableLog) { Box::new(Unsynced(log)) } else { log }
}

struct Unverified(Arc<dyn SourceConnector>);

impl SourceConnector for Unverified {
    fn discover(&self) -> Result<Vec<SplitState>, PortError> {
        self.0.discover()
    }
    fn resolve(&self) -> Result<Vec<SplitState>, PortError> {
        self.0.resolve()
    }
    fn start(&self) -> String {
        self.0.start()
    }
    fn resume(&self, splits: Vec<SplitState>) -> Result<Vec<SplitState>, PortError> {
        self.0.resume(splits)
    }
    fn recognise(&self, split: &SplitId) -> Option<SplitId> {
        self.0.recognise(split)
    }
    fn open(&self, splits: Vec<SplitState>) -> Result<Box<dyn SourceReader>, PortError> {
        Ok(Box::new(UnverifiedReader(self.0.open(splits)?)))
    }
    fn is_replayable(&self) -> bool {
        self.0.is_replayable()
    }
    fn is_bounded(&self) -> bool {
        self.0.is_bounded()
    }
    fn may_find_nothing(&self) -> bool {
        self.0.may_find_nothing()
    }
    fn left_behind(&self) -> usize {
        self.0.left_behind()
    }
}

struct UnverifiedReader(Box<dyn SourceReader>);

impl SourceReader for UnverifiedReader {
    fn poll(&mut self, wait: Duration) -> Result<Poll, PortError> {
        self.0.poll(wait)
    }
    fn snapshot(&mut self) -> Vec<SplitState> {
        self.0.snapshot()
    }
    /// Nobody is asked.
    fn verify(&mut self, done: Verified) {
        done(Ok(()));
    }
    fn progress(&self) -> Vec<SplitProgress> {
        self.0.progress()
    }
    fn readings(&mut self) -> Vec<Reading> {
        self.0.readings()
    }
    fn hold(&mut self, held: &[bool]) {
        self.0.hold(held);
    }
    fn silent_since(&self) -> Option<Instant> {
        self.0.silent_since()
    }
}

/// Fences only when it opens: by then the marker was read for good.
struct FencedLate(Arc<dyn SinkConnector>);

impl SinkConnector for FencedLate {
    fn read_marker(&self, splits: &[SplitId], read: MarkerRead) -> Result<Vec<Committed>, PortError> {
        self.0.read_marker(splits, read)
    }
    fn committed(&self) -> Result<Vec<Committed>, PortError> {
        self.0.committed()
    }
    fn fence(&self) -> Result<(), PortError> {
        Ok(())
    }
    fn stretch(&self, factor: u32) {
        self.0.stretch(factor);
    }
    fn open(&self) -> Result<Outputs, PortError> {
        self.0.fence()?;
        self.0.open()
    }
    fn marker_home(&self) -> Option<String> {
        self.0.marker_home()
    }
}

/// A commit without a known outcome counts as a success: the next epoch goes on with new clients, as if nothing had been.
struct Hopeful(Arc<dyn SinkConnector>);

impl SinkConnector for Hopeful {
    fn read_marker(&self, splits: &[SplitId], read: MarkerRead) -> Result<Vec<Committed>, PortError> {
        self.0.read_marker(splits, read)
    }
    fn committed(&self) -> Result<Vec<Committed>, PortError> {
        self.0.committed()
    }
    fn fence(&self) -> Result<(), PortError> {
        self.0.fence()
    }
    fn stretch(&self, factor: u32) {
        self.0.stretch(factor);
    }
    fn open(&self) -> Result<Outputs, PortError> {
        let Outputs { sinks, committer } = self.0.open()?;
        let renewed = Arc::new(Mutex::new(sinks));
        let sink = |number| Box::new(Renewed { number, sinks: Arc::clone(&renewed) }) as Box<dyn Sink>;
        let outside = (0..lock(&renewed).len()).map(sink).collect();
        let connector = Arc::clone(&self.0);
        Ok(Outputs { sinks: outside, committer: Box::new(Hoping { connector, committer, sinks: renewed }) })
    }
    fn marker_home(&self) -> Option<String> {
        self.0.marker_home()
    }
}

/// Sink number `number` of those that are open now.
struct Renewed {
    number: usize,
    sinks: Arc<Mutex<Vec<Box<dyn Sink>>>>,
}

impl Renewed {
    fn with<T>(&self, work: impl FnOnce(&mut dyn Sink) -> T) -> T {
        let mut sinks = lock(&self.sinks);
        work(sinks.get_mut(self.number).expect("as many are opened each time").as_mut())
    }
}

impl Sink for Renewed {
    fn write(&mut self, batch: &Batch) -> Result<(), PortError> {
        self.with(|sink| sink.write(batch))
    }
    fn record_check(&self) -> Option<RecordCheck> {
        self.with(|sink| sink.record_check())
    }
    fn flush(&mut self) -> Result<(), PortError> {
        self.with(|sink| sink.flush())
    }
}

struct Hoping {
    connector: Arc<dyn SinkConnector>,
    committer: Box<dyn Committer>,
    sinks: Arc<Mutex<Vec<Box<dyn Sink>>>>,
}

impl Committer for Hoping {
    fn commit(&mut self, commit: &Commit) -> Result<(), PortError> {
        if self.committer.commit(commit).is_err() {
            self.connector.fence()?;
            let Outputs { sinks, committer } = self.connector.open()?;
            (*lock(&self.sinks), self.committer) = (sinks, committer);
        }
        Ok(())
    }
}

/// A commit does not wait for the log.
struct Unsynced(Box<dyn EpochLog>);

impl EpochLog for Unsynced {
    fn records(&self) -> &[RecordId] {
        self.0.records()
    }
    fn manifest(&self, index: usize) -> Result<Bytes, PortError> {
        self.0.manifest(index)
    }
    fn plan(&self, index: usize) -> Result<Bytes, PortError> {
        self.0.plan(index)
    }
    fn set_plan(&mut self, plan: &Bytes) {
        self.0.set_plan(plan);
    }
    fn append(&mut self, epoch: Epoch, manifest: &[u8], deltas: &[Delta], _: bool) -> Result<(), PortError> {
        self.0.append(epoch, manifest, deltas, false)
    }
    fn cut_after(&mut self, index: usize) -> Result<(), PortError> {
        self.0.cut_after(index)
    }
    fn replace(&mut self, epoch: Epoch, manifest: &[u8]) -> Result<(), PortError> {
        self.0.replace(epoch, manifest)
    }
    fn replay(
        &self,
        applied: Option<&RecordId>,
        index: usize,
        each: &mut dyn FnMut(&RecordId, Delta) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        self.0.replay(applied, index, each)
    }
    fn trim(&mut self, durable: Epoch) -> Result<(), PortError> {
        self.0.trim(durable)
    }
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}

/// What was written and not committed, with the number of its sink.
type Kept = Arc<Mutex<Vec<(usize, Batch)>>>;

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Batches outlive their attempt: the next one writes them once more.
struct Keeping {
    inner: Arc<dyn SinkConnector>,
    kept: Kept,
}

impl SinkConnector for Keeping {
    fn read_marker(&self, splits: &[SplitId], read: MarkerRead) -> Result<Vec<Committed>, PortError> {
        self.inner.read_marker(splits, read)
    }
    fn committed(&self) -> Result<Vec<Committed>, PortError> {
        self.inner.committed()
    }
    fn fence(&self) -> Result<(), PortError> {
        self.inner.fence()
    }
    fn stretch(&self, factor: u32) {
        self.inner.stretch(factor);
    }
    fn open(&self) -> Result<Outputs, PortError> {
        let Outputs { sinks, committer } = self.inner.open()?;
        let before = std::mem::take(&mut *lock(&self.kept));
        let keep = |(number, inner): (usize, Box<dyn Sink>)| -> Box<dyn Sink> {
            let before = before.iter().filter(|(of, _)| *of == number).map(|(_, batch)| batch.clone()).collect();
            Box::new(KeepingSink { inner, number, before, kept: Arc::clone(&self.kept) })
        };
        let sinks = sinks.into_iter().enumerate().map(keep).collect();
        Ok(Outputs { sinks, committer: Box::new(Forgetting { inner: committer, kept: Arc::clone(&self.kept) }) })
    }
    fn marker_home(&self) -> Option<String> {
        self.inner.marker_home()
    }
}

struct KeepingSink {
    inner: Box<dyn Sink>,
    number: usize,
    /// Of an attempt before: written again with the first batch.
    before: Vec<Batch>,
    kept: Kept,
}

impl Sink for KeepingSink {
    fn write(&mut self, batch: &Batch) -> Result<(), PortError> {
        for again in std::mem::take(&mut self.before).iter().chain([batch]) {
            self.inner.write(again)?;
            lock(&self.kept).push((self.number, again.clone()));
        }
        Ok(())
    }
    fn record_check(&self) -> Option<RecordCheck> {
        self.inner.record_check()
    }
    fn flush(&mut self) -> Result<(), PortError> {
        self.inner.flush()
    }
}

struct Forgetting {
    inner: Box<dyn Committer>,
    kept: Kept,
}

impl Committer for Forgetting {
    fn commit(&mut self, commit: &Commit) -> Result<(), PortError> {
        self.inner.commit(commit)?;
        lock(&self.kept).clear();
        Ok(())
    }
}
