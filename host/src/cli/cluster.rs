//! The flags that say where a job's Kafka is, for verbs that run no pipeline.

use super::pipeline::key_value;
use crate::compose::cluster::Brokers;

/// Where the job's Kafka is.
#[derive(Debug, clap::Args)]
pub(super) struct ClusterArgs {
    /// Kafka brokers of the job
    #[arg(long, value_name = "HOST:PORT,..")]
    brokers: Option<String>,
    /// A librdkafka property: TLS, SASL, tuning; repeat it for more
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, requires = "brokers")]
    kafka: Vec<(String, String)>,
}

impl ClusterArgs {
    /// `None`: no brokers were given.
    pub(super) fn brokers(&self) -> Option<Brokers> {
        let properties = self.kafka.iter().cloned().collect();
        self.brokers.clone().map(|addresses| Brokers { addresses, properties })
    }
}
