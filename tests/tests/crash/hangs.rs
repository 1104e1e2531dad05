//! A disk that hangs, as far as a process can be made to meet one: the step that writes does not come back while anybody
//! waits. Whatever was going on then, the process says what it could not do, and is gone; the next one goes on.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use weir_tests::host::{self, Host};
use weir_tests::machine;

const PATIENCE: Duration = Duration::from_secs(60);
/// The 10 s that a stop may take, and a loaded machine.
const STOPS_WITHIN: Duration = Duration::from_secs(12);
/// Each record of the log but the very first, which makes it: the job runs.
const LOG: &str = "log-written=sleep(600000)";
const STORE: &str = "store-half-applied=sleep(600000)";
const STUCK: &str = "error: could not write the epoch log within";

/// A job without an end whose state is in `state`, with `points` armed.
fn start(state: &TempDir, points: &str, more: &[&str]) -> Result<Host> {
    let (plugin, state) = (host::plugin("count")?, state.path().display().to_string());
    let mut args = vec!["run", "--plugin", &plugin, "--from", "generate:sequence?rate=2000&keys=10"];
    args.extend(["--to", "file:/dev/null", "--job", "hangs", "--state-dir", &state, "--api", "off"]);
    args.extend(["--epoch-interval", "50ms"]);
    args.extend(more);
    let mut host = Host::start_program_with(&host::crash_program()?, &args, &[("FAILPOINTS", points)])?;
    host.wait_for_log("running", PATIENCE)?;
    Ok(host)
}

/// The disk answers again.
fn goes_on(state: &TempDir) -> Result<()> {
    let host = start(state, "", &[])?;
    host.signal(Signal::SIGTERM)?;
    host.wait(STOPS_WITHIN)?.expect(0)?;
    Ok(())
}

#[test]
fn a_log_that_hangs_ends_the_process_with_its_error() -> Result<()> {
    let (_machine, state) = (machine::shared(), TempDir::new()?);
    start(&state, LOG, &["--transaction-timeout", "1s"])?.wait(PATIENCE)?.expect(1)?.says(&[STUCK])?;
    goes_on(&state)
}

#[test]
fn a_stop_whose_log_hangs_ends_in_time_and_says_why() -> Result<()> {
    let (_machine, state) = (machine::shared(), TempDir::new()?);
    let host = start(&state, LOG, &[])?;
    host.signal(Signal::SIGTERM)?;
    host.wait(STOPS_WITHIN)?.expect(1)?.says(&[STUCK])?;
    goes_on(&state)
}

#[test]
fn a_stop_whose_store_hangs_ends_well_and_in_time() -> Result<()> {
    let (_machine, state) = (machine::shared(), TempDir::new()?);
    let host = start(&state, STORE, &[])?;
    host.signal(Signal::SIGTERM)?;
    host.wait(STOPS_WITHIN)?.expect(0)?.says(&["everything is committed, but the store was not flushed in time"])?;
    goes_on(&state)
}
