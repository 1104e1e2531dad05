//! `pipeline`: the description of a job, from what a user wrote (flags, a file) to a typed plan that can run. Pure: it
//! reads no file and no clock, starts no thread, and knows no connector: which there are, and what each makes of its nodes, the
//! registry says that it is given ([`weir_connector`]).
//!
//! ```text
//! file ─ read ─▶ Spec ─┐                                 plugins' descriptions ─┐
//!                      ├─ overrides ─▶ Spec ─ validate ─▶ Plan ──────────────────┴─ graph ─▶ weir_plan::Graph
//! flags ───────────────┘
//! ```
//! A file says what is read, what is done and what is written; what it leaves out has a default:
//!
//! ```
//! let file = "version = 1\n[sources.lines]\nstdin = {}\n[operators.up]\nplugin = 'up.wasm'\ninputs = ['lines']\n\
//!             [sinks.out]\ninputs = ['up']\nstdout = {}\n";
//! static CONNECTORS: weir_connector::Registry = weir_connector::Registry::new(&[weir_local::CONNECTORS]);
//! let plan = weir_pipeline::validate(&weir_pipeline::read(file, CONNECTORS)?, CONNECTORS)?;
//! assert_eq!(plan.operators[0].limits.memory_bytes, 64 << 20);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

/// An address, and the output that it is for.
pub mod address;
/// Which delivery a source and its sinks allow.
mod delivery;
/// Event time of a source.
pub mod event_time;
/// Plan and plugins together: the graph of the job.
mod graph;
/// What an operator reads, as written.
pub mod inputs;
/// Topics of dead letters.
mod letters;
/// All that is wrong with a description.
mod mistakes;
/// The name of a job that was given none.
mod name;
/// Names of nodes, and what they lead to.
mod names;
/// Flags, laid over a file or standing alone.
pub mod overrides;
/// Where a file or a flag says what.
mod places;
/// A plan that can run.
pub mod plan;
/// From the text of a file to a spec.
pub mod read;
/// The restart strategy, as written.
pub mod restart;
/// A plan as text and as DOT.
pub mod show;
/// What a user may write, key by key.
pub mod spec;
/// Where the token of the API is kept.
mod token;
/// Durations and sizes as people write them.
pub mod units;
/// From a spec to a plan, or why not.
mod validate;

pub use address::To;
pub use graph::graph;
pub use mistakes::{Draft, Mistakes, settle};
pub use overrides::{Keys, Overrides};
pub use places::Places;
pub use plan::Plan;
pub use read::read;
pub use spec::Spec;
pub use token::TokenFile;
pub use validate::{REPLAY, draft, validate};
pub use weir_connector::{Error, Found};

/// What tests read and write.
#[cfg(test)]
mod samples;
