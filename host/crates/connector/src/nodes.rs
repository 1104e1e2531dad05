//! The nodes of one connector in a job, and what becomes of them.

use std::sync::Arc;

use crate::found::Found;
use crate::planned::{Cluster, PlannedSink, PlannedSource};
use crate::settings::Settings;

/// All that a job has of one connector.
#[derive(Debug)]
pub struct Nodes<'a> {
    /// The table that they share.
    pub shared: Option<&'a (dyn Settings + 'static)>,
    /// In the order of the pipeline.
    pub sources: Vec<Node<'a>>,
    /// In the order of the pipeline.
    pub sinks: Vec<Node<'a>>,
    /// Whether every node of the job says of which connector it is: one that does not may be of this one.
    pub is_whole: bool,
}

/// A node, and what a user wrote of it.
#[derive(Debug)]
pub struct Node<'a> {
    /// Where it stands in the file: `sources.clicks`.
    pub at: String,
    /// What was written.
    pub settings: &'a (dyn Settings + 'static),
}

/// What a connector does in a job.
#[derive(Debug, Default)]
pub struct Part {
    /// In the order of the nodes; `None` where something of it was found wrong.
    pub sources: Vec<Option<Arc<dyn PlannedSource>>>,
    /// In the order of the nodes; `None` where something of it was found wrong.
    pub sinks: Vec<Option<Arc<dyn PlannedSink>>>,
    /// What commits for the job, where its nodes ask for it.
    pub cluster: Option<Arc<dyn Cluster>>,
}

impl Nodes<'_> {
    /// Plans each source by itself; `T` is what the connector reads a source into.
    pub fn plan_sources<T: Settings>(
        &self,
        found: &mut Found,
        plan: impl Fn(&str, &T, &mut Found) -> Option<Arc<dyn PlannedSource>>,
    ) -> Vec<Option<Arc<dyn PlannedSource>>> {
        self.sources.iter().map(|node| plan(&node.at, node.written(), found)).collect()
    }

    /// Plans each sink by itself; `T` is what the connector reads a sink into.
    pub fn plan_sinks<T: Settings>(
        &self,
        found: &mut Found,
        plan: impl Fn(&str, &T, &mut Found) -> Option<Arc<dyn PlannedSink>>,
    ) -> Vec<Option<Arc<dyn PlannedSink>>> {
        self.sinks.iter().map(|node| plan(&node.at, node.written(), found)).collect()
    }
}

impl Node<'_> {
    /// What was written, as the type that the connector reads its addresses and tables into.
    ///
    /// # Panics
    /// Where it is of another type: the row reads one type and plans another.
    pub fn written<T: Settings>(&self) -> &T {
        self.settings.of().expect("a connector plans what it has read")
    }
}
