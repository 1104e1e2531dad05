//! What is different between two graphs, by name: numbers change when a node comes or goes.

use std::collections::BTreeSet;
use std::fmt;

use weir_core::KeySpec;

use crate::graph::{Edge, Graph, Kind, Node, OperatorNode, Ship};

/// One difference. Its text says what happens to the old graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A node goes, or becomes another kind of node.
    Removed(String),
    /// A node comes.
    Added(String),
    /// An operator gets another number of tasks.
    Parallelism {
        /// Which.
        operator: String,
        /// Before.
        from: u16,
        /// After.
        to: u16,
    },
    /// An operator is keyed by something else: its state is found no more.
    Key {
        /// Which.
        operator: String,
        /// Before, as it is written.
        from: String,
        /// After.
        to: String,
    },
    /// The plugin of an operator has other inputs, outputs, or state where it had none.
    Shape(String),
    /// An input no longer reads an output.
    Cut(Line),
    /// An input reads an output that it did not read.
    Joined(Line),
    /// Records get from an output to an input in another way.
    Ship(Line),
}

/// An edge by names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Who is read.
    pub from: String,
    /// Name or number of the output.
    pub output: String,
    /// Who reads.
    pub to: String,
    /// Name or number of the input.
    pub input: String,
}

/// What turns `old` into `new`: nodes that go and come, what changes of those that stay, then edges. Nothing where both
/// are the same up to the order of nodes and edges. Turned round it says the way back.
///
/// ```
/// use weir_plan::{Edge, Graph, Node, NodeId, Ship, diff};
///
/// let copy = |sinks: &[&str]| {
///     let nodes = [Node::source("in")].into_iter().chain(sinks.iter().map(|name| Node::sink(*name)));
///     let edges = (1..=sinks.len()).map(|sink| Edge::new((NodeId(0), 0), (NodeId(sink), 0), Ship::Forward));
///     Graph::new(nodes.collect(), edges.collect())
/// };
/// let changes = diff(&copy(&["out"])?, &copy(&["out", "more"])?);
/// let said: Vec<String> = changes.iter().map(ToString::to_string).collect();
/// assert_eq!(said, ["more is new", "more reads in"]);
/// # Ok::<(), weir_plan::Error>(())
/// ```
pub fn diff(old: &Graph, new: &Graph) -> Vec<Change> {
    let mut changes = Vec::new();
    let same = |one: &Node, other: &Graph| other.nodes().iter().any(|node| is_same(one, node));
    changes.extend(old.nodes().iter().filter(|node| !same(node, new)).map(|node| Change::Removed(node.name.clone())));
    changes.extend(new.nodes().iter().filter(|node| !same(node, old)).map(|node| Change::Added(node.name.clone())));
    for (before, after) in old.nodes().iter().flat_map(|one| new.nodes().iter().map(move |other| (one, other))) {
        if let (true, Kind::Operator(from), Kind::Operator(to)) = (is_same(before, after), &before.kind, &after.kind) {
            changes.extend(of_operator(&before.name, from, to));
        }
    }
    let (before, after) = (lines(old), lines(new));
    let names = |lines: &BTreeSet<(Line, String)>| lines.iter().map(|(line, _)| line.clone()).collect::<BTreeSet<_>>();
    let (cut, joined) = (names(&before), names(&after));
    changes.extend(cut.difference(&joined).cloned().map(Change::Cut));
    changes.extend(joined.difference(&cut).cloned().map(Change::Joined));
    let stays = |name: &str| new.nodes().iter().any(|node| node.name == name && same(node, old));
    let moved = after.difference(&before).filter(|(line, _)| cut.contains(line) && stays(&line.to));
    changes.extend(moved.map(|(line, _)| Change::Ship(line.clone())));
    changes
}

fn is_same(one: &Node, other: &Node) -> bool {
    one.name == other.name && std::mem::discriminant(&one.kind) == std::mem::discriminant(&other.kind)
}

fn of_operator(name: &str, from: &OperatorNode, to: &OperatorNode) -> Vec<Change> {
    let operator = || name.to_owned();
    let parallelism = || Change::Parallelism { operator: operator(), from: from.parallelism, to: to.parallelism };
    let key = || Change::Key { operator: operator(), from: from.key.to_string(), to: to.key.to_string() };
    let shape = |node: &OperatorNode| (node.inputs.clone(), node.outputs.clone(), node.stateful);
    let all = [
        (from.parallelism != to.parallelism).then(parallelism),
        (from.key != to.key).then(key),
        (shape(from) != shape(to)).then(|| Change::Shape(operator())),
    ];
    all.into_iter().flatten().collect()
}

/// Every edge by names, with how records travel.
fn lines(graph: &Graph) -> BTreeSet<(Line, String)> {
    graph.edges().iter().filter_map(|edge| Some((Line::of(graph, edge)?, words(&edge.ship)))).collect()
}

/// The key is the reader's, and a change of it is told of the reader.
fn words(ship: &Ship) -> String {
    match ship {
        Ship::ByKey(KeySpec::Key | KeySpec::Header(_)) => "by key".to_owned(),
        other => format!("{other:?}"),
    }
}

impl Line {
    fn of(graph: &Graph, edge: &Edge) -> Option<Self> {
        let (from, to) = (graph.node(edge.from.node)?, graph.node(edge.to.node)?);
        Some(Self {
            from: from.name.clone(),
            output: from.output_name(edge.from.port),
            to: to.name.clone(),
            input: to.input_name(edge.to.port),
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, output, .. } = self;
        // The only output of a plugin has no name.
        if output == "0" { write!(f, "{from}") } else { write!(f, "{from}.{output}") }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed(node) => write!(f, "{node} is gone"),
            Self::Added(node) => write!(f, "{node} is new"),
            Self::Parallelism { operator, from, to } => write!(f, "{operator} has {to} tasks instead of {from}"),
            Self::Key { operator, from, to } => write!(f, "{operator} is keyed by {to} instead of {from}"),
            Self::Shape(operator) => write!(f, "{operator} has other inputs, outputs or state"),
            Self::Cut(line) => write!(f, "{} no longer reads {line}", line.to),
            Self::Joined(line) => write!(f, "{} reads {line}", line.to),
            Self::Ship(line) => write!(f, "{} is sent the records of {line} in another way", line.to),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::NodeId;
    use crate::layout::tests::graphs;

    fn operator(parallelism: u16, key: &str, outputs: &[&str]) -> OperatorNode {
        let outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
        OperatorNode { parallelism, key: key.parse().unwrap(), stateful: true, inputs: vec![], outputs }
    }

    /// `in` → `words` → `count` → `out`
    fn chain(words: OperatorNode, count: OperatorNode, output: u32) -> Graph {
        let by_key = |operator: &OperatorNode| Ship::ByKey(operator.key.clone());
        let edges = vec![
            Edge::new((NodeId(0), 0), (NodeId(1), 0), by_key(&words)),
            Edge::new((NodeId(1), output), (NodeId(2), 0), by_key(&count)),
            Edge::new((NodeId(2), 0), (NodeId(3), 0), Ship::Forward),
        ];
        let operators = [("words", words), ("count", count)].map(|(name, node)| Node::operator(name, node));
        let nodes = [Node::source("in")].into_iter().chain(operators).chain([Node::sink("out")]);
        Graph::new(nodes.collect(), edges).unwrap()
    }

    #[test]
    fn what_changed_is_named() {
        let words = || operator(1, "key", &["good", "bad"]);
        let old = chain(words(), operator(1, "key", &[]), 0);
        let said = |new: &Graph| diff(&old, new).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(said(&old), [""; 0]);
        let wider = chain(words(), operator(4, "header:user", &[]), 1);
        let wanted = [
            "count has 4 tasks instead of 1",
            "count is keyed by header:user instead of key",
            "count no longer reads words.good",
            "count reads words.bad",
        ];
        assert_eq!(said(&wider), wanted);
        let renamed = chain(operator(1, "key", &["fine", "bad"]), operator(1, "key", &[]), 1);
        let wanted =
            ["words has other inputs, outputs or state", "count no longer reads words.good", "count reads words.bad"];
        assert_eq!(said(&renamed), wanted);
        let nodes = vec![Node::source("in"), Node::sink("words")];
        let copy = Graph::new(nodes, vec![Edge::new((NodeId(0), 0), (NodeId(1), 0), Ship::Forward)]).unwrap();
        let wanted = [
            "words is gone",
            "count is gone",
            "out is gone",
            "words is new",
            "out no longer reads count",
            "count no longer reads words.good",
        ];
        assert_eq!(said(&copy), wanted);
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_way(one in graphs(), other in graphs()) {
            prop_assert!(diff(&one, &one).is_empty());
            let (there, back) = (diff(&one, &other), diff(&other, &one));
            prop_assert_eq!(there.len(), back.len());
            let turned = |change: &Change| match change.clone() {
                Change::Removed(node) => Change::Added(node),
                Change::Added(node) => Change::Removed(node),
                Change::Parallelism { operator, from, to } => Change::Parallelism { operator, from: to, to: from },
                Change::Key { operator, from, to } => Change::Key { operator, from: to, to: from },
                Change::Cut(line) => Change::Joined(line),
                Change::Joined(line) => Change::Cut(line),
                same @ (Change::Shape(_) | Change::Ship(_)) => same,
            };
            let turned: BTreeSet<Change> = there.iter().map(turned).collect();
            prop_assert_eq!(turned, back.into_iter().collect::<BTreeSet<_>>());
        }

        #[test]
        fn the_order_of_edges_is_no_change(graph in graphs()) {
            let edges = graph.edges().iter().rev().cloned().collect();
            let other = Graph::new(graph.nodes().to_vec(), edges).unwrap();
            prop_assert!(diff(&graph, &other).is_empty());
        }
    }
}
