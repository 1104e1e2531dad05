//! The runtime of today runs a chain: one source, operators one behind the other, sinks along it. What a graph has beyond
//! that is refused by name. This file goes when the runtime wires graphs.

use anyhow::Result;
use weir_core::PortError;
use weir_pipeline::Error;
use weir_pipeline::plan::Plan;
use weir_plan::{Graph, Kind, NodeId, Port};

fn not_yet<T>(what: String, instead: &str) -> Result<T> {
    Err(PortError::from(Error::NotYet { what, instead: instead.to_owned() }).into())
}

/// Refuses what is no chain.
pub(super) fn check(plan: &Plan, graph: &Graph) -> Result<()> {
    if let [_, second, ..] = plan.sources.as_slice() {
        return not_yet(
            format!("a second source ({})", second.name),
            "one source may read several topics: topics = [..]",
        );
    }
    for (id, node) in graph.ids() {
        if graph.edges_into(id).count() > 1 {
            return not_yet(format!("{}: a second input", node.name), "name one input");
        }
        let is_operator = |id: NodeId| graph.node(id).is_some_and(|node| matches!(node.kind, Kind::Operator(_)));
        let readers = graph.edges().iter().filter(|edge| edge.from.node == id && is_operator(edge.to.node));
        let readers: Vec<&str> = readers.map(|edge| graph.name(edge.to.node)).collect();
        if readers.len() > 1 {
            let what = format!("a branch ({} is read by the operators {})", node.name, readers.join(", "));
            return not_yet(what, "let each operator read the one before it; sinks may read any of them");
        }
        let reads_source =
            graph.edges_into(id).any(|e| graph.node(e.from.node).is_some_and(|n| n.kind == Kind::Source));
        if reads_source && node.kind == Kind::Sink && !plan.operators.is_empty() {
            let what = format!("sinks.{}.inputs: a sink that reads the source beside operators", node.name);
            return not_yet(what, "let it read an operator, or run it as a job of its own");
        }
    }
    Ok(())
}

/// What a node of a chain reads: index of an operator (`None` is the source), and which of its outputs.
pub(super) fn input_of(plan: &Plan, graph: &Graph, name: &str) -> (Option<usize>, u32) {
    let edge = graph.find(name).and_then(|id| graph.edges_into(id).next());
    let Some(Port { node, port }) = edge.map(|edge| edge.from) else { return (None, 0) };
    (plan.operators.iter().position(|operator| operator.name == graph.name(node)), port)
}
