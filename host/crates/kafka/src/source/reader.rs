//! The source task's end of a source: takes what the other threads hand over, and asks the gate at the end of an epoch.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use weir_core::ports::{Poll, SourceReader, SplitProgress, Verified};
use weir_core::{PortError, Reading, SplitState};
use weir_machine::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::LeftBehind;
use super::discovery::Silence;
use super::gate::Question;
use super::handover::Handover;
use super::pulse::Watched;
use super::quiet::Ends;
use super::served::Served;
use crate::error::Error;

/// How long a dropped reader waits for its threads.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module's head.
pub(super) struct Reader {
    handover: Arc<Handover>,
    splits: Vec<SplitState>,
    is_bounded: bool,
    /// Which splits give nothing for now.
    held: Vec<bool>,
    /// From when on confirmations count.
    begin: Instant,
    /// How far each split could be read.
    pub ends: Ends,
    /// Since when discovery has had no answer.
    pub silence: Silence,
    /// The threads, as far as they may hang in the client and nobody waits for their answer.
    watched: [Watched; 2],
    nudge: Sender<()>,
    /// To the gate; gone when the reader is being dropped.
    questions: Option<Sender<Question>>,
    /// What was read since the gate was asked last.
    served: Served,
    /// Lives as long as a thread has not let go of its client.
    alive: Option<Sender<Infallible>>,
    done: Receiver<Infallible>,
    threads: Vec<JoinHandle<()>>,
    /// Where a thread goes that does not let go of its client.
    pub left_behind: LeftBehind,
}

impl Reader {
    /// Without threads yet.
    pub(super) fn new(
        handover: Arc<Handover>,
        splits: Vec<SplitState>,
        is_bounded: bool,
        watched: [Watched; 2],
        nudge: Sender<()>,
        questions: Sender<Question>,
    ) -> Self {
        let (alive, done) = bounded(0);
        let mut served = Served::default();
        served.begin(splits.len());
        Self {
            handover,
            splits,
            is_bounded,
            held: Vec::new(),
            begin: weir_machine::now(),
            ends: Ends::default(),
            silence: Silence::default(),
            watched,
            nudge,
            questions: Some(questions),
            served,
            alive: Some(alive),
            done,
            threads: Vec::new(),
            left_behind: LeftBehind::default(),
        }
    }

    pub(super) fn start(&mut self, name: &str, body: impl FnOnce(&Handover) + Send + 'static) -> Result<(), Error> {
        let (alive, handover) = (self.alive.clone(), Arc::clone(&self.handover));
        let thread = weir_machine::spawn(name, move || {
            // However the body ends, a reader must not wait for it for ever; after a close this says nothing.
            let _ending = Ending(&handover);
            body(&handover);
            drop(alive);
        });
        self.threads.push(thread.map_err(|error| no_thread(name, &error))?);
        Ok(())
    }
}

struct Ending<'a>(&'a Handover);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.fail(Error::call("keep reading: a thread of the Kafka source ended", RDKafkaErrorCode::State));
    }
}

fn no_thread(name: &str, error: &io::Error) -> Error {
    Error::Option { option: "the system", reason: format!("refused to start thread {name}: {error}") }
}

impl SourceReader for Reader {
    fn poll(&mut self, wait: Duration) -> Result<Poll, PortError> {
        let deadline = weir_machine::now() + wait;
        loop {
            if self.is_bounded && self.splits.iter().all(SplitState::is_finished) {
                return Ok(Poll::Finished);
            }
            let Some(delivery) = self.handover.pop(deadline)? else {
                self.watched.iter_mut().try_for_each(|watched| watched.look(wait))?;
                return Ok(Poll::Pending);
            };
            self.splits.extend(delivery.added);
            self.served.begin(self.splits.len());
            for moved in delivery.moves {
                if let Some(split) = self.splits.get_mut(moved.split as usize) {
                    (split.position, split.term) = (moved.position, moved.term);
                }
            }
            for (index, broker) in delivery.served {
                self.served.note(index, broker);
            }
            if let Some(unreadable) = delivery.unreadable {
                return Ok(Poll::Unreadable(unreadable));
            }
            if let Some(batch) = delivery.batch {
                return Ok(Poll::Batch(batch));
            }
        }
    }

    fn snapshot(&mut self) -> Vec<SplitState> {
        self.splits.clone()
    }

    fn verify(&mut self, done: Verified) {
        let asked = self.served.take(&self.splits);
        if asked.is_empty() {
            return done(Ok(()));
        }
        // A gate that is gone has failed the handover.
        if let Some(questions) = &self.questions {
            drop(questions.send(Question { asked, done }));
        }
    }

    fn progress(&self) -> Vec<SplitProgress> {
        let ends = self.ends.look();
        (0..self.splits.len()).map(|i| SplitProgress { end: ends.end(i) }).collect()
    }

    fn readings(&mut self) -> Vec<Reading> {
        let ends = self.ends.look_for_silence();
        let is_held = |i: usize| self.held.get(i).copied().unwrap_or_default();
        let splits = self.splits.iter().enumerate();
        splits.map(|(i, split)| ends.reading(i, split, is_held(i), self.begin)).collect()
    }

    fn hold(&mut self, held: &[bool]) {
        if self.held != held {
            held.clone_into(&mut self.held);
            self.handover.hold(held.to_vec());
        }
    }

    fn silent_since(&self) -> Option<Instant> {
        self.silence.since()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.handover.close();
        // A full channel wakes discovery just as well.
        self.nudge.try_send(()).ok();
        (self.questions, self.alive) = (None, None);
        match self.done.recv_timeout(STOP_TIMEOUT) {
            Err(RecvTimeoutError::Disconnected) => {
                for thread in self.threads.drain(..) {
                    // A panic was reported where it happened, and ended the reading.
                    drop(thread.join());
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                metrics::counter!("weir_kafka_clients_abandoned_total").increment(1);
                tracing::warn!("the Kafka client does not let go; abandoned");
                let stuck = self.threads.drain(..).find(|thread| !thread.is_finished());
                self.left_behind.lock().unwrap_or_else(PoisonError::into_inner).extend(stuck);
            }
            Ok(never) => match never {},
        }
    }
}
