//! Nodes, ports and edges: what a job is made of, whatever runs it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use weir_core::KeySpec;

use crate::order;

/// A node's number: its place in [`Graph::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub usize);

/// A source, an operator or a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name in the pipeline; no other node has it.
    pub name: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// Records come from here: no input, one output, one task.
    Source,
    /// Runs a plugin.
    Operator(OperatorNode),
    /// Records go here: one input, no output. All sinks are one task, for they are one transaction.
    Sink,
}

/// What the graph knows of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OperatorNode {
    /// How many tasks run it, 1..=1024.
    pub parallelism: u16,
    /// What its state is keyed by.
    pub key: KeySpec,
    /// True when it has keyed state: then the records of one key must come to one task.
    pub stateful: bool,
    /// The plugin's names of its inputs; empty is one without a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// The names of its outputs, the plugin's and then the host's own; empty is one without a name, and so is an empty name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
}

/// One end of an edge: an output of the node that sends, an input of the node that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "(NodeId, u32)", from = "(NodeId, u32)")]
pub struct Port {
    /// The node.
    pub node: NodeId,
    /// Which of its outputs or inputs, from 0.
    pub port: u32,
}

/// One output read by one input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// An output.
    pub from: Port,
    /// An input.
    pub to: Port,
    /// To which of the reader's tasks a record goes.
    pub ship: Ship,
}

/// To which of the reader's tasks a record goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ship {
    /// To the only one, or to the one with the sender's number.
    Forward,
    /// To the one that owns the key's group.
    ByKey(KeySpec),
    /// To one after the other, batch by batch.
    RoundRobin,
    /// To all of them.
    Broadcast,
}

/// The one graph of a job. What one holds is checked: names are unique, edges join what is there, every input is read
/// into, every source is read, and nothing comes back to where it was. The default is the graph of nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Shape", into = "Shape")]
pub struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

/// A graph as it is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

/// Why nodes and edges are no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two nodes have one name.
    #[error("two nodes are named {0:?}")]
    SameName(String),
    /// An operator has no task, or more than there are key groups.
    #[error("{0:?} cannot have {1} tasks")]
    Parallelism(String, u16),
    /// An edge begins or ends where no node has a port.
    #[error("an edge from {0} to {1} joins what is not there")]
    Loose(Port, Port),
    /// An edge is there twice, so that records would arrive twice.
    #[error("{reader:?} reads one output of {from:?} twice")]
    Twice {
        /// Who is read.
        from: String,
        /// Who reads.
        reader: String,
    },
    /// Nothing comes into an input.
    #[error("nothing comes into input {port} of {node:?}")]
    Dry {
        /// The node.
        node: String,
        /// The name or number of its input.
        port: String,
    },
    /// Nothing reads a source.
    #[error("nothing reads the source {0:?}")]
    Unread(String),
    /// A task is to hand on to the task of its number, and there is none.
    #[error("{from:?} cannot hand on task by task to {to:?}, which has another number of tasks")]
    Forward {
        /// Who sends.
        from: String,
        /// Who reads.
        to: String,
    },
    /// An operator that finds state by key is sent records whatever their keys.
    #[error("{to:?} keeps state by key, and cannot be sent the records of {from:?} in turns")]
    InTurns {
        /// Who sends.
        from: String,
        /// Who reads.
        to: String,
    },
    /// Nodes read each other in a circle.
    #[error("{} read each other in a circle", .0.join(" -> "))]
    Circle(Vec<String>),
}

impl Graph {
    /// Checks nodes and edges.
    pub fn new(nodes: Vec<Node>, edges: Vec<Edge>) -> Result<Self, Error> {
        let graph = Self { nodes, edges };
        graph.check_nodes()?;
        graph.check_edges()?;
        graph.check_ports()?;
        order::sort(graph.nodes.len(), &graph.pairs()).map_err(|order::Circle(nodes)| {
            Error::Circle(nodes.into_iter().map(|node| graph.name(NodeId(node)).to_owned()).collect())
        })?;
        Ok(graph)
    }

    /// Every node; its place is its [`NodeId`].
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Every edge.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Every node with its number.
    pub fn ids(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(at, node)| (NodeId(at), node))
    }

    /// The node of a number.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// The number of a name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId)
    }

    /// The name of a node; empty where there is none.
    pub fn name(&self, id: NodeId) -> &str {
        self.node(id).map_or("", |node| &node.name)
    }

    /// How many tasks run a node.
    pub fn parallelism(&self, id: NodeId) -> u16 {
        self.node(id).map_or(1, Node::parallelism)
    }

    /// The edges into a node.
    pub fn edges_into(&self, id: NodeId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.to.node == id)
    }

    /// The edges out of an output.
    pub fn edges_out_of(&self, output: Port) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.from == output)
    }

    /// The outputs that nothing reads: their records go nowhere.
    pub fn unread(&self) -> impl Iterator<Item = Port> {
        let outputs = self.ids().flat_map(|(id, node)| (0..node.outputs()).map(move |port| Port { node: id, port }));
        outputs.filter(|output| self.edges_out_of(*output).next().is_none())
    }

    /// The nodes, each after all that it reads.
    pub fn order(&self) -> Vec<NodeId> {
        let sorted = order::sort(self.nodes.len(), &self.pairs());
        sorted.unwrap_or_default().into_iter().map(NodeId).collect()
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        self.edges.iter().map(|edge| (edge.from.node.0, edge.to.node.0)).collect()
    }

    fn check_nodes(&self) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for node in &self.nodes {
            if !names.insert(&node.name) {
                return Err(Error::SameName(node.name.clone()));
            }
            if !(1..=weir_core::key_group::KEY_GROUPS).contains(&node.parallelism()) {
                return Err(Error::Parallelism(node.name.clone(), node.parallelism()));
            }
        }
        Ok(())
    }

    fn check_edges(&self) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for edge in &self.edges {
            let (Some(from), Some(to)) = (self.node(edge.from.node), self.node(edge.to.node)) else {
                return Err(Error::Loose(edge.from, edge.to));
            };
            if edge.from.port >= from.outputs() || edge.to.port >= to.inputs() {
                return Err(Error::Loose(edge.from, edge.to));
            }
            if !seen.insert((edge.from, edge.to)) {
                return Err(Error::Twice { from: from.name.clone(), reader: to.name.clone() });
            }
            let side_by_side = [1, from.parallelism()].contains(&to.parallelism());
            if edge.ship == Ship::Forward && !side_by_side {
                return Err(Error::Forward { from: from.name.clone(), to: to.name.clone() });
            }
            if edge.ship == Ship::RoundRobin && to.as_operator().is_some_and(|operator| operator.stateful) {
                return Err(Error::InTurns { from: from.name.clone(), to: to.name.clone() });
            }
        }
        Ok(())
    }

    fn check_ports(&self) -> Result<(), Error> {
        for (id, node) in self.ids() {
            let dry = (0..node.inputs()).find(|port| self.edges_into(id).all(|edge| edge.to.port != *port));
            if let Some(port) = dry {
                return Err(Error::Dry { node: node.name.clone(), port: node.input_name(port) });
            }
            if node.kind == Kind::Source && self.edges_out_of(Port { node: id, port: 0 }).next().is_none() {
                return Err(Error::Unread(node.name.clone()));
            }
        }
        Ok(())
    }
}

impl Node {
    /// A source.
    pub fn source(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: Kind::Source }
    }

    /// An operator.
    pub fn operator(name: impl Into<String>, operator: OperatorNode) -> Self {
        Self { name: name.into(), kind: Kind::Operator(operator) }
    }

    /// A sink.
    pub fn sink(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: Kind::Sink }
    }

    /// What it is as an operator.
    pub fn as_operator(&self) -> Option<&OperatorNode> {
        match &self.kind {
            Kind::Operator(operator) => Some(operator),
            Kind::Source | Kind::Sink => None,
        }
    }

    /// How many tasks run it.
    pub fn parallelism(&self) -> u16 {
        self.as_operator().map_or(1, |operator| operator.parallelism)
    }

    /// How many inputs it has.
    pub fn inputs(&self) -> u32 {
        match &self.kind {
            Kind::Source => 0,
            Kind::Operator(operator) => operator.inputs.len().max(1) as u32,
            Kind::Sink => 1,
        }
    }

    /// How many outputs it has.
    pub fn outputs(&self) -> u32 {
        match &self.kind {
            Kind::Source => 1,
            Kind::Operator(operator) => operator.outputs.len().max(1) as u32,
            Kind::Sink => 0,
        }
    }

    /// The name of an input; its number where it has none.
    pub fn input_name(&self, port: u32) -> String {
        let name = self.as_operator().and_then(|operator| operator.inputs.get(port as usize));
        name.cloned().unwrap_or_else(|| port.to_string())
    }

    /// The name of an output; its number where it has none.
    pub fn output_name(&self, port: u32) -> String {
        let name = self.as_operator().and_then(|operator| operator.outputs.get(port as usize));
        name.filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| port.to_string())
    }
}

impl Edge {
    /// From `(node, output)` to `(node, input)`.
    pub fn new(from: (NodeId, u32), to: (NodeId, u32), ship: Ship) -> Self {
        Self { from: from.into(), to: to.into(), ship }
    }
}

impl From<(NodeId, u32)> for Port {
    fn from((node, port): (NodeId, u32)) -> Self {
        Self { node, port }
    }
}

impl From<Port> for (NodeId, u32) {
    fn from(Port { node, port }: Port) -> Self {
        (node, port)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node.0, self.port)
    }
}

impl TryFrom<Shape> for Graph {
    type Error = Error;

    fn try_from(Shape { nodes, edges }: Shape) -> Result<Self, Error> {
        Self::new(nodes, edges)
    }
}

impl From<Graph> for Shape {
    fn from(Graph { nodes, edges }: Graph) -> Self {
        Self { nodes, edges }
    }
}

#[cfg(test)]
mod tests;
