//! The flags that say which job, and where its Kafka is, for verbs that run no pipeline.

use std::path::{Path, PathBuf};

use anyhow::Result;
use weir_core::JobName;

use super::kafka::{self, KafkaArg};
use crate::compose::cluster::Brokers;

/// Where the job's Kafka is.
#[derive(Debug, clap::Args)]
pub(super) struct ClusterArgs {
    /// Kafka brokers of the job
    #[arg(long, value_name = "HOST:PORT,..")]
    brokers: Option<String>,
    /// A librdkafka property: TLS, SASL, tuning; repeat it for more
    #[arg(long, value_name = "KEY=VALUE", requires = "brokers")]
    kafka: Vec<KafkaArg>,
}

/// Which job, and its state directory on this machine.
#[derive(Debug, clap::Args)]
pub(super) struct JobArgs {
    /// Name of the job
    #[arg(long, value_name = "NAME", value_parser = job_name)]
    pub(super) job: JobName,
    /// The job's state directory on this machine [default: .weir/JOB]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl JobArgs {
    /// Where the state is, if it is on this machine.
    pub(super) fn dir(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| Path::new(".weir").join(self.job.as_str()))
    }
}

pub(super) fn job_name(text: &str) -> Result<JobName, String> {
    JobName::new(text).map_err(|error| error.to_string())
}

impl ClusterArgs {
    /// `None`: no brokers were given.
    pub(super) fn brokers(&self) -> Result<Option<Brokers>> {
        let properties = kafka::properties(self.kafka.clone())?;
        Ok(self.brokers.clone().map(|addresses| Brokers { addresses, properties }))
    }
}
