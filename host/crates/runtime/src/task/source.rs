//! HOT PATH. The source task: takes batches from the reader, runs the operators chained to it, and puts the barriers
//! in. It alone decides where in the stream an epoch ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use weir_core::ports::{Poll, SourceReader};
use weir_core::{Element, Epoch, crash_point};

use super::chain::{Chain, Stopped};
use crate::error::Error;
use crate::signals::{Signals, TaskEvent};

/// How long the reader may wait: the longest a barrier is late on an idle stream.
const POLL_WAIT: Duration = Duration::from_millis(5);
/// How often positions are shown between barriers.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// The source task's own things.
pub(crate) struct SourceTask {
    /// Where records come from.
    pub reader: Box<dyn SourceReader>,
    /// The operators on this thread.
    pub chain: Chain,
    /// From the coordinator.
    pub signals: Arc<Signals>,
    /// To the coordinator.
    pub events: Sender<TaskEvent>,
    /// The epoch before this attempt's first barrier.
    pub sealed: Epoch,
}

impl SourceTask {
    /// Runs until the last barrier, or until the attempt is over.
    pub(crate) fn run(mut self) {
        if let Err(Stopped::Failed(error)) = self.work() {
            // The receiver is gone only when the attempt is over already.
            drop(self.events.send(TaskEvent::Failed(error)));
        }
    }

    fn work(&mut self) -> Result<(), Stopped> {
        let mut ended = false;
        self.signals.name_splits(&self.reader.snapshot());
        let mut shown = Instant::now();
        while !self.signals.is_cancelled() {
            let (asked, last) = self.signals.barrier();
            if asked > self.sealed {
                self.seal(asked)?;
                if last {
                    return Ok(self.chain.broadcast(|| Element::End)?);
                }
            }
            self.chain.note_committed(self.signals.committed());
            if ended || self.chain.is_full() {
                std::thread::sleep(POLL_WAIT);
                continue;
            }
            match self.reader.poll(POLL_WAIT).map_err(Error::port("failed to read the source"))? {
                Poll::Batch(batch) => {
                    self.signals.records_read.fetch_add(batch.frame.len() as u64, Ordering::Relaxed);
                    self.chain.process(batch)?;
                }
                Poll::Pending => {}
                Poll::Finished => {
                    ended = true;
                    self.tell(TaskEvent::Ended)?;
                }
            }
            if shown.elapsed() >= PROGRESS_EVERY {
                shown = Instant::now();
                let (splits, progress) = (self.reader.snapshot(), self.reader.progress());
                self.signals.name_splits(&splits);
                self.tell(TaskEvent::Progress { splits, progress })?;
            }
        }
        Ok(())
    }

    /// Positions are taken before the barrier goes out, with everything read before it already sent.
    fn seal(&mut self, epoch: Epoch) -> Result<(), Stopped> {
        self.chain.note_committed(self.signals.committed());
        self.sealed = epoch;
        let state = self.chain.seal(epoch)?;
        let (splits, progress) = (self.reader.snapshot(), self.reader.progress());
        self.signals.name_splits(&splits);
        self.tell(TaskEvent::SourceSealed { epoch, splits, progress, state })?;
        self.chain.broadcast(|| Element::Barrier(epoch))?;
        Ok(crash_point!("barrier-injected").map_err(Error::from)?)
    }

    fn tell(&self, event: TaskEvent) -> Result<(), Stopped> {
        self.events.send(event).map_err(|_| Stopped::Closed)
    }
}
