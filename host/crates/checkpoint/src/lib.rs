//! `checkpoint`: when an epoch ends, what it commits, and which one holds after a crash. Pure: no I/O, no clock, no
//! thread; time and read-back facts are arguments, decisions are results.

/// When all inputs of a task have reached the same barrier.
pub mod aligner;
/// The life of an epoch as a state machine.
pub mod coordinator;
/// What a job runs: what was asked for, or what an epoch has.
pub mod course;
/// The epochs of an attempt, with all that they write and commit.
pub mod epochs;
/// What took over from what.
pub mod history;
/// What a pipeline goes on with of recorded state.
pub mod inherit;
/// What an epoch commits besides state.
pub mod manifest;
/// The short text beside the committed offsets.
pub mod marker;
/// Which epoch holds, where the pipeline has changed since.
pub mod place;
/// Which epoch holds, or why none can be trusted.
pub mod resolve;
#[cfg(test)]
mod samples;
/// A split that two sources read.
pub mod shared;
/// Which recorded splits a start goes on reading.
pub mod sources;
/// The same as `resolve` for a directory whose pipeline is not known.
pub mod survey;
/// How far event time had come.
pub mod times;

pub use aligner::Aligner;
pub use course::{Course, Wanted};
pub use epochs::{Command, Epochs, Event};
pub use history::Turn;
pub use manifest::{Manifest, OperatorEntry, Plan, PluginEntry, SourceEntry, TableEntry};
pub use marker::Marker;
pub use resolve::{Facts, Refusal, Start, resolve};
pub use shared::{Shared, shared};
pub use times::{SourceTimes, TaskTimes, Times};
