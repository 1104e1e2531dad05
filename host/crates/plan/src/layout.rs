//! Which nodes share a thread, and who sends to whom. Decided here and nowhere else.
//!
//! A **stage** is a set of nodes that run in one thread, as many times as its parallelism says. Its first node reads
//! what other stages send; each of the others reads only nodes of the stage. A source begins a stage. All sinks are the
//! last stage.
//!
//! A node joins the stage of what it reads when
//! * everything that it reads is in that one stage, and
//! * it has as many tasks as the stage, and
//! * no re-key lies between: the stage is one task, or the node has no state and so does not mind which task a record
//!   is in. A plugin may give a record another key, so a node with state among several tasks always is sent its records
//!   by key, even where it is keyed as the node before it. And who asks for records in turns wants them spread anew.
//!
//! Everything else travels through an **exchange**: all that the tasks of one stage send to those of another.

use crate::graph::{Edge, Graph, Kind, Node, NodeId, Port, Ship};
use crate::key_groups;

/// What runs where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Each after all that it reads from; the sinks are the last.
    pub stages: Vec<Stage>,
    /// Who sends to whom, in order of sender and receiver.
    pub exchanges: Vec<Exchange>,
    /// For each edge of the graph, in its order.
    pub joins: Vec<Join>,
}

/// Nodes that share a thread, in `parallelism` tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// In the order in which records pass them. The first reads what comes into the stage; of sinks, all do.
    pub nodes: Vec<NodeId>,
    /// How many tasks.
    pub parallelism: u16,
}

/// One stage sends to another: from every task to every task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange {
    /// Index of the stage that sends.
    pub from: usize,
    /// Index of the stage that reads.
    pub to: usize,
}

/// How the two ends of an edge are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Join {
    /// They share a thread.
    Fused,
    /// Through an exchange.
    Exchange {
        /// Its index in [`Layout::exchanges`].
        exchange: usize,
        /// To which task; [`Ship::Forward`] where there is only one.
        ship: Ship,
    },
}

/// Where the records of an output go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'a> {
    /// Which input they come into.
    pub to: Port,
    /// How they get there.
    pub join: &'a Join,
}

/// A thread of a job that carries records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Index of its stage.
    pub stage: usize,
    /// Which of the stage's tasks.
    pub index: u16,
    /// Name of its thread.
    pub thread: String,
    /// First and last key group, where it runs operators.
    pub key_groups: Option<(u16, u16)>,
}

/// Decides which nodes of `graph` share a thread.
///
/// ```
/// use weir_core::KeySpec;
/// use weir_plan::{Edge, Graph, Join, Node, NodeId, OperatorNode, Ship, layout};
///
/// let operator = |parallelism, stateful| OperatorNode {
///     parallelism, stateful, key: KeySpec::Key, inputs: vec![], outputs: vec![],
/// };
/// let nodes = vec![
///     Node::source("clicks"),
///     Node::operator("parse", operator(1, false)),
///     Node::operator("count", operator(4, true)),
///     Node::sink("counts"),
/// ];
/// let by_key = || Ship::ByKey(KeySpec::Key);
/// let edge = |from, to, ship| Edge::new((NodeId(from), 0), (NodeId(to), 0), ship);
/// let graph = Graph::new(nodes, vec![edge(0, 1, by_key()), edge(1, 2, by_key()), edge(2, 3, Ship::Forward)])?;
///
/// let layout = layout(&graph);
/// let stages: Vec<_> = layout.stages.iter().map(|stage| (stage.nodes.len(), stage.parallelism)).collect();
/// assert_eq!(stages, [(2, 1), (1, 4), (1, 1)]);
/// assert_eq!(layout.joins[0], Join::Fused);
/// assert_eq!(layout.tasks(&graph)[1].thread, "weir-count-0");
/// # Ok::<(), weir_plan::Error>(())
/// ```
pub fn layout(graph: &Graph) -> Layout {
    let stages = stages(graph);
    let stage_of = |node: NodeId| stages.iter().position(|stage| stage.nodes.contains(&node));
    let between = |edge: &Edge| {
        let (from, to) = (stage_of(edge.from.node)?, stage_of(edge.to.node)?);
        (from != to).then_some(Exchange { from, to })
    };
    let mut exchanges: Vec<Exchange> = graph.edges().iter().filter_map(between).collect();
    exchanges.sort_unstable();
    exchanges.dedup();
    let join = |edge: &Edge| match between(edge).and_then(|exchange| exchanges.binary_search(&exchange).ok()) {
        None => Join::Fused,
        Some(exchange) if graph.parallelism(edge.to.node) == 1 => Join::Exchange { exchange, ship: Ship::Forward },
        Some(exchange) => Join::Exchange { exchange, ship: edge.ship.clone() },
    };
    let joins = graph.edges().iter().map(join).collect();
    Layout { stages, exchanges, joins }
}

fn stages(graph: &Graph) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut sinks = Stage { nodes: Vec::new(), parallelism: 1 };
    for id in graph.order() {
        let Some(node) = graph.node(id) else { continue };
        if node.kind == Kind::Sink {
            sinks.nodes.push(id);
        } else if let Some(stage) = stages.iter_mut().find(|stage| joins(graph, (id, node), stage)) {
            stage.nodes.push(id);
        } else {
            stages.push(Stage { nodes: vec![id], parallelism: node.parallelism() });
        }
    }
    stages.push(sinks);
    stages
}

fn joins(graph: &Graph, (id, node): (NodeId, &Node), stage: &Stage) -> bool {
    let Some(operator) = node.as_operator() else { return false };
    let is_at_home = |ship: &Ship| match ship {
        _ if stage.parallelism == 1 => true,
        Ship::Forward => true,
        Ship::ByKey(_) => !operator.stateful,
        Ship::RoundRobin | Ship::Broadcast => false,
    };
    let mut reads = graph.edges_into(id);
    operator.parallelism == stage.parallelism
        && reads.all(|edge| stage.nodes.contains(&edge.from.node) && is_at_home(&edge.ship))
}

impl Layout {
    /// Where the records of an output go, in the order of the graph's edges; nowhere is a place, too.
    pub fn routes<'a>(&'a self, graph: &'a Graph, output: Port) -> impl Iterator<Item = Route<'a>> {
        let edges = graph.edges().iter().zip(&self.joins).filter(move |(edge, _)| edge.from == output);
        edges.map(|(edge, join)| Route { to: edge.to, join })
    }

    /// The stage that a node runs in.
    pub fn stage_of(&self, node: NodeId) -> Option<usize> {
        self.stages.iter().position(|stage| stage.nodes.contains(&node))
    }

    /// The indices of the exchanges into a stage.
    pub fn exchanges_into(&self, stage: usize) -> impl Iterator<Item = usize> {
        self.exchanges.iter().enumerate().filter(move |(_, e)| e.to == stage).map(|(at, _)| at)
    }

    /// The indices of the exchanges out of a stage.
    pub fn exchanges_out_of(&self, stage: usize) -> impl Iterator<Item = usize> {
        self.exchanges.iter().enumerate().filter(move |(_, e)| e.from == stage).map(|(at, _)| at)
    }

    /// Every task, stage by stage.
    pub fn tasks(&self, graph: &Graph) -> Vec<Task> {
        let of_stage = |(at, stage): (usize, &Stage)| stage.tasks(graph, at);
        self.stages.iter().enumerate().flat_map(of_stage).collect()
    }
}

impl Stage {
    /// The node that reads what comes into the stage: a source, an operator, or the first of the sinks.
    pub fn head(&self) -> Option<NodeId> {
        self.nodes.first().copied()
    }

    /// Its operators, in order.
    pub fn operators<'a>(&'a self, graph: &'a Graph) -> impl Iterator<Item = NodeId> + 'a {
        let is_operator = |id: &NodeId| graph.node(*id).is_some_and(|node| node.as_operator().is_some());
        self.nodes.iter().copied().filter(is_operator)
    }

    /// Its tasks; `at` is its index.
    fn tasks(&self, graph: &Graph, at: usize) -> Vec<Task> {
        let head = self.head().and_then(|head| graph.node(head));
        let runs_operators = self.operators(graph).next().is_some();
        let task = |(index, groups): (u16, (u16, u16))| Task {
            stage: at,
            index,
            thread: head.map_or_else(String::new, |head| thread_name(head, index)),
            key_groups: runs_operators.then_some(groups),
        };
        (0..).zip(key_groups(self.parallelism)).map(task).collect()
    }
}

/// Linux shows 15 bytes of it.
fn thread_name(head: &Node, index: u16) -> String {
    match &head.kind {
        Kind::Source => format!("weir-source-{}", head.name),
        Kind::Operator(_) => format!("weir-{}-{index}", head.name),
        Kind::Sink => "weir-sink".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
