//! Writing, and making an epoch hold.
//!
//! [`KafkaSink`] is the sink side of every job that touches Kafka: also a job with only a Kafka source commits its
//! positions, and the marker beside them, here. Exactly once means that outputs, positions and marker are one
//! transaction. Fencing works by the two transactional ids `weir-JOB-SHARD-0` and `-1` alone (the broker does not check
//! the group's generation), so both are initialised before anything is trusted or written, whatever the delivery.

/// Transactions that hang.
mod hung;
mod marker;
#[cfg(test)]
mod mock;
/// What a user chooses.
pub mod options;
mod pool;
mod producer;
mod resend;
/// What the topics take.
mod topics;
mod transactor;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use weir_core::ports::{Committed, Committer, MarkerRead, Outputs, Sink, SinkConnector};
use weir_core::{Delivery, Fault, PortError, SplitId, crash_point};

use crate::Error;
use crate::admin::Creation;
use crate::options::ClientOptions;

pub(crate) use self::marker::{GLANCE_BOUND, insist};
use self::marker::{Group, STABLE_BOUND};
pub use self::options::{SinkSideOptions, TopicOptions};
use self::pool::{Background, INIT_BOUND, Pool, Slot, Tenure, Unfinished};
use self::producer::Producer;
use self::resend::{Ends, rotate};
pub use self::resend::{Rotation, Turn};
use self::topics::{OutputTopics, Skew};
use self::transactor::{Fenced, Transactor};
use self::writer::{Outlet, PlainCommitter, RoutingSink, Shared, TopicSink, TransactionCommitter};

/// Offsets that are pending for longer, after fencing, may hang.
const PENDING_BOUND: Duration = Duration::from_secs(2);
/// Brokers allow a transaction 15 minutes unless told otherwise.
const TRANSACTION_TIMEOUT_MAX: Duration = Duration::from_secs(900);
/// How long the end of the job waits for producers that are being closed.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Opens the Kafka sinks of a job and its committer, fences rivals, and reads the marker.
pub struct KafkaSink {
    client: ClientOptions,
    sinks: Vec<TopicOptions>,
    delivery: Delivery,
    transaction_timeout: Duration,
    state: Mutex<State>,
    skew: Skew,
    rotation: Rotation,
    /// Ids being initialised in the background: fencing waits for them, or they would fence their own successors.
    initialising: Background,
    /// Producers being closed.
    closing: Background,
}

struct State {
    /// Of the transactions' time-out.
    stretch: u32,
    /// What the first `fence` creates.
    creation: Option<Creation>,
    /// Of the attempt that the last `fence` was for.
    tenure: Tenure,
    /// Made by the last `fence`, for the next `open`.
    fenced: Option<(Arc<Pool>, Fenced)>,
    unfinished: Unfinished,
    ends: Ends,
}

impl KafkaSink {
    /// Checks the options; touches no broker.
    pub fn new(client: ClientOptions, options: SinkSideOptions) -> Result<Self, Error> {
        client.check()?;
        let state = State {
            stretch: 1,
            creation: None,
            tenure: Tenure::default(),
            fenced: None,
            unfinished: Unfinished::default(),
            ends: Ends::default(),
        };
        Ok(Self {
            client,
            sinks: options.sinks,
            delivery: options.delivery,
            transaction_timeout: options.transaction_timeout,
            state: Mutex::new(state),
            skew: Skew::default(),
            rotation: rotate,
            initialising: Background::default(),
            closing: Background::default(),
        })
    }

    /// Creates missing topics before it writes: once a start is decided, so that one that is refused leaves none.
    #[must_use]
    pub fn creating(self, creation: Creation) -> Self {
        self.lock().creation = Some(creation);
        self
    }

    /// Takes transactional ids in another order than is safe: for tests, which show what the usual one is for.
    #[must_use]
    pub fn rotating(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topics, each once, with their limits as they are now; missing ones are an error that names them.
    fn output_topics(&self) -> Result<Arc<OutputTopics>, Error> {
        Ok(Arc::new(OutputTopics::read(&self.client, &self.sinks, &self.skew)?))
    }

    /// After fencing, nothing of this job is pending for long, unless it hangs.
    fn read_stable(&self, group: &Group, splits: &[SplitId]) -> Result<Vec<Committed>, Error> {
        let first = group.read(splits, PENDING_BOUND);
        if !matches!(&first, Err(error) if error.fault() == Fault::Transient) {
            return first;
        }
        // Right after a broker's restart it may be the coordinator that was waited for. Only offsets may hang.
        group.find_coordinator(STABLE_BOUND)?;
        let second = group.read(splits, PENDING_BOUND);
        if !matches!(&second, Err(error) if error.fault() == Fault::Transient) {
            return second;
        }
        let mut state = self.lock();
        if let Some((_, mut fenced)) = state.fenced.take() {
            let closed = hung::close_offsets(&mut fenced, splits, group);
            self.closing.discard(fenced);
            closed?;
            state.fenced = Some(self.initialise_both(&mut state)?);
        }
        drop(state);
        group.read(splits, STABLE_BOUND)
    }

    fn initialise_both(&self, state: &mut State) -> Result<(Arc<Pool>, Fenced), Error> {
        // Outside transactions the ids are only fenced: whoever runs after an exactly-once job must not meet its rest.
        let topics = match self.delivery {
            Delivery::ExactlyOnce => self.output_topics()?,
            Delivery::AtLeastOnce | Delivery::None => Arc::default(),
        };
        let timeout = stretched(self.transaction_timeout, state.stretch);
        let (unfinished, ends) = (state.unfinished.clone(), state.ends.clone());
        let [first, second] = unfinished.take();
        let tenure = state.tenure.clone();
        let (options, bound) = (self.client.clone(), INIT_BOUND);
        let pool = Arc::new(Pool { options, topics, timeout, bound, tenure, unfinished, ends });
        // Side by side: most of the time goes to finding the coordinator. A client that was initialised beside one that
        // was not is dropped: that is done again.
        let (first, second) = weir_machine::scope(|scope| {
            let second = scope.spawn(|| pool.initialise_or_keep(Slot::Second, second));
            let first = pool
                .initialise_or_keep(Slot::First, first)
                .and_then(|producer| crash_point!("fenced-one-id").map(|()| producer).map_err(Error::Injected));
            (first, second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        Ok((pool, Fenced { first: first?, second: second? }))
    }

    fn sinks(&self, shared: &Arc<Shared>, topics: &OutputTopics) -> Result<Vec<Box<dyn Sink>>, Error> {
        let sink = |sink: &TopicOptions| {
            let missing = || Error::TopicMissing { topic: sink.topic.clone() };
            let shared = Arc::clone(shared);
            if sink.routes.is_empty() {
                let (topic, limit) = topics.find(&sink.topic).ok_or_else(missing)?;
                return Ok(Box::new(TopicSink { shared, topic, limit }) as Box<dyn Sink>);
            }
            let (routes, topics) = topics.routes(sink).ok_or_else(missing)?;
            Ok(Box::new(RoutingSink { shared, topics, routes }) as Box<dyn Sink>)
        };
        self.sinks.iter().map(sink).collect()
    }

    fn open_transactional(&self) -> Result<Outputs, Error> {
        let fenced = self.lock().fenced.take();
        let (pool, fenced) = fenced.ok_or_else(|| Error::call("open before fencing", RDKafkaErrorCode::State))?;
        let group = Group::open(&self.client, MarkerRead::Glance)?;
        let metadata = group.metadata()?;
        self.closing.discard(group);
        let topics = Arc::clone(&pool.topics);
        let transactor = Transactor::new(pool, self.initialising.clone(), fenced, self.rotation);
        let shared = Shared::new(Outlet::Transactional(Box::new(transactor)), self.closing.clone());
        let sinks = self.sinks(&shared, &topics)?;
        let committer: Box<dyn Committer> = Box::new(TransactionCommitter { shared, group: metadata });
        Ok(Outputs { sinks, committer })
    }

    fn open_plain(&self) -> Result<Outputs, Error> {
        let tenure = self.lock().tenure.clone();
        let topics = self.output_topics()?;
        let producer = match topics.list().is_empty() {
            true => None,
            false => Some(Box::new(Producer::open(&self.client, Arc::clone(&topics), None)?)),
        };
        let shared = Shared::new(Outlet::Plain(producer), self.closing.clone());
        let sinks = self.sinks(&shared, &topics)?;
        let group = Group::open(&self.client, MarkerRead::Glance)?;
        let committer: Box<dyn Committer> = Box::new(PlainCommitter { shared, group, tenure });
        Ok(Outputs { sinks, committer })
    }
}

/// What the user chose stays allowed.
fn stretched(timeout: Duration, factor: u32) -> Duration {
    timeout.saturating_mul(factor).min(timeout.max(TRANSACTION_TIMEOUT_MAX))
}

impl SinkConnector for KafkaSink {
    fn read_marker(&self, splits: &[SplitId], read: MarkerRead) -> Result<Vec<Committed>, PortError> {
        let group = Group::open(&self.client, read)?;
        let committed = match read {
            MarkerRead::Glance => group.read(splits, GLANCE_BOUND),
            MarkerRead::Stable => self.read_stable(&group, splits),
        };
        self.closing.discard(group);
        Ok(committed?)
    }

    fn committed(&self) -> Result<Vec<Committed>, PortError> {
        Ok(crate::group::committed(&self.client)?)
    }

    fn fence(&self) -> Result<(), PortError> {
        let mut state = self.lock();
        std::mem::take(&mut state.tenure).end();
        if let Some(unused) = state.fenced.take() {
            self.closing.discard(unused.1);
        }
        if !self.initialising.join(INIT_BOUND) {
            let operation = "finish initialising a transactional id in the background".to_owned();
            return Err(Error::Unresponsive { operation, waited: INIT_BOUND }.into());
        }
        if let Some(creation) = &state.creation {
            creation.make(&self.client)?;
            state.creation = None;
        }
        let mut both = self.initialise_both(&mut state)?;
        match self.delivery {
            Delivery::ExactlyOnce => {
                if hung::close(&both.0, &mut both.1)? {
                    self.closing.discard(both.1);
                    both = self.initialise_both(&mut state)?;
                }
                state.fenced = Some(both);
            }
            Delivery::AtLeastOnce | Delivery::None => self.closing.discard(both.1),
        }
        Ok(())
    }

    fn stretch(&self, factor: u32) {
        self.lock().stretch = factor;
    }

    fn open(&self) -> Result<Outputs, PortError> {
        let outputs = match self.delivery {
            Delivery::ExactlyOnce => self.open_transactional(),
            Delivery::AtLeastOnce | Delivery::None => self.open_plain(),
        };
        Ok(outputs?)
    }

    fn marker_home(&self) -> Option<String> {
        Some(format!("Kafka's consumer group {} at {}", self.client.group(), self.client.brokers))
    }
}

/// An open transaction that is being aborted is worth a moment: its topics' readers wait for it.
impl Drop for KafkaSink {
    fn drop(&mut self) {
        self.closing.join(CLOSE_WAIT);
    }
}
