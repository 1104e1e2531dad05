//! What partitions cost of which few move: CPU, memory, log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use weir_tests::broker::{Broker, free_port};
use weir_tests::host::{Host, job, plugin};
use weir_tests::topics;

use crate::paced::{bytes_in, write};
use crate::{Size, say};

const RATE_PER_MS: u64 = 1;
const PATIENCE: Duration = Duration::from_secs(60);
/// What a job has committed when it has settled.
const SETTLED: u64 = 20;

/// Measures and prints.
pub(crate) fn run(broker: &Broker, size: &Size) -> Result<()> {
    say("\nCount of 1,000 records/s by partitions, exactly-once, commits each 100 ms")?;
    for partitions in [4, 1_000] {
        let (from, to) = (format!("parted-{partitions}.in"), format!("parted-{partitions}.out"));
        topics::create(broker, &from, partitions, &[])?;
        topics::create(broker, &to, 4, &[])?;
        let over = AtomicBool::new(false);
        let (measured, written) = std::thread::scope(|scope| {
            let pace = scope.spawn(|| write(broker, &from, RATE_PER_MS, Instant::now(), &over));
            let measured = measure(broker, (&from, &to), size.paced);
            over.store(true, Ordering::Relaxed);
            (measured, pace.join())
        });
        written.ok().context("the writer panicked")??;
        let Cost { cpu, rss_bytes, epochs_per_second, log_bytes } = measured?;
        say(&format!(
            "{partitions:>6} partitions   {:>5.1} % of a core   peak RSS {:>4} MB   {epochs_per_second:>4.1} epochs/s   \
             {:>6.1} KB of log each",
            cpu * 100.0,
            rss_bytes / 1_000_000,
            log_bytes / 1000.0
        ))?;
        topics::delete(broker, &from)?;
        topics::delete(broker, &to)?;
    }
    Ok(())
}

/// What a job takes while it runs.
struct Cost {
    /// Seconds of CPU a second.
    cpu: f64,
    rss_bytes: u64,
    epochs_per_second: f64,
    /// Of an epoch.
    log_bytes: f64,
}

fn measure(broker: &Broker, (from, to): (&str, &str), time: Duration) -> Result<Cost> {
    let (plugin, state, port) = (plugin("count")?, TempDir::new()?, free_port()?);
    let (dir, api) = (state.path().display().to_string(), format!("127.0.0.1:{port}"));
    let mut args = vec!["run", "--plugin", &plugin, "--brokers", broker.bootstrap(), "--from", from, "--to", to];
    args.extend(["--state-dir", &dir, "--job", to, "--api", &api, "--epoch-interval", "100ms"]);
    let mut host = Host::start(&args)?;
    host.wait_for_job(port, PATIENCE, |job| job.get("epoch").and_then(Value::as_u64) >= Some(SETTLED))?;
    let look = || -> Result<_> {
        let epoch = job(port)?.get("epoch").and_then(Value::as_u64).context("an epoch")?;
        Ok((Instant::now(), host.usage()?, epoch, bytes_in(&state.path().join("log"))?))
    };
    let (began, used, epoch, logged) = look()?;
    std::thread::sleep(time);
    let (ended, usage, last, log) = look()?;
    host.signal(Signal::SIGTERM)?;
    host.wait(PATIENCE)?.expect(0)?;
    let (seconds, epochs) = ((ended - began).as_secs_f64(), (last - epoch) as f64);
    Ok(Cost {
        cpu: (usage.cpu - used.cpu).as_secs_f64() / seconds,
        rss_bytes: usage.rss_bytes,
        epochs_per_second: epochs / seconds,
        log_bytes: (log - logged) as f64 / epochs,
    })
}
