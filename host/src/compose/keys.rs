//! Keyed operators behind lines without keys: each record would fail, and the failure is the plugin's, which knows nothing
//! of lines. So it is said at the start.

use weir_core::KeySpec;
use weir_pipeline::plan::Plan;
use weir_plan::{Edge, Graph, Ship};

/// What to say of operators that keep state by what no record has, each behind the source that it reads.
pub(super) fn missing(plan: &Plan, graph: &Graph) -> Vec<String> {
    let source_of = |edge: &Edge| plan.sources.iter().find(|source| source.name == graph.name(edge.from.node));
    let said = graph.edges().iter().filter(|edge| edge.ship != Ship::Broadcast).filter_map(|edge| {
        let reader = graph.node(edge.to.node)?;
        let operator = reader.as_operator().filter(|operator| operator.stateful)?;
        let reason = source_of(edge)?.reads.lacks(&operator.key)?;
        Some(match &operator.key {
            KeySpec::Key => format!("{} keeps state by key, and {reason}", reader.name),
            KeySpec::Header(name) => format!("{} keeps state by the header {name:?}, and {reason}", reader.name),
        })
    });
    let mut said: Vec<String> = said.collect();
    said.dedup();
    said
}
