//! `host`: the command line of Weir and its composition root. The binary is a few lines around this library; the
//! benchmark composes the same job with native operators.

/// The command line: one file a verb.
pub mod cli;
/// From a plan to a job; the only file that names concrete adapters.
pub mod compose;
/// Exit codes, and which error has which.
pub mod exit;
/// The progress bar of bounded runs.
mod progress;
/// The API's thread.
mod serve;
/// SIGINT and SIGTERM.
mod signals;
/// Logs of the process.
pub mod telemetry;
/// The job as the API shows it.
mod view;
