//! However many epochs a job commits, the broker knows two transactional ids of it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use weir_tests::broker::free_port;
use weir_tests::host::{self, Host};
use weir_tests::topics;

use crate::lane::Lane;
use crate::scene::unique;

/// The promise is about 10,000 epochs (`make test FULL=1`); nothing depends on the number.
fn epochs() -> u64 {
    if std::env::var_os("WEIR_FULL").is_some_and(|value| !value.is_empty()) { 10_000 } else { 500 }
}

#[test]
fn many_epochs_leave_two_transactional_ids() -> Result<()> {
    let (broker, job, state) = (Lane::broker(), unique("epochs"), TempDir::new()?);
    topics::create(broker, &job, 1, &[])?;
    let (port, plugin, state) = (free_port()?, host::plugin("count")?, state.path().display().to_string());
    let api = format!("127.0.0.1:{port}");
    let mut args = vec!["run", "--plugin", &plugin, "--brokers", broker.bootstrap(), "--job", &job, "--to", &job];
    args.extend(["--from", "generate:sequence?rate=2000", "--state-dir", &state, "--epoch-interval", "5ms"]);
    args.extend(["--api", &api]);
    let mut host = Host::start(&args)?;
    let wanted = epochs();
    host.wait_for_job(port, Duration::from_secs(wanted / 10), |job| job["epoch"].as_u64() >= Some(wanted))?;
    host.signal(Signal::SIGTERM)?;
    host.wait(Duration::from_secs(15))?.expect(0)?;
    let list = broker.tool("org.apache.kafka.tools.TransactionsCommand", &["list"])?;
    let own = format!("weir-{job}-");
    let ids: BTreeSet<&str> = list.split_whitespace().filter(|word| word.starts_with(&own)).collect();
    ensure!(ids.len() == 2, "after {wanted} epochs the broker knows {ids:?}; it lists:\n{list}");
    Ok(())
}
