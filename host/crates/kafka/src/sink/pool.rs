//! The two transactional ids of a shard, and the work on them that goes on in the background.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use crate::Error;
use crate::admin::CALL_TIMEOUT;
use crate::advice::broker_setting;
use crate::ffi::group::list_group_offsets;
use crate::ffi::transaction::TransactionError;
use crate::options::ClientOptions;
use crate::sink::producer::{Producer, Transactional};
use crate::sink::resend::Ends;
use crate::sink::topics::OutputTopics;

/// How long an id may take to be initialised: its last transaction may still have to be completed by the broker.
pub(crate) const INIT_BOUND: Duration = Duration::from_secs(60);
/// One call of it; the call is resumed on the same client.
const INIT_CALL: Duration = Duration::from_secs(10);
/// For the client's first connection, before it is asked for the coordinator (see `Pool::initialise`).
const CONNECT_WAIT: Duration = Duration::from_secs(1);

/// Which of the two ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    First,
    Second,
}

impl Slot {
    fn number(self) -> u8 {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }
}

/// The time of one attempt, which the next one ends. An attempt that was given up may still be at it on a thread that
/// nobody could stop: it must neither fence its successor nor commit after it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tenure {
    has_ended: Arc<AtomicBool>,
}

impl Tenure {
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    /// Refuses `operation` after the end.
    pub(crate) fn check(&self, operation: &'static str) -> Result<(), Error> {
        match self.has_ended.load(Ordering::Acquire) {
            true => Err(Error::Retired { operation }),
            false => Ok(()),
        }
    }
}

/// How an attempt makes producers for its two ids.
pub(crate) struct Pool {
    pub(crate) options: ClientOptions,
    pub(crate) topics: Arc<OutputTopics>,
    pub(crate) timeout: Duration,
    /// How long an initialisation may take: [`INIT_BOUND`].
    pub(crate) bound: Duration,
    pub(crate) tenure: Tenure,
    pub(crate) unfinished: Unfinished,
    pub(crate) ends: Ends,
}

/// Clients on which an initialisation is still running, one for each id, whichever attempt began it: the next attempt
/// goes on with them.
#[derive(Clone, Default)]
pub(crate) struct Unfinished(Arc<Mutex<[Option<Producer>; 2]>>);

impl Unfinished {
    fn lock(&self) -> MutexGuard<'_, [Option<Producer>; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, slot: Slot, producer: Producer) {
        let [first, second] = &mut *self.lock();
        let place = match slot {
            Slot::First => first,
            Slot::Second => second,
        };
        *place = Some(producer);
    }

    /// Those of both ids.
    pub(crate) fn take(&self) -> [Option<Producer>; 2] {
        std::mem::take(&mut *self.lock())
    }
}

/// An id that could not be initialised. A client whose call is still running in librdkafka comes along: dropped, it
/// might fence its own successor, so the call is resumed on it.
pub(crate) struct Uninitialised {
    pub(crate) error: Error,
    pub(crate) running: Option<Producer>,
}

impl Pool {
    /// [`Pool::initialise`]; a client on which it still runs is kept for the next attempt.
    pub(crate) fn initialise_or_keep(&self, slot: Slot, running: Option<Producer>) -> Result<Producer, Error> {
        self.initialise(slot, running).map_err(|failed| {
            let Uninitialised { error, running } = *failed;
            running.into_iter().for_each(|producer| self.unfinished.put(slot, producer));
            error
        })
    }

    fn id(&self, slot: Slot) -> String {
        self.options.transactional_id(slot.number())
    }

    /// Fences every rival on the id of `slot` and aborts its transaction. Goes on with `running`, if there is one.
    pub(crate) fn initialise(&self, slot: Slot, running: Option<Producer>) -> Result<Producer, Box<Uninitialised>> {
        // Whoever ends the tenure then waits for initialisations in the background: those that it does not see there
        // begin after the end, and stop here.
        self.tenure
            .check("initialise a transactional id")
            .map_err(|error| Box::new(Uninitialised { error, running: None }))?;
        let fresh = || {
            let backoff = self.ends.backoff();
            let transactional = Transactional { id: self.id(slot), timeout: self.timeout, backoff };
            Producer::open(&self.options, Arc::clone(&self.topics), Some(transactional))
        };
        let producer = match running.map_or_else(fresh, Ok) {
            Ok(producer) => producer,
            Err(error) => return Err(Box::new(Uninitialised { error, running: None })),
        };
        // Asked for its coordinator before any broker is connected, the client looks again only after 500 ms, which a
        // restart would wait for. If there is no connection, init_transactions has its own bound and says why.
        if !producer.connect(CONNECT_WAIT) {
            tracing::debug!(id = self.id(slot), "not connected yet");
        }
        let started = weir_machine::now();
        loop {
            let error = match producer.native().init_transactions(INIT_CALL.min(self.bound)) {
                Ok(()) => {
                    producer.native().client().context().works();
                    self.find_coordinator(&producer);
                    return Ok(producer);
                }
                Err(error) => error,
            };
            if !error.is_resumable() {
                return Err(Box::new(Uninitialised { error: self.refused(slot, &producer, error), running: None }));
            }
            if weir_machine::since(started) >= self.bound {
                let error = self.refused(slot, &producer, error);
                return Err(Box::new(Uninitialised { error, running: Some(producer) }));
            }
        }
    }

    /// The first offsets that a client sends wait until it has found the group's coordinator and connected to it: three
    /// round trips more. To a broker that is far away that alone would be doubt, with every new client.
    fn find_coordinator(&self, producer: &Producer) {
        if producer.backoff().is_long() {
            let group = self.options.group();
            let found = list_group_offsets(producer.native().client(), &group, CALL_TIMEOUT);
            tracing::info!(
                retry_backoff_ms = producer.backoff().ms(),
                coordinator = found.is_ok(),
                "commits take long; a client waits longer before it sends a request again"
            );
        }
    }

    #[cold]
    fn too_long(&self) -> String {
        const KEY: &str = "transaction.max.timeout.ms";
        let most = broker_setting(&self.options, KEY).unwrap_or_else(|error| {
            tracing::debug!(%error, "the broker does not tell its {KEY}");
            None
        });
        let most = most.map_or(String::new(), |most| format!(" = {most}"));
        format!("{:?} is above the broker's {KEY}{most}", self.timeout)
    }

    fn refused(&self, slot: Slot, producer: &Producer, error: TransactionError) -> Error {
        let operation = format!("initialise the transactional id {:?}", self.id(slot));
        match error.code {
            RDKafkaErrorCode::InvalidTransactionTimeout => {
                Error::Option { option: "--transaction-timeout", reason: self.too_long() }
            }
            _ => producer.explain(&operation, error),
        }
    }
}

/// Threads at work in the background, so that whoever depends on their end can wait for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Background(Arc<(Mutex<usize>, Condvar)>);

impl Background {
    /// Runs `work` on a thread of its own. (When none can be had, `work` is dropped, and with it what it holds.)
    pub(crate) fn run(&self, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let running = Running::new(self.clone());
        let spawned = weir_machine::spawn(name, move || {
            work();
            drop(running);
        });
        spawned.map(drop)
    }

    /// Drops `value`, which may block, on a thread of its own.
    pub(crate) fn discard<T: Send + 'static>(&self, value: T) {
        if let Err(error) = self.run("weir-discard", move || drop(value)) {
            tracing::warn!(%error, "no thread to close a Kafka client on; it was closed in place");
        }
    }

    /// Waits until nothing runs; false when something still did after `bound`.
    pub(crate) fn join(&self, bound: Duration) -> bool {
        let (count, changed) = &*self.0;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, _) = changed.wait_timeout_while(count, bound, |n| *n > 0).unwrap_or_else(PoisonError::into_inner);
        *count == 0
    }

    fn change(&self, by: isize) {
        let (count, changed) = &*self.0;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_add_signed(by);
        changed.notify_all();
    }
}

/// Counts as running until it is dropped, also when the thread could not be started or its work panics.
struct Running(Background);

impl Running {
    fn new(background: Background) -> Self {
        background.change(1);
        Self(background)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.change(-1);
    }
}
