//! The sinks of a job: those that its cluster opens and those that open themselves, in one.
#![warn(clippy::missing_trait_methods, reason = "a port's default is not what the cluster does")]

use std::sync::Arc;

use weir_connector::{JobFacts, PlannedSink};
use weir_core::ports::{Commit, Committed, Committer, MarkerRead, Outputs, SinkConnector};
use weir_core::{PortError, SplitId};
use weir_pipeline::plan::Plan;

/// What a job writes through. The cluster commits for all, after the others are flushed; without one there is no marker, and
/// an epoch holds once flushed.
pub(super) struct Sinks {
    cluster: Option<Arc<dyn SinkConnector>>,
    /// In the order of the pipeline.
    sinks: Vec<Arc<dyn PlannedSink>>,
}

impl Sinks {
    /// Touches nothing outside.
    pub(super) fn new(plan: &Plan, job: &JobFacts) -> Result<Self, PortError> {
        let cluster = plan.cluster.as_ref().map(|cluster| cluster.sinks(job)).transpose()?;
        #[cfg(feature = "crash-points")]
        let cluster = super::sabotage::cluster(plan, job, cluster)?;
        Ok(Self { cluster, sinks: plan.sinks.iter().map(|sink| Arc::clone(&sink.writes)).collect() })
    }
}

impl SinkConnector for Sinks {
    fn read_marker(&self, splits: &[SplitId], read: MarkerRead) -> Result<Vec<Committed>, PortError> {
        self.cluster.as_ref().map_or(Ok(Vec::new()), |cluster| cluster.read_marker(splits, read))
    }

    fn committed(&self) -> Result<Vec<Committed>, PortError> {
        self.cluster.as_ref().map_or(Ok(Vec::new()), |cluster| cluster.committed())
    }

    fn fence(&self) -> Result<(), PortError> {
        self.cluster.as_ref().map_or(Ok(()), |cluster| cluster.fence())
    }

    fn stretch(&self, factor: u32) {
        self.cluster.iter().for_each(|cluster| cluster.stretch(factor));
    }

    fn open(&self) -> Result<Outputs, PortError> {
        let none = || Outputs { sinks: Vec::new(), committer: Box::new(NoCommit) };
        let Outputs { sinks, committer } =
            self.cluster.as_ref().map_or_else(|| Ok(none()), |cluster| cluster.open())?;
        let mut clusters = sinks.into_iter();
        let mut all = Vec::new();
        for sink in &self.sinks {
            all.extend(sink.open()?.or_else(|| clusters.next()));
        }
        Ok(Outputs { sinks: all, committer })
    }

    fn marker_home(&self) -> Option<String> {
        self.cluster.as_ref().and_then(|cluster| cluster.marker_home())
    }
}

/// Nothing outside knows of epochs: the epoch log, written before, is what decides.
struct NoCommit;

impl Committer for NoCommit {
    fn commit(&mut self, _commit: &Commit) -> Result<(), PortError> {
        Ok(())
    }
}
