//! `connector`: what the rest of Weir has to know of a connector, as one row of a registry ([`Connector`]): how its addresses
//! and tables are read, what is wrong with them, what its sources and sinks can do, and how they are opened.
//!
//! ```text
//! address ─┐                       all nodes of a connector at once
//!          ├─▶ Written (Settings) ─────── Connector::plan ───────▶ PlannedSource, PlannedSink, Cluster ─ open ─▶ ports
//! table ───┘
//! ```
//! `pipeline` and the composition root know rows; which rows there are, only the composition root says. This crate opens
//! nothing, and names no connector.

/// What is wrong with a description, and the closest thing that would be right.
mod error;
/// What is wrong so far.
mod found;
/// The nodes of one connector in a job, and what becomes of them.
mod nodes;
/// Sources and sinks, checked and ready to be opened.
mod planned;
/// All connectors of a host.
mod registry;
/// One connector.
mod row;
/// What a user wrote of a node.
mod settings;

pub use error::{Error, behind, closest, exactly_one};
pub use found::Found;
pub use nodes::{Node, Nodes, Part};
pub use planned::{Abilities, Cluster, Findings, Fixed, JobFacts, Lookout, Place, PlannedSink, PlannedSource, Range};
pub use registry::Registry;
pub use row::{Address, Connector, Kind, LayOver, Scheme, Shared, Side};
pub use settings::{Settings, Written, table};
