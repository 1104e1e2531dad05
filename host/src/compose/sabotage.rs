//! Rules of exactly-once that a test breaks from outside: what it wraps behaves as if the engine had forgotten the rule.
//! Only in `host-crash-points`. Rules within a transaction or a file (`unknown-is-success`, `no-rotation`,
//! `no-durable-log`) have no port between them and what they bind: those are broken where they stand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_core::crash::{Sabotage, sabotaged};
use weir_core::ports::{
    Commit, Committed, Committer, MarkerRead, Outputs, Poll, RecordCheck, Sink, SinkConnector, SourceConnector,
    SourceReader, SplitProgress, Verified,
};
use weir_core::{Batch, PortError, Reading, SplitId, SplitState};

/// `source`, or one whose readers confirm whatever they are asked.
pub(super) fn source(source: Arc<dyn SourceConnector>) -> Arc<dyn SourceConnector> {
    if sabotaged(Sabotage::UnverifiedSource) { Arc::new(Unverified(source)) } else { source }
}

/// `sink`, or one that fences late, or keeps batches.
pub(super) fn sink(sink: Arc<dyn SinkConnector>) -> Arc<dyn SinkConnector> {
    if sabotaged(Sabotage::MarkerBeforeFence) {
        Arc::new(FencedLate(sink))
    } else if sabotaged(Sabotage::KeepBatches) {
        Arc::new(Keeping { inner: sink, kept: Arc::default() })
    } else {
        sink
    }
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

/// What was written and not committed, with the number of its sink.
type Kept = Arc<Mutex<Vec<(usize, Batch)>>>;

fn lock(kept: &Kept) -> MutexGuard<'_, Vec<(usize, Batch)>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
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
