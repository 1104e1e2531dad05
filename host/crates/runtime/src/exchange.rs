//! How elements travel between tasks.

/// What a task may have under way.
pub(crate) mod credit;
/// What leaves a task, and to whom.
pub(crate) mod edge;
/// A task's bounded input, one queue per sending task.
pub(crate) mod inbox;
/// Which task a record goes to.
pub(crate) mod partitioner;
