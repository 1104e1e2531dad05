//! A layout by names instead of numbers: what `host validate` prints and the API shows.

use serde::Serialize;

use crate::graph::{Graph, Ship};
use crate::layout::{Join, Layout};

/// Which threads there are, what each runs, and how records get from node to node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Every thread that carries records, each after those that it reads from.
    pub tasks: Vec<ShownTask>,
    /// Every edge of the graph.
    pub edges: Vec<ShownEdge>,
}

/// One thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownTask {
    /// Its name.
    pub thread: String,
    /// The nodes that it runs, in the order in which records pass them.
    pub nodes: Vec<String>,
    /// First and last key group, where it runs operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_groups: Option<(u16, u16)>,
}

/// One output read by one input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownEdge {
    /// Who is read.
    pub from: String,
    /// Name or number of the output.
    pub output: String,
    /// Who reads.
    pub to: String,
    /// Name or number of the input.
    pub input: String,
    /// How records get there.
    pub by: &'static str,
}

impl Shown {
    /// What `layout` makes of `graph`.
    pub fn of(graph: &Graph, layout: &Layout) -> Self {
        let nodes = |stage: usize| {
            let stage = layout.stages.get(stage);
            stage.iter().flat_map(|stage| &stage.nodes).map(|id| graph.name(*id).to_owned()).collect()
        };
        let tasks = layout.tasks(graph).into_iter().map(|task| ShownTask {
            nodes: nodes(task.stage),
            thread: task.thread,
            key_groups: task.key_groups,
        });
        let edges = graph.edges().iter().zip(&layout.joins).filter_map(|(edge, join)| {
            let (from, to) = (graph.node(edge.from.node)?, graph.node(edge.to.node)?);
            Some(ShownEdge {
                from: from.name.clone(),
                output: from.output_name(edge.from.port),
                to: to.name.clone(),
                input: to.input_name(edge.to.port),
                by: join.words(),
            })
        });
        Self { tasks: tasks.collect(), edges: edges.collect() }
    }
}

impl Join {
    /// For people.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Fused => "chained",
            Self::Exchange { ship: Ship::Forward, .. } => "gather",
            Self::Exchange { ship: Ship::ByKey(_), .. } => "exchange by key group",
            Self::Exchange { ship: Ship::RoundRobin, .. } => "round robin",
            Self::Exchange { ship: Ship::Broadcast, .. } => "to all",
        }
    }
}
