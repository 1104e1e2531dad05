//! A plan in the DOT language: a frame for each thread, in it a box for each node that it runs.

use std::fmt::Write as _;

use weir_plan::{Graph, Join, Kind, Layout, NodeId, Ship, Task, layout};

use crate::plan::Plan;

/// The plan as DOT; `graph` is its own.
pub fn dot(plan: &Plan, graph: &Graph) -> String {
    let mut out = String::new();
    let drawing = Drawing { plan, graph, layout: &layout(graph) };
    drawing.write(&mut out).expect("a string takes everything");
    out
}

struct Drawing<'a> {
    plan: &'a Plan,
    graph: &'a Graph,
    layout: &'a Layout,
}

impl Drawing<'_> {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "digraph {:?} {{", self.plan.job.as_str())?;
        writeln!(out, "  rankdir=LR; node [shape=box];")?;
        for (number, task) in self.layout.tasks(self.graph).iter().enumerate() {
            let groups = task.key_groups.map(|(first, last)| format!("\nkey groups {first}-{last}"));
            let label = format!("{}{}", task.thread, groups.unwrap_or_default());
            writeln!(out, "  subgraph cluster_{number} {{ label={label:?};")?;
            for id in self.nodes(task) {
                writeln!(out, "    {:?} [label={:?}];", self.box_of(id, task.index), self.label(id))?;
            }
            writeln!(out, "  }}")?;
        }
        for (edge, join) in self.graph.edges().iter().zip(&self.layout.joins) {
            for (from, to) in self.pairs(edge.from.node, edge.to.node, join) {
                writeln!(out, "  {from:?} -> {to:?} [label={:?}];", join.words())?;
            }
        }
        writeln!(out, "}}")
    }

    fn nodes(&self, task: &Task) -> Vec<NodeId> {
        self.layout.stages.get(task.stage).map(|stage| stage.nodes.clone()).unwrap_or_default()
    }

    /// Operators have as many boxes as tasks.
    fn box_of(&self, id: NodeId, task: u16) -> String {
        let name = self.graph.name(id);
        match self.graph.node(id).map(|node| &node.kind) {
            Some(Kind::Operator(_)) => format!("{name}/{task}"),
            _ => name.to_owned(),
        }
    }

    fn label(&self, id: NodeId) -> String {
        let name = self.graph.name(id);
        let source = self.plan.sources.iter().find(|source| source.name == name).map(|s| s.reads.words());
        let sink = self.plan.sinks.iter().find(|sink| sink.name == name).map(|s| s.writes.words());
        source.or(sink).map_or_else(|| name.to_owned(), |words| format!("{name}\n{words}"))
    }

    fn pairs(&self, from: NodeId, to: NodeId, join: &Join) -> Vec<(String, String)> {
        let (senders, readers) = (self.graph.parallelism(from), self.graph.parallelism(to));
        let side_by_side = match join {
            Join::Fused => true,
            Join::Exchange { ship, .. } => *ship == Ship::Forward && readers > 1,
        };
        let pairs = (0..senders).flat_map(|sender| (0..readers).map(move |reader| (sender, reader)));
        let pairs = pairs.filter(|(sender, reader)| !side_by_side || sender == reader);
        pairs.map(|(sender, reader)| (self.box_of(from, sender), self.box_of(to, reader))).collect()
    }
}
