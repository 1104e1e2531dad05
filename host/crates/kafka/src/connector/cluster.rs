//! The one Kafka cluster of a job, which commits for it.

use std::sync::Arc;

use weir_connector::JobFacts;
use weir_core::ports::SinkConnector;
use weir_core::{Delivery, PortError, SplitId};

use super::Map;
use super::lookout::Lookout;
use super::sink::PlannedTopic;
use super::spec::ClusterSpec;
use crate::admin::Creation;
use crate::advice::Needs;
use crate::{ClientOptions, KafkaSink, Properties, SinkSideOptions};

/// Where a job's Kafka is, and what the job does there.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub(super) brokers: String,
    /// Of sinks and of everything that is not a source.
    pub(super) properties: Map,
    pub(super) creates: bool,
    /// The topics that are read by name.
    pub(super) read: Vec<String>,
    /// In the order of the pipeline.
    pub(super) sinks: Vec<PlannedTopic>,
}

impl Cluster {
    /// How every client of the job is set up but the one that reads. Checks the properties.
    fn client(&self, job: &JobFacts) -> Result<ClientOptions, PortError> {
        let client = ClientOptions { properties: Properties::new(&self.properties)?, ..self.named(job) };
        client.check()?;
        Ok(client)
    }

    /// The names of the job there.
    fn named(&self, job: &JobFacts) -> ClientOptions {
        let properties = Properties::default();
        ClientOptions { brokers: self.brokers.clone(), properties, job: job.name.clone(), shard: job.shard }
    }

    /// Every topic that may be written.
    fn outputs(&self) -> impl Iterator<Item = &str> {
        self.sinks.iter().flat_map(PlannedTopic::topics)
    }

    /// What the job writes there and commits through, as it is.
    pub fn kafka_sinks(&self, job: &JobFacts) -> Result<KafkaSink, PortError> {
        let options = SinkSideOptions {
            sinks: self.sinks.iter().map(|sink| sink.options.clone()).collect(),
            delivery: job.delivery,
            transaction_timeout: job.commit_within,
        };
        let sinks = KafkaSink::new(self.client(job)?, options)?;
        Ok(if self.creates { sinks.creating(self.creation()) } else { sinks })
    }

    /// What is written; what is read is misspelt, or not there yet, where it is missing.
    fn creation(&self) -> Creation {
        let wanted = self.sinks.iter().flat_map(|sink| sink.topics().map(|topic| (topic.to_owned(), sink.new_topic())));
        Creation { topics: wanted.collect(), like: self.read.clone() }
    }
}

impl weir_connector::Cluster for Cluster {
    fn key(&self) -> &'static str {
        ClusterSpec::KEY
    }

    fn title(&self) -> &'static str {
        super::CONNECTOR.title
    }

    fn address(&self) -> &str {
        &self.brokers
    }

    fn creates(&self) -> bool {
        self.creates
    }

    fn home(&self) -> Option<SplitId> {
        self.outputs().next().map(|topic| SplitId::new(topic, 0))
    }

    fn group(&self, job: &JobFacts) -> String {
        self.named(job).group()
    }

    fn lookout(&self, job: &JobFacts) -> Result<Arc<dyn weir_connector::Lookout>, PortError> {
        let outputs = self.outputs().map(str::to_owned).collect();
        let needs = Needs { outputs, transactions: job.delivery == Delivery::ExactlyOnce };
        Ok(Arc::new(Lookout::new(self.client(job)?, needs)))
    }

    fn sinks(&self, job: &JobFacts) -> Result<Arc<dyn SinkConnector>, PortError> {
        Ok(Arc::new(self.kafka_sinks(job)?))
    }
}
