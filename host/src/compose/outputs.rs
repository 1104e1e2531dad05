//! Outputs that nothing reads: said at the start, and counted while the job runs.

use std::fmt;

use weir_plan::{Graph, Kind, Port};

/// An output whose records go nowhere.
#[derive(Debug)]
pub(super) struct Unread {
    /// The operator's name.
    pub operator: String,
    /// The output's name.
    pub output: String,
    is_first: bool,
    /// `--to` speaks of the operator of a job that flags describe.
    is_only: bool,
}

/// Every output that nothing reads.
pub(super) fn unread(graph: &Graph) -> Vec<Unread> {
    let operators = graph.nodes().iter().filter(|node| matches!(node.kind, Kind::Operator(_))).count();
    let named = |Port { node, port }| {
        let node = graph.node(node)?;
        let (operator, output) = (node.name.clone(), node.output_name(port));
        Some(Unread { operator, output, is_first: port == 0, is_only: operators == 1 })
    };
    graph.unread().filter_map(named).collect()
}

impl Unread {
    /// The warning where nothing else names the output.
    pub(super) fn named(&self) -> String {
        format!("output {} of {}: {self}", self.output, self.operator)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operator, output, is_first, is_only } = self;
        f.write_str("nothing reads this output: its records are dropped; give ")?;
        match (is_only, is_first) {
            (false, _) => f.write_str("")?,
            (true, true) => f.write_str("--to ADDR, or ")?,
            (true, false) => write!(f, "--to {output}=ADDR, or ")?,
        }
        match is_first {
            true => write!(f, "a sink with inputs = [{operator:?}]"),
            false => write!(f, "a sink with inputs = [\"{operator}.{output}\"]"),
        }
    }
}
