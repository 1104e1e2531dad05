//! One transaction after the other, on the two ids in turn, and what happens to an id in doubt.
//!
//! ```text
//!            begin                    commit: drained, offsets sent, ended
//!   Idle ------------> Open(since) --------------------------------------> Idle        (the next one: the other id)
//!     \________________/      \__ any error __> Failed                               (nothing more in this attempt)
//! ```
//! The ids alternate because the broker makes a producer wait (20 ms at a time) while the markers of its last transaction
//! are still being written; the other id has none. Only one transaction is ever open: the next begins after the last is
//! acknowledged.
//!
//! librdkafka resends requests and reconnects without telling, and a resent EndTxn may end a *later* transaction of the
//! same producer (KAFKA-17754). So a commit that took long enough for a resend leaves its producer in doubt: the next
//! transaction uses the other id, and the doubted id is initialised anew, which fences what is still on the wire.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::error::RDKafkaErrorCode;
use weir_core::crash_point;
use weir_machine::channel::{Receiver, bounded};

use crate::Error;
use crate::ffi::produce::NativeProducer;
use crate::ffi::transaction::{GroupMetadata, Outcome};
use crate::sink::pool::{Background, INIT_BOUND, Pool, Slot};
use crate::sink::producer::Producer;
use crate::sink::resend::{Rotation, Took, Turn, doubt, is_outdated};

/// Before a call is repeated that the client says may be.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

enum State {
    Idle,
    Open,
    Failed,
}

enum Standby {
    Ready(Box<Producer>),
    Pending(Receiver<Result<Producer, Error>>),
}

/// The producers of both ids, initialised.
pub(crate) struct Fenced {
    pub(crate) first: Producer,
    pub(crate) second: Producer,
}

/// The transactions of one attempt.
pub(crate) struct Transactor {
    pool: Arc<Pool>,
    initialising: Background,
    state: State,
    active: (Slot, Producer),
    standby: Option<(Slot, Standby)>,
    /// Why the active producer must not serve another transaction.
    doubt: Option<&'static str>,
    /// False until the first transaction of the attempt: it needs no other id.
    used: bool,
    rotation: Rotation,
}

impl Transactor {
    pub(crate) fn new(pool: Arc<Pool>, initialising: Background, fenced: Fenced, rotation: Rotation) -> Self {
        Self {
            pool,
            initialising,
            state: State::Idle,
            active: (Slot::First, fenced.first),
            standby: Some((Slot::Second, Standby::Ready(Box::new(fenced.second)))),
            doubt: None,
            used: false,
            rotation,
        }
    }

    /// The producer of the open transaction, which is begun if there is none.
    pub(crate) fn producer(&mut self) -> Result<&mut Producer, Error> {
        self.pool.tenure.check("use a transaction")?;
        match self.state {
            State::Open => {}
            State::Failed => return Err(Error::call("go on after a failed transaction", RDKafkaErrorCode::State)),
            State::Idle => {
                self.choose_id()?;
                let begun = self.active.1.native().begin_transaction();
                self.checked("begin a transaction", begun)?;
                self.state = State::Open;
            }
        }
        Ok(&mut self.active.1)
    }

    /// Waits until everything written in the open transaction is acknowledged.
    pub(crate) fn drain(&mut self) -> Result<(), Error> {
        match self.state {
            State::Idle => Ok(()),
            State::Open | State::Failed => self.producer()?.drain(),
        }
    }

    /// Nothing more in this attempt.
    pub(crate) fn fail(&mut self) {
        self.state = State::Failed;
    }

    /// Adds `offsets` to the transaction (begun if need be: an epoch may have no output) and ends it.
    pub(crate) fn commit(&mut self, offsets: &TopicPartitionList, group: &GroupMetadata) -> Result<(), Error> {
        self.producer()?.drain()?;
        self.doubt = self.end(offsets, group)?;
        self.state = State::Idle;
        Ok(())
    }

    /// Commits; tells what makes the producer doubtful.
    fn end(&self, offsets: &TopicPartitionList, group: &GroupMetadata) -> Result<Option<&'static str>, Error> {
        let deadline = weir_machine::now() + self.pool.timeout;
        let sent = self.resume("add the offsets to the transaction", deadline, |client, wait| {
            client.send_offsets(offsets, group, wait)
        })?;
        crash_point!("offsets-sent")?;
        let ended = self.resume("commit the transaction", deadline, |client, wait| client.commit_transaction(wait))?;
        if !ended.resumed {
            self.pool.ends.note(ended.time);
        }
        Ok(doubt(&sent, &ended, self.active.1.backoff()))
    }

    /// Calls until the outcome is known: a retriable error means that the same call, on the same producer, resumes.
    fn resume(
        &self,
        operation: &'static str,
        deadline: Instant,
        call: impl Fn(&NativeProducer, Duration) -> Outcome,
    ) -> Result<Took, Error> {
        let started = weir_machine::now();
        let mut resumed = false;
        loop {
            let left = deadline.saturating_duration_since(weir_machine::now());
            match call(self.active.1.native(), left) {
                Ok(()) => return Ok(Took { time: weir_machine::since(started), resumed }),
                Err(error) if error.is_resumable() && weir_machine::now() < deadline => {
                    tracing::debug!(%error, operation, "resuming");
                    resumed = true;
                    weir_machine::sleep(RETRY_PAUSE);
                }
                Err(error) if error.is_resumable() => {
                    return Err(Error::Unresponsive {
                        operation: operation.to_owned(),
                        waited: weir_machine::since(started),
                    });
                }
                error => {
                    self.checked(operation, error)?;
                }
            }
        }
    }

    fn checked(&self, operation: &str, result: Outcome) -> Result<(), Error> {
        result.map_err(|error| {
            tracing::debug!(%error, operation, "failed");
            self.active.1.explain(operation, error)
        })
    }

    fn choose_id(&mut self) -> Result<(), Error> {
        match (self.rotation)(self.doubt.take(), self.used && self.is_standby_ready()) {
            Turn::Same => {}
            Turn::Other => {
                let rested = self.swap()?;
                self.rest(rested)?;
            }
            Turn::Renew(reason) => {
                let doubted = self.swap()?;
                self.renew(doubted, reason)?;
            }
        }
        self.used = true;
        Ok(())
    }

    /// Makes `rested`, which nobody doubts, the standby: as it is, or opened anew where it would wait too long before it
    /// sends a request again. The active one has just become so, because it was ready; its own turn comes only when this
    /// one is back.
    fn rest(&mut self, rested: (Slot, Producer)) -> Result<(), Error> {
        let (opened, now) = (rested.1.backoff(), self.pool.ends.backoff());
        if is_outdated(opened, now) {
            tracing::info!(
                from_ms = opened.ms(),
                to_ms = now.ms(),
                "commits are faster; a client's retry.backoff.ms is cut"
            );
            return self.renew(rested, "faster");
        }
        self.standby = Some((rested.0, Standby::Ready(Box::new(rested.1))));
        Ok(())
    }

    /// Whether the other id can serve without a wait. One that is still being initialised is left to it.
    fn is_standby_ready(&self) -> bool {
        match &self.standby {
            Some((_, Standby::Ready(_))) => true,
            Some((_, Standby::Pending(initialised))) => !initialised.is_empty(),
            None => false,
        }
    }

    /// Makes the standby active, waiting for it if need be; returns what was active.
    fn swap(&mut self) -> Result<(Slot, Producer), Error> {
        let (slot, standby) = self.standby.take().ok_or_else(|| Error::call("change ids", RDKafkaErrorCode::State))?;
        let producer = match standby {
            Standby::Ready(producer) => *producer,
            Standby::Pending(initialised) => {
                if initialised.is_empty() {
                    metrics::counter!("weir_sink_standby_waits_total").increment(1);
                }
                let late = |_| Error::Unresponsive {
                    operation: "initialise the other transactional id".to_owned(),
                    waited: INIT_BOUND,
                };
                initialised.recv_timeout(INIT_BOUND * 2).map_err(late)??
            }
        };
        Ok(std::mem::replace(&mut self.active, (slot, producer)))
    }

    /// Initialises the id of `used` anew in the background, for this `reason`; from then on it is the standby.
    fn renew(&mut self, used: (Slot, Producer), reason: &'static str) -> Result<(), Error> {
        metrics::counter!("weir_sink_rotations_total", "reason" => reason).increment(1);
        self.pool.tenure.check("initialise a transactional id")?;
        let (slot, old) = used;
        let (sender, receiver) = bounded(1);
        let pool = Arc::clone(&self.pool);
        let work = move || {
            drop(old);
            // Nobody may be there any more: the attempt has ended, and its producers with it.
            if let Err(unwanted) = sender.send(pool.initialise_or_keep(slot, None)) {
                drop(unwanted);
            }
        };
        self.initialising
            .run("weir-renew-id", work)
            .map_err(|error| Error::Option { option: "threads", reason: format!("failed to start one: {error}") })?;
        self.standby = Some((slot, Standby::Pending(receiver)));
        Ok(())
    }

    /// Ends the attempt: an open transaction is aborted at once, if the broker is there, so that readers of the topics
    /// need not wait for its time-out.
    pub(crate) fn close(mut self) {
        if !matches!(self.state, State::Idle)
            && let Err(error) = self.active.1.abort(Duration::from_secs(1))
        {
            tracing::debug!(%error, "the open transaction is left to the broker's time-out or the next attempt");
        }
    }
}

#[cfg(test)]
mod tests;
