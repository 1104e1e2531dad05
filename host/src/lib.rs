//! `host`: the command line of Weir and its composition root. The binary is a few lines around this library; the
//! benchmark composes the same job with native operators.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")
)]

/// The allocator.
pub mod allocator;
/// The command line: one file a verb.
pub mod cli;
/// From a plan to a job.
pub mod compose;
/// Every connector.
pub mod connectors;
/// What may be asked of a running job.
mod control;
/// Exit codes, and which error has which.
pub mod exit;
/// Plugins against their golden cases.
mod golden;
/// Whether the files of a job are apart.
mod places;
/// The progress bar of bounded runs.
mod progress;
/// The API's thread.
mod serve;
/// SIGINT and SIGTERM.
mod signals;
/// Logs of the process.
pub mod telemetry;
/// The token of the API.
mod token;
/// The job as the API shows it.
mod view;
/// Plugins whose files change.
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use compose::operators::{CodeCache, LoadOperator};

/// The whole program: does `first`, reads the command line, does what it says, and leaves with the code of
/// [`exit`]. What is said on standard error is out by then, or nobody listens.
pub fn run(
    first: impl FnOnce() -> Result<()>,
    loader: impl Fn(&CodeCache) -> Result<Arc<dyn LoadOperator>>,
) -> ExitCode {
    allocator::give_back_soon();
    telemetry::watch_panics();
    signals::outlive_file_limits();
    let work = || match first().map(|()| cli::read()) {
        Ok(Ok(cli)) => cli.execute(loader).unwrap_or_else(|error| exit::report(&error)),
        Ok(Err(code)) => code,
        Err(error) => exit::report(&error),
    };
    // A panic was said when it happened. It has no code of its own.
    let code = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| exit::FAILED.into());
    telemetry::settle();
    code
}
