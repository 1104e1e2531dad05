//! SwapBench: how long the committed output of a stateful operator stands still when another version takes over under load,
//! and whether that costs a record. What is measured, and how others can, is in `host/docs/swapbench.md`.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{self, plugin};
use weir_tests::judge::judge_count;

use crate::contender::{System, Task};
use crate::paced::{Pace, Paced, STATE_KEY, fill_state, observe};
use crate::table::Values;
use crate::{Size, say};

/// 50,000 records a second.
const PACE: Pace = Pace { per_ms: 50, interval_ms: 100, api: true };
/// A pause is looked for from the question on, for so long at least.
const WINDOW: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(300);

/// A line for each size of the state.
pub(crate) fn run(broker: &Broker, size: &Size) -> Result<()> {
    say(&format!("\nSwapBench: {} swaps of count at 50,000 records/s, ms", size.swaps))?;
    say("state          pause p50    p99   most   usual gap p50    p99   lost   duplicated")?;
    for bytes in size.swap_states {
        let state = TempDir::new()?;
        let keys = bytes / STATE_KEY as u64;
        observe(
            broker,
            System::Wasm,
            "count",
            PACE,
            |task| fill_state(broker, task, &state, keys),
            |paced| swap_and_judge(paced, &state, *bytes, size.swaps),
        )?;
    }
    Ok(())
}

fn swap_and_judge(paced: &Paced<'_>, state: &TempDir, bytes: u64, swaps: usize) -> Result<()> {
    let running = paced.task.start(paced.broker, state)?;
    paced.first_after(Duration::ZERO)?;
    paced.collect(Duration::from_secs(3), |_| {})?;
    // Warm: both versions were compiled once.
    let files = [plugin("recount")?, plugin("count")?];
    for file in &files {
        swap(state, file)?;
    }
    let (mut usual, mut pauses) = (Values::default(), Values::default());
    for at in 0..swaps {
        usual.add(ms(paced.longest_gap(until(WINDOW, || true))?));
        let file = files.get(at % 2).context("a file")?;
        let gap = thread::scope(|scope| {
            let swapping = scope.spawn(|| swap(state, file));
            let gap = paced.longest_gap(until(WINDOW, || swapping.is_finished()));
            swapping.join().ok().context("a panic")??;
            gap
        })?;
        pauses.add((ms(gap) - usual.median()).max(0.0));
    }
    running.signal(Signal::SIGTERM)?;
    running.wait(PATIENCE)?.expect(0)?;
    paced.stop_writing();
    let rest = Task { bounded: true, ..paced.task.clone() }.start(paced.broker, state)?;
    rest.wait(PATIENCE)?.expect(0)?;
    let verdict = judge_count(paced.broker, paced.task.from, paced.task.to)?;
    say(&format!(
        "{:>6} MB      {:>8.0} {:>6.0} {:>6.0} {:>14.0} {:>6.0} {:>7} {:>11}",
        bytes / 1_000_000,
        pauses.quantile(0.5),
        pauses.quantile(0.99),
        pauses.max(),
        usual.quantile(0.5),
        usual.quantile(0.99),
        verdict.lost,
        verdict.duplicated
    ))?;
    ensure!(verdict.is_exact(), "{verdict}");
    Ok(())
}

/// True once `time` has passed and `done` says so.
fn until(time: Duration, done: impl Fn() -> bool) -> impl FnMut() -> bool {
    let end = Instant::now() + time;
    move || Instant::now() >= end && done()
}

/// Has `file` take over.
fn swap(state: &TempDir, file: &str) -> Result<()> {
    let state = state.path().display().to_string();
    host::run(&["swap", "operator", file, "--state-dir", &state], PATIENCE)?.expect(0)?;
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
