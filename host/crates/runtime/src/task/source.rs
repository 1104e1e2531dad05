//! HOT PATH. A source task: takes batches from the reader, runs the operators that share its thread, and puts the barriers
//! in. It alone decides where in its stream an epoch ends. One whose source has ended goes on with the barriers: its
//! splits are in every epoch until the job is done.
//!
//! A batch that will take long goes through the operators part by part, and a barrier may come between two of them: what
//! is left of the batch then belongs to the next epoch, and the positions of this one stop before it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::Counter;
use weir_checkpoint::{SourceTimes, TaskTimes};
use weir_core::ports::{Poll, RecordCheck, SourceReader, Unreadable, Verified};
use weir_core::{Batch, Element, Epoch, Progress, Reading, SplitState, Watermark, crash_point};
use weir_machine::channel::Sender;
use weir_operator::Pace;
use weir_time::source::Noted;

use super::flow::{Flow, Room, Stopped};
use super::stamp::{Stamped, Stamper};
use super::unreadable::UnreadablePolicy;
use super::wake::wake;
use crate::clock;
use crate::error::Error;
use crate::pause::{self, Pause};
use crate::signals::{Signals, TaskEvent};

/// How long the reader may wait: the longest a barrier is late on an idle stream.
const POLL_WAIT: Duration = Duration::from_millis(5);
/// How often it looks whether its operators have room again.
const FULL_WAIT: Duration = Duration::from_millis(2);
/// How often positions are shown between barriers.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// How often it is noted how the splits are read, where there is event time.
const NOTE_EVERY: Duration = Duration::from_millis(50);

/// How long the operators may be busy before the next look at the coordinator's wishes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A source task's own things.
pub(crate) struct SourceTask {
    /// Its place in the job.
    pub source: usize,
    /// Where records come from.
    pub reader: Box<dyn SourceReader>,
    /// What the sinks take that no operator stands before.
    pub checks: Vec<RecordCheck>,
    /// The operators on this thread.
    pub flow: Flow,
    /// From the coordinator.
    pub signals: Arc<Signals>,
    /// Whether it stands still.
    pub pause: Pause,
    /// To the coordinator.
    pub events: Sender<TaskEvent>,
    /// Records read.
    pub read: Counter,
    /// What becomes of a record that cannot be read.
    pub unreadable: UnreadablePolicy,
    /// The epoch before this attempt's first barrier.
    pub sealed: Epoch,
    /// Event time, where the job has any.
    pub time: Option<Stamper>,
    /// Whether the last epoch ends all time.
    pub drains: bool,
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
        let (mut ended, mut pace) = (false, Pace::default());
        // Read, and not processed yet.
        let mut rest: Option<Batch> = None;
        self.name_splits();
        let (mut shown, mut noted) = (weir_machine::now(), weir_machine::now());
        self.time.as_ref().map_or(Ok(()), |time| self.flow.tell_time(time.progress()))?;
        while !self.signals.is_cancelled() {
            let (asked, last) = self.signals.barrier();
            if asked > self.sealed {
                if last && self.drains {
                    self.end_time()?;
                }
                self.seal(asked, rest.as_ref())?;
                if last {
                    return self.leave(asked);
                }
            }
            self.flow.note_committed(self.signals.committed());
            self.flow.look();
            let room = self.flow.room(asked);
            if let Room::None { tell: Some(sealed) } = room {
                self.tell(TaskEvent::Full(sealed))?;
            }
            if room != Room::Enough {
                weir_machine::sleep(FULL_WAIT);
                continue;
            }
            let wait = wake(&mut self.flow, &self.signals, POLL_WAIT)?;
            if ended {
                weir_machine::sleep(wait);
                continue;
            }
            if weir_machine::since(noted) >= NOTE_EVERY {
                noted = weir_machine::now();
                self.note_time()?;
            }
            match rest.take() {
                // What is read already waits like what is not.
                waits if self.pause.is_on() => {
                    rest = waits;
                    weir_machine::sleep(wait);
                }
                Some(batch) => rest = self.process(batch, &mut pace)?,
                None => match self.reader.poll(wait).map_err(Error::port("failed to read the source"))? {
                    Poll::Batch(batch) => {
                        let batch = self.receive(batch);
                        rest = self.process(batch, &mut pace)?;
                    }
                    Poll::Unreadable(unreadable) => self.judge(unreadable)?,
                    Poll::Pending => {}
                    Poll::Finished => {
                        ended = true;
                        self.finish()?;
                    }
                },
            }
            if weir_machine::since(shown) >= PROGRESS_EVERY {
                shown = weir_machine::now();
                self.show(rest.as_ref())?;
            }
        }
        Ok(())
    }

    /// Where it stands, between barriers; `rest` was read and is not processed.
    fn show(&mut self, rest: Option<&Batch>) -> Result<(), Stopped> {
        let (splits, progress) = (before(self.reader.snapshot(), rest), self.reader.progress());
        self.signals.name_splits(self.source, &splits);
        let (source, silent_since, times) = (self.source, self.reader.silent_since(), self.times());
        self.tell(TaskEvent::Progress { source, splits, progress, times, silent_since })
    }

    /// The source has nothing more; what ends for good ends all time.
    fn finish(&mut self) -> Result<(), Stopped> {
        self.note_time()?;
        if self.time.is_none() && self.reader.readings().iter().all(|split| *split == Reading::Ended) {
            self.end_time()?;
        }
        self.tell(TaskEvent::Ended)
    }

    /// Nothing comes after the last epoch.
    fn leave(&self, last: Epoch) -> Result<(), Stopped> {
        self.flow.broadcast(|| Element::End)?;
        self.stay(last);
        Ok(())
    }

    /// Says of `batch` which source it is from. Whoever asks where a record was read must get an answer, also for a split
    /// just found.
    fn receive(&mut self, mut batch: Batch) -> Batch {
        let (number, mut newest) = (self.number(), None);
        for origin in &mut batch.origins {
            origin.source = number;
            newest = newest.max(Some(origin.split));
        }
        self.know(newest);
        batch
    }

    fn count(&self, records: usize) {
        self.signals.records_read.fetch_add(records as u64, Ordering::Relaxed);
        self.read.increment(records as u64);
    }

    /// As origins count sources.
    fn number(&self) -> u32 {
        u32::try_from(self.source).unwrap_or(u32::MAX)
    }

    fn know(&mut self, newest: Option<u32>) {
        let known = self.signals.with_splits(|splits| splits.known(self.source));
        if newest.is_some_and(|newest| newest as usize >= known) {
            self.name_splits();
        }
    }

    fn name_splits(&mut self) {
        let splits = self.reader.snapshot();
        self.signals.name_splits(self.source, &splits);
        if let Some(time) = &mut self.time {
            time.grow(splits.len());
        }
    }

    /// Processes as much of `batch` as is done soon; returns what is left of it.
    fn process(&mut self, batch: Batch, pace: &mut Pace) -> Result<Option<Batch>, Stopped> {
        let fit = pace.records_in(LOOK_EVERY);
        let (now, rest) = match batch.frame.len() > fit {
            true => {
                let (now, rest) = batch.split_at(fit);
                (now, Some(rest))
            }
            false => (batch, None),
        };
        let (records, began) = (now.frame.len(), weir_machine::now());
        self.count(records);
        self.pass(now)?;
        pace.took(records, weir_machine::since(began));
        Ok(rest)
    }

    /// Sends `batch` through the operators; where there is event time, with its timestamps, and with the time around it.
    fn pass(&mut self, batch: Batch) -> Result<(), Stopped> {
        let Some(time) = &mut self.time else {
            self.check(&batch)?;
            return self.flow.read(batch);
        };
        let Stamped { before, batch, after, refused } =
            time.stamp(batch, clock::now_ms()).map_err(Error::port("failed to ask when records were made"))?;
        for (origin, why) in refused {
            self.unreadable.judge(|| self.signals.describe(origin), why.into())?;
        }
        self.check(&batch)?;
        self.advance(before)?;
        if !batch.frame.is_empty() {
            self.flow.read(batch)?;
        }
        self.advance(after)
    }

    /// How its splits are read tells which of them are waited for, and which run ahead.
    fn note_time(&mut self) -> Result<(), Stopped> {
        let Some(time) = &mut self.time else { return Ok(()) };
        let readings = self.reader.readings();
        let readings = if self.pause.is_on() { pause::paused(readings) } else { readings };
        let Noted { progress, held } = time.note(&readings, clock::now_ms());
        if time.holds() {
            self.reader.hold(&held);
        }
        self.advance(progress)
    }

    /// Nothing will ever come. Operators that wait, if only for processing time, hear of it also where records have no time.
    fn end_time(&mut self) -> Result<(), Stopped> {
        let end = match &mut self.time {
            Some(time) => time.end(),
            None => Some(Progress { watermark: Watermark::END, idle: false }),
        };
        self.advance(end)
    }

    fn advance(&mut self, progress: Option<Progress>) -> Result<(), Stopped> {
        let fired = progress.map_or(Ok(false), |progress| self.flow.advance(progress))?;
        self.signals.note_fired(fired);
        Ok(())
    }

    /// What the epoch keeps of its time.
    fn kept(&self) -> TaskTimes {
        let Some(time) = &self.time else { return TaskTimes::default() };
        let (watermark, splits) = time.floor();
        TaskTimes { source: Some(SourceTimes { watermark, splits }), operators: self.flow.floors() }
    }

    fn times(&self) -> Vec<Progress> {
        self.time.as_ref().map(Stamper::splits).unwrap_or_default()
    }

    /// Without an operator there is no policy: a record that a sink does not take ends the job.
    fn check(&self, batch: &Batch) -> Result<(), Error> {
        if self.checks.is_empty() {
            return Ok(());
        }
        let now_ms = clock::now_ms();
        for (record, origin) in batch.frame.records().zip(&batch.origins) {
            let fits = self.checks.iter().try_for_each(|check| check.check(&record, now_ms));
            fits.map_err(|source| Error::Unfit { record: self.signals.describe(*origin), source })?;
        }
        Ok(())
    }

    /// A reader that is dropped answers no more; the last epoch still needs its answer.
    fn stay(&self, epoch: Epoch) {
        while self.signals.committed() < epoch && !self.signals.is_cancelled() {
            weir_machine::sleep(POLL_WAIT);
        }
    }

    /// The record was read, whatever becomes of it: its epoch has something to commit.
    fn judge(&mut self, Unreadable { mut origin, why }: Unreadable) -> Result<(), Stopped> {
        origin.source = self.number();
        self.count(1);
        self.know(Some(origin.split));
        Ok(self.unreadable.judge(|| self.signals.describe(origin), why)?)
    }

    /// Positions are taken before the barrier goes out, with everything processed before it already sent; `rest` was read
    /// and is not.
    fn seal(&mut self, epoch: Epoch, rest: Option<&Batch>) -> Result<(), Stopped> {
        self.flow.note_committed(self.signals.committed());
        self.sealed = epoch;
        self.verify(epoch);
        let state = self.flow.seal(epoch)?;
        self.flow.switch(epoch, &self.signals)?;
        let (splits, progress) = (before(self.reader.snapshot(), rest), self.reader.progress());
        self.signals.name_splits(self.source, &splits);
        if let Some(time) = &mut self.time {
            time.grow(splits.len());
        }
        let (source, times, kept) = (self.source, self.times(), self.kept());
        self.tell(TaskEvent::SourceSealed { source, epoch, splits, progress, times, state, kept })?;
        self.flow.broadcast(|| Element::Barrier(epoch))?;
        Ok(crash_point!("barrier-injected").map_err(Error::from)?)
    }

    /// Asked only now: what was known before the last record was read says nothing about it. The answer comes while this
    /// and other tasks seal, and the log is written.
    fn verify(&mut self, epoch: Epoch) {
        let events = self.events.clone();
        let done: Verified = Box::new(move |verified| {
            let verified = verified.map_err(Error::port("failed to verify what was read"));
            let reached = verified.and_then(|()| Ok(crash_point!("source-verified")?));
            // The receiver is gone only when the attempt is over already.
            drop(events.send(reached.map_or_else(TaskEvent::Failed, |()| TaskEvent::Verified(epoch))));
        });
        self.reader.verify(done);
    }

    fn tell(&self, event: TaskEvent) -> Result<(), Stopped> {
        self.events.send(event).map_err(|_| Stopped::Closed)
    }
}

/// `splits` as they were before `rest` was read: each at its first record in it.
fn before(mut splits: Vec<SplitState>, rest: Option<&Batch>) -> Vec<SplitState> {
    for origin in rest.iter().flat_map(|rest| rest.origins.iter().rev()) {
        if let Some(split) = splits.get_mut(origin.split as usize) {
            split.position = origin.offset;
        }
    }
    splits
}

#[cfg(test)]
mod tests {
    use weir_core::{FrameWriter, Origin, SplitId};

    use super::*;

    #[test]
    fn positions_stop_before_what_is_not_processed() {
        let split = |partition, position| {
            let split = SplitId::new("t", partition);
            SplitState { split, position, end: Some(100), identity: None, term: None }
        };
        // Split 1 ends with a control record behind its last record; split 2 has nothing in the rest.
        let splits = vec![split(0, 13), split(1, 22), split(2, 30)];
        let origins = [(1, 17), (0, 10), (1, 20), (0, 12)].map(|(split, offset)| Origin::new(split, offset)).to_vec();
        let rest = Batch { frame: FrameWriter::new(Vec::new()).finish(), origins };
        assert_eq!(before(splits.clone(), Some(&rest)), [split(0, 10), split(1, 17), split(2, 30)]);
        assert_eq!(before(splits.clone(), None), splits);
    }
}
