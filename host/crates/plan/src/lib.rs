//! `plan`: the one graph of a job, and what runs where. Pure: no I/O, no clock, no thread.
//!
//! ```text
//! pipeline file + plugins' descriptions ─▶ Graph ─ layout ─▶ Layout ─▶ validate prints it, runtime wires it, API shows it
//!              nodes with named ports, edges ┘                └ stages (nodes that share a thread), exchanges, routes
//! ```
//!
//! Nobody else decides which nodes share a thread: whoever wants to know asks [`layout()`].

/// What is different between two graphs.
pub mod diff;
/// Nodes, ports and edges.
pub mod graph;
/// The key groups of each task.
pub mod key_groups;
/// Which nodes share a thread, and who sends to whom.
pub mod layout;
/// Nodes in the order in which records pass them.
pub mod order;
/// A layout by names.
pub mod shown;

pub use diff::{Change, diff};
pub use graph::{Edge, Error, Graph, Kind, Node, NodeId, OperatorNode, Port, Ship};
pub use key_groups::key_groups;
pub use layout::{Exchange, Join, Layout, Route, Stage, Task, layout};
pub use shown::{Shown, ShownEdge, ShownTask};
