//! The loops of the tasks. Each has its own named thread; all look the same: signals, then one element, then again.

/// The operators of one thread, and where their output goes.
pub(crate) mod flow;
/// Batches that outlive their attempt, where a test asks for it.
mod kept;
/// The loop of an operator task.
pub(crate) mod operate;
/// One operator: slots, state, the call, its effects, and what happens to a bad record.
pub(crate) mod operator;
/// The headers `weir.origin.*`.
pub(crate) mod origin;
/// How long records take.
pub(crate) mod pace;
/// The loop of the sink task.
pub(crate) mod sink;
/// The loop of the source task.
pub(crate) mod source;
/// A record that the source cannot give.
pub(crate) mod unreadable;
