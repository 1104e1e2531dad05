//! The loops of the tasks. Each has its own named thread; all look the same: signals, then one element, then again.

/// Timestamps that a plugin is asked for.
mod asked;
/// What the node of a task asks of the attempt.
pub(crate) mod driver;
/// The operators of one thread, and where their output goes.
pub(crate) mod flow;
/// The loop of an operator task.
pub(crate) mod operate;
/// The loop of the sink task.
pub(crate) mod sink;
/// The loop of the source task.
pub(crate) mod source;
/// The event time of a source.
pub(crate) mod stamp;
/// How far the time of a task has come.
pub(crate) mod told;
/// A record that the source cannot give.
pub(crate) mod unreadable;
/// What operators wait for in processing time.
mod wake;
