//! What the operator's verbs ask of Kafka, and do there, while the job does not run.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use tracing::warn;
use weir_core::ports::Committed;
use weir_core::{Fault, JobName, PortError, Secret, ShardId, SplitId, SplitState};
use weir_kafka::{ClientOptions, Properties, group};

/// How long Kafka may be out of reach.
const WITHIN: Duration = Duration::from_secs(30);
const BACKOFF: Duration = Duration::from_millis(500);

/// Where a job's Kafka is, as flags say it.
#[derive(Debug, Clone)]
pub struct Brokers {
    /// `HOST:PORT,..`.
    pub addresses: String,
    /// librdkafka properties.
    pub properties: BTreeMap<String, Secret>,
}

/// One job's names in Kafka.
pub struct Cluster(ClientOptions);

impl Cluster {
    /// Checks the options; touches no broker.
    pub fn new(brokers: &Brokers, job: &JobName, shard: ShardId) -> Result<Self> {
        let properties = Properties::new(&brokers.properties).map_err(PortError::from)?;
        let options = ClientOptions { brokers: brokers.addresses.clone(), properties, job: job.clone(), shard };
        options.check().map_err(PortError::from)?;
        Ok(Self(options))
    }

    /// The consumer group.
    pub fn group(&self) -> String {
        self.0.group()
    }

    /// The two transactional ids.
    pub fn transactional_ids(&self) -> [String; 2] {
        [0, 1].map(|number| self.0.transactional_id(number))
    }

    /// All that the group has committed. Disturbs nobody.
    pub fn committed(&self) -> Result<Vec<Committed>> {
        patiently("read the marker", || group::committed(&self.0))
    }

    /// Whether positions can be read on from: the same topics, nothing lost.
    pub fn verify(&self, splits: &[SplitState]) -> Result<()> {
        patiently("look at the topics", || group::verify(&self.0, splits))
    }

    /// The first offset that each of `splits` still has.
    pub fn first_offsets(&self, splits: &[SplitId]) -> Result<Vec<i64>> {
        patiently("look at the topics", || group::first_offsets(&self.0, splits))
    }

    /// Fences both ids and aborts what is open under them.
    pub fn fence(&self) -> Result<()> {
        patiently("fence the transactional ids", || group::fence(&self.0))
    }

    /// Deletes the group; false where there was none.
    pub fn delete_group(&self) -> Result<bool> {
        patiently("delete the group", || group::delete(&self.0))
    }
}

/// Tries `work` again while its failure may pass by itself, for a bounded time.
pub(super) fn patiently<T, E: Into<PortError>>(what: &str, work: impl Fn() -> Result<T, E>) -> Result<T> {
    let began = weir_machine::now();
    loop {
        match work().map_err(Into::into) {
            Ok(done) => return Ok(done),
            Err(error) if error.fault() == Fault::Transient && weir_machine::since(began) < WITHIN => {
                warn!(%error, "cannot {what} yet; trying again");
                weir_machine::sleep(BACKOFF);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
