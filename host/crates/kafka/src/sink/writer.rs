//! The sinks of one attempt and its committer, on the one producer or transaction that they share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::error::RDKafkaErrorCode;
use weir_core::ports::{Commit, Committer, RecordCheck, RecordLimit, RouteTable, Sink};
use weir_core::{Batch, PortError, crash_point};

use crate::Error;
use crate::ffi::transaction::GroupMetadata;
use crate::sink::marker::{Group, offsets};
use crate::sink::pool::{Background, Tenure};
use crate::sink::producer::Producer;
use crate::sink::transactor::Transactor;

/// What everything that is written goes through.
pub(crate) enum Outlet {
    /// The open transaction.
    Transactional(Box<Transactor>),
    /// No transaction. `None` when there is no Kafka sink.
    Plain(Option<Box<Producer>>),
}

/// The outlet, shared by all sinks and the committer. Sinks and committer live on one thread, so the lock is free; it
/// is taken once per batch.
pub(crate) struct Shared {
    outlet: Mutex<Option<Outlet>>,
    closing: Background,
}

impl Shared {
    pub(crate) fn new(outlet: Outlet, closing: Background) -> Arc<Self> {
        Arc::new(Self { outlet: Mutex::new(Some(outlet)), closing })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Outlet>> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work`; after an error a transaction is not used again.
    fn with<T>(&self, work: impl FnOnce(&mut Outlet) -> Result<T, Error>) -> Result<T, Error> {
        let mut guard = self.lock();
        let outlet = guard.as_mut().expect("taken only when the last user is dropped");
        let result = work(outlet);
        if let (Err(_), Outlet::Transactional(transactor)) = (&result, outlet) {
            transactor.fail();
        }
        result
    }

    fn write(&self, write: impl FnOnce(&mut Producer) -> Result<(), Error>) -> Result<(), Error> {
        self.with(|outlet| match outlet {
            Outlet::Transactional(transactor) => {
                write(transactor.producer()?)?;
                Ok(crash_point!("outputs-half-produced")?)
            }
            Outlet::Plain(Some(producer)) => write(producer),
            Outlet::Plain(None) => Err(Error::call("write without a producer", RDKafkaErrorCode::State)),
        })
    }

    fn flush(&self) -> Result<(), Error> {
        self.with(|outlet| match outlet {
            Outlet::Transactional(transactor) => transactor.drain(),
            Outlet::Plain(Some(producer)) => producer.drain(),
            Outlet::Plain(None) => Ok(()),
        })
    }
}

/// Closing may block while a broker is away: a thread of its own does it.
impl Drop for Shared {
    fn drop(&mut self) {
        let Some(outlet) = self.lock().take() else { return };
        let close = move || match outlet {
            Outlet::Transactional(transactor) => transactor.close(),
            Outlet::Plain(producer) => drop(producer),
        };
        if let Err(error) = self.closing.run("weir-close", close) {
            tracing::warn!(%error, "no thread to close a Kafka producer on; it was closed in place");
        }
    }
}

/// One sink topic.
pub(crate) struct TopicSink {
    pub(crate) shared: Arc<Shared>,
    pub(crate) topic: usize,
    pub(crate) limit: RecordLimit,
}

impl Sink for TopicSink {
    fn record_check(&self) -> Option<RecordCheck> {
        Some(RecordCheck::Limit(self.limit.clone()))
    }

    fn write(&mut self, batch: &Batch) -> Result<(), PortError> {
        Ok(self.shared.write(|producer| producer.write(self.topic, &batch.frame))?)
    }

    fn flush(&mut self) -> Result<(), PortError> {
        Ok(self.shared.flush()?)
    }
}

/// A sink whose records may choose among topics.
pub(crate) struct RoutingSink {
    pub(crate) shared: Arc<Shared>,
    pub(crate) routes: RouteTable,
    /// The number of each topic of `routes`.
    pub(crate) topics: Vec<usize>,
}

impl Sink for RoutingSink {
    fn record_check(&self) -> Option<RecordCheck> {
        Some(RecordCheck::Routes(self.routes.clone()))
    }

    fn write(&mut self, batch: &Batch) -> Result<(), PortError> {
        Ok(self.shared.write(|producer| producer.write_routed((&self.routes, &self.topics), &batch.frame))?)
    }

    fn flush(&mut self) -> Result<(), PortError> {
        Ok(self.shared.flush()?)
    }
}

/// Commits offsets and marker with the outputs, in one transaction.
pub(crate) struct TransactionCommitter {
    pub(crate) shared: Arc<Shared>,
    pub(crate) group: GroupMetadata,
}

impl Committer for TransactionCommitter {
    fn commit(&mut self, commit: &Commit) -> Result<(), PortError> {
        let offsets = offsets(commit)?;
        let committed = self.shared.with(|outlet| match outlet {
            Outlet::Transactional(transactor) => transactor.commit(&offsets, &self.group),
            Outlet::Plain(_) => Err(Error::call("commit a transaction without one", RDKafkaErrorCode::State)),
        });
        Ok(committed?)
    }
}

/// Commits offsets and marker after the outputs.
pub(crate) struct PlainCommitter {
    pub(crate) shared: Arc<Shared>,
    pub(crate) group: Group,
    pub(crate) tenure: Tenure,
}

impl Committer for PlainCommitter {
    fn commit(&mut self, commit: &Commit) -> Result<(), PortError> {
        // Offsets never pass outputs, whoever calls.
        let drained = self.shared.with(|outlet| match outlet {
            Outlet::Plain(Some(producer)) => producer.drain(),
            Outlet::Plain(None) | Outlet::Transactional(_) => Ok(()),
        });
        drained?;
        if commit.positions.is_empty() {
            // A source that cannot be read again (stdin) has no position that would mean anything.
            return Ok(());
        }
        Ok(self.group.commit(&offsets(commit)?, &self.tenure)?)
    }
}
