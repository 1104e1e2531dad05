//! `make bench`: one table from one sitting. The bare client (`pipe`), the host with plugins and, where `native-host` was
//! built, the host with native operators take turns, so that what the machine does meanwhile hits all alike.
//!
//! `bench GROUP` measures one group alone: drain, shapes, windows, shuffle, nexmark, latency, restart,
//! restart-with-state, partitions, swap.
//!
//! `QUICK=1`: fewer and shorter runs, exactly-once only. The figures of a short run are rough.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::broker::Broker;

/// What competes, and how it is started.
mod contender;
/// Drain of a topic that is full: throughput, CPU, memory.
mod drain;
/// What one run takes.
mod measure;
/// At 10,000 records a second: latency, and the way back after kill -9.
mod paced;
/// A thousand partitions.
mod partitions;
/// Tasks, stages and keys.
mod shapes;
/// Windows, ShuffleBench, Nexmark.
mod streams;
/// Another version takes over under load.
mod swap;
/// Medians and ranges.
mod table;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Size {
    records: u64,
    rounds: usize,
    at_least_once: bool,
    paced: Duration,
    kills: usize,
    /// Keyed state at a restart.
    state_bytes: u64,
    stall: Option<Duration>,
    /// Records and keys of a shape.
    shape_records: u64,
    many_keys: u64,
    /// Keyed state under swaps, and how many there are with each.
    swap_states: &'static [u64],
    swaps: usize,
}

const FULL: Size = Size {
    records: 16_000_000,
    rounds: 3,
    at_least_once: true,
    paced: Duration::from_secs(20),
    kills: 10,
    state_bytes: 1_000_000_000,
    stall: Some(Duration::from_secs(15)),
    shape_records: 5_000_000,
    many_keys: 1_000_000,
    swap_states: &[0, 100_000_000, 1_000_000_000, 5_000_000_000],
    swaps: 100,
};

const QUICK: Size = Size {
    records: 2_000_000,
    rounds: 2,
    at_least_once: false,
    paced: Duration::from_secs(6),
    kills: 3,
    state_bytes: 100_000_000,
    stall: None,
    shape_records: 1_000_000,
    many_keys: 250_000,
    swap_states: &[0, 100_000_000],
    swaps: 12,
};

fn main() -> Result<()> {
    let quick = std::env::var_os("WEIR_QUICK").is_some_and(|value| !value.is_empty());
    let size = if quick { QUICK } else { FULL };
    say(&format!("{} on {}", if quick { "short form" } else { "full form" }, machine()))?;
    let broker = Broker::start()?;
    // `bench restart-with-state`: that group alone.
    let only = std::env::args().nth(1);
    type Group = fn(&Broker, &Size) -> Result<()>;
    let groups: [(&str, Group); 10] = [
        ("drain", drain::run),
        ("shapes", shapes::run),
        ("windows", streams::windows),
        ("shuffle", streams::shuffle),
        ("nexmark", streams::nexmark),
        ("latency", paced::latency),
        ("restart", paced::restart),
        ("restart-with-state", paced::restart_with_state),
        ("partitions", partitions::run),
        ("swap", swap::run),
    ];
    let known = only.as_deref().is_none_or(|only| groups.iter().any(|(name, _)| *name == only));
    ensure!(known, "there are the groups {}", groups.map(|(name, _)| name).join(", "));
    for (_, group) in groups.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)) {
        group(&broker, &size)?;
    }
    Ok(())
}

fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    format!("{cpus} CPUs ({}), shared with Kafka", model.trim_start_matches([' ', '\t', ':']))
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
