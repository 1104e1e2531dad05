//! The oracle: proves from outside that a job of the plugin `oracle` is exact, or names what is not.
//!
//! A `Generator` writes (key, sequence) records without pause. A `Watcher` reads the output meanwhile as any
//! read_committed reader would; a `Markers` watches the offsets and markers of the job's group. When the job has
//! stopped, `collect` reads both topics once more and `state::export` the state. `judge` looks at these `Facts`
//! alone, whoever collected them, and gives the `Verdict`.

/// Both topics, read again from the start.
pub mod collect;
/// What is known of a job when it is judged.
mod facts;
/// The input.
mod generator;
/// What the group's metadata says, read without Weir's own code.
mod marker;
/// The exported state.
pub mod state;
/// The judgement.
mod verdict;
/// The concurrent reader.
mod watcher;

pub use facts::{Committed, Entry, Facts, Input, Observation, Output, Sight, chain, fingerprint};
pub use generator::{Generator, Load};
pub use marker::{Marker, Markers};
pub use verdict::{Kind, Verdict, judge};
pub use watcher::Watcher;
