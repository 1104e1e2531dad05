//! `make torture`: a job of the plugin `oracle` on a real Kafka, killed, stopped, doubled and starved at every step of the
//! protocol, as seeded schedules say, while the oracle watches. It ends with a table of what was done and the one line
//! that counts. Several lanes work side by side, each with a job of its own: a recovery is mostly waiting. What a job runs is
//! drawn, too: from the seed of the run that begins it.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use weir_tests::broker::Broker;
use weir_tests::host::crash_program;

use crate::lane::Lane;
use crate::schedule::{Place, Schedule};
use crate::seeds::Seeds;
use crate::stage::Stage;

/// What was done, and the table of it.
mod board;
/// A job and its trial.
mod job;
/// One job after the other.
mod lane;
/// A process under test.
mod life;
/// What is waited for.
mod pending;
/// What is done to a job.
mod schedule;
/// Which runs are carried out.
mod seeds;
/// What a job runs.
mod shape;
/// What lanes share.
mod stage;

/// New output must be committed so soon after every fault.
const RECOVER_WITHIN: Duration = Duration::from_secs(30);
/// Longer than the transaction time-out of 4 s and the broker's look-out for those, of 1 s.
const STOPPED_FOR: Duration = Duration::from_millis(5500);
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Tortures a job and proves that nothing is lost, duplicated or divergent.
#[derive(Debug, Parser)]
struct Args {
    /// So many runs; without it, and without a seed, runs until Ctrl-C.
    #[arg(long)]
    runs: Option<u64>,
    /// The seed of the first run, the next run has the next number; alone, repeats the one run of that seed. Several repeat
    /// these runs, one after the other on one job
    #[arg(long, value_delimiter = ',')]
    seed: Vec<u64>,
    /// Jobs side by side.
    #[arg(long, default_value_t = 4)]
    lanes: usize,
    /// Strikes only at these: crash points, `any-moment`, `broker`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Writes the table to this file, too, as markdown.
    #[arg(long)]
    table: Option<PathBuf>,
    /// Shows the schedules and carries out none.
    #[arg(long)]
    show: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    for name in &args.only {
        let known = || Place::all().map(Place::name).collect::<Vec<_>>().join(", ");
        ensure!(Place::all().any(|place| place.name() == name), "there is no place {name:?}; there are {}", known());
    }
    let seeds = Seeds::of(args.seed, args.runs)?;
    if args.show {
        for seed in (0..seeds.runs().unwrap_or(1)).map_while(|number| seeds.get(number)) {
            say(&Schedule::of(seed, &args.only).to_string())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let home = tempfile::Builder::new().prefix("weir-torture-").tempdir()?.keep();
    say(&format!("seed {seeds}; logs and state in {}", home.display()))?;
    let broker = Broker::start_own()?;
    let stage = Arc::new(Stage::new(broker, crash_program()?, home, args.only, seeds));
    end_on_signal(Arc::clone(&stage))?;
    std::thread::scope(|scope| {
        let stage = &*stage;
        let lanes = args.lanes.min(stage.seeds.lanes_max());
        let lanes = (0..lanes).map(|number| scope.spawn(move || work(Lane::new(stage, number), stage)));
        let lanes: Vec<_> = lanes.collect();
        watch(stage, || lanes.iter().all(std::thread::ScopedJoinHandle::is_finished))
    })?;
    finish(&stage, began.elapsed(), args.table.as_deref())
}

/// One run after the other, and a trial at the end.
fn work(mut lane: Lane<'_>, stage: &Stage) {
    let mut last = None;
    while let Some(seed) = stage.next_seed() {
        let schedule = Schedule::of(seed, &stage.only);
        if let Err(error) = lane.play(&schedule) {
            return report(&lane, stage, Some(&schedule), &error);
        }
        stage.board().runs += 1;
        last = Some(schedule);
    }
    if let Err(error) = lane.close() {
        report(&lane, stage, last.as_ref(), &error);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own output")]
fn report(lane: &Lane<'_>, stage: &Stage, schedule: Option<&Schedule>, error: &anyhow::Error) {
    stage.end();
    stage.board().failures += 1;
    let (seeds, home) = lane.whereabouts();
    let mut text = format!("\nFAILED: {error:#}\n");
    if let Some(schedule) = schedule {
        text += &format!("  in {schedule}\n");
    }
    let seeds = Seeds::These(seeds);
    text += &format!("  once more, all that was done to this job: make torture SEED={seeds}\n");
    if let Some(home) = home {
        text += &format!("  logs and state: {}\n", home.display());
    }
    // Nobody may listen; the exit code tells, too.
    let _written = write!(std::io::stderr(), "{text}");
}

/// Shows how far it is until it is `over`.
#[expect(clippy::disallowed_methods, reason = "a test's own output")]
fn watch(stage: &Stage, over: impl Fn() -> bool) -> Result<()> {
    let bar = stage.seeds.runs().map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos} runs, {msg}")?);
    let is_terminal = std::io::stderr().is_terminal();
    let mut told = Instant::now();
    while !over() {
        std::thread::sleep(Duration::from_millis(100));
        let board = stage.board();
        let (runs, effort) = (board.runs, board.effort());
        drop(board);
        bar.set_position(runs);
        bar.set_message(effort.clone());
        if !is_terminal && told.elapsed() > TELL_EVERY {
            told = Instant::now();
            say(&format!("{runs} runs, {effort}"))?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn finish(stage: &Stage, took: Duration, file: Option<&Path>) -> Result<ExitCode> {
    let board = stage.board();
    let table = board.table();
    say(&format!("\nRuns, and seconds from the fault to the first new committed output, p50 / p99\n\n{table}"))?;
    say(&format!("{} in {:.0} s", board.effort(), took.as_secs_f64()))?;
    if let Some(file) = file {
        let text = format!("{table}\n{} in {:.0} s.\n\n`{}`\n", board.effort(), took.as_secs_f64(), board.summary());
        std::fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))?;
    }
    if board.is_exact() {
        std::fs::remove_dir_all(&stage.home)?;
    } else {
        say(&format!("FAILED: logs and state are in {}", stage.home.display()))?;
    }
    say(&board.summary())?;
    Ok(if board.is_exact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ctrl-C ends it in good order, with the trial and the table; the second one at once.
fn end_on_signal(stage: Arc<Stage>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listen = async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if stage.is_over() {
                std::process::exit(130);
            }
            stage.end();
        }
    };
    std::thread::Builder::new().name("torture-signals".into()).spawn(move || runtime.block_on(listen))?;
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
