//! What one run takes.
//!
//! Time and CPU count from the first output on, so that the start (which is measured elsewhere) does not blur short runs.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use weir_tests::host::{Host, Usage};

pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) records_per_second: f64,
    pub(crate) cpu_seconds_per_million: f64,
    pub(crate) rss_megabytes: f64,
}

/// Measures a program that works off `records` and ends, from when it `has_begun`; does `meanwhile` then.
pub(crate) fn watch(
    records: u64,
    start: impl FnOnce() -> Result<Host>,
    has_begun: impl Fn() -> Result<bool>,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<Run> {
    let spent_before = children_cpu()?;
    let mut host = start()?;
    host.wait_until("output", PATIENCE, |_| has_begun())?;
    let (began, base) = (Instant::now(), host.usage()?);
    let mut peak = base;
    meanwhile()?;
    while !host.is_over()? {
        ensure!(began.elapsed() < PATIENCE, "a run did not end: {}", host.log()?);
        // The last look before the end counts; a process that just ended has no memory to show.
        peak = Usage::of(host.id()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = began.elapsed().as_secs_f64();
    host.wait(PATIENCE)?.expect(0)?;
    let spent = children_cpu()?.saturating_sub(spent_before).saturating_sub(base.cpu);
    Ok(Run {
        records_per_second: records as f64 / took,
        cpu_seconds_per_million: spent.as_secs_f64() * 1e6 / records as f64,
        rss_megabytes: peak.rss_bytes as f64 / 1e6,
    })
}

/// CPU time of all children that ended: exact, where /proc counts in steps.
fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}
