//! `host run`: a plan, its surroundings (signals, API, progress), and the job on this thread.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use weir_pipeline::{Plan, show};
use weir_runtime::Summary;

use super::consent::ConsentArgs;
use super::engine::{EngineArgs, Loader};
use super::pipeline::PipelineArgs;
use crate::compose::operators::{self, LoadOperator, Loaded};
use crate::compose::traces::Traces;
use crate::compose::{self, Wishes};
use crate::progress::{Copying, Progress};
use crate::serve::{self, Serving};
use crate::signals::Signals;
use crate::telemetry::Screen;
use crate::{exit, telemetry};

/// What `host run` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// Begin with the state of a savepoint, if the state directory is empty; one that began so before goes on. Under
    /// another --job the savepoint is the beginning of a new job
    #[arg(long, value_name = "DIR")]
    from_savepoint: Option<PathBuf>,
    #[command(flatten)]
    consent: ConsentArgs,
    /// At the end, however it comes, event time ends: every window and timer fires that waits for a later time. What is
    /// read later begins new windows. (Standard input, files and counted generators end time when they end)
    #[arg(long)]
    drain: bool,
    /// Have a plugin take over whenever its file changes, as `host swap` does
    #[arg(long)]
    watch: bool,
    /// How log lines on standard error look; what is logged is chosen by the environment variable WEIR_LOG
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = telemetry::Format::Text)]
    log_format: telemetry::Format,
}

/// Runs a job to its end.
pub(super) fn execute(args: Args, loader: impl Loader) -> Result<ExitCode> {
    // Before anything can be wrong, so that it is said in the format that was asked for.
    let screen = telemetry::start(args.log_format)?;
    let loader = || loader(&args.engine.cache());
    let plan = args.pipeline.plan(loader)?;
    let signals = Signals::listen().context("failed to listen for signals")?;
    // The port is taken, and answers, before the job is touched: an address that cannot be had changes nothing, and
    // whoever asks meanwhile is told that the job is starting.
    let api = serve::start(&plan, &screen, &signals)?;
    announce(&plan, &api);
    signals.leave_until_there_is_a_job(plan.is_bounded());
    // Plugins may take long to compile, so only now; but what they refuse is refused before a directory or Kafka is
    // touched.
    let loader = loader()?;
    let loaded = operators::load(&plan, loader.as_ref())?;
    if args.watch {
        crate::watch::start(&plan, api.control())?;
    }
    let mut traces = Traces::before(&plan);
    let began = weir_machine::now();
    let wishes = Wishes { consent: args.consent.into(), drains: args.drain };
    let from = (args.from_savepoint.as_deref(), wishes);
    let outcome = start(&plan, from, (loaded, loader), (&screen, &signals, &api), &mut traces);
    drop(api);
    let summary = outcome.inspect_err(|error| traces.remove(exit::fault(error)))?;
    log_summary(&plan, &summary, began);
    let code = exit::finished(plan.is_bounded() && summary.stopped, signals.first());
    if !summary.flushed {
        // The disk is slow or hangs: everything is committed, and nothing is waited for.
        exit::leave(code);
    }
    Ok(code.into())
}

/// Restores what is to be restored, and runs the job to its end.
fn start(
    plan: &Plan,
    (savepoint, wishes): (Option<&Path>, Wishes),
    (loaded, loader): (Loaded, Arc<dyn LoadOperator>),
    (screen, signals, api): (&Screen, &Signals, &Serving),
    traces: &mut Traces,
) -> Result<Summary> {
    if let Some(savepoint) = savepoint {
        let mut copying = Copying::start(screen);
        let mut progress = |done, total| copying.show(done, total);
        traces.has_restored = compose::savepoint::restore(plan, savepoint, &mut progress)?;
    }
    let shown = loaded.shown();
    let composed = compose::compose(plan, wishes, loaded, loader)?;
    let handle = composed.handle();
    api.show(handle.clone(), (shown, composed.shelf()));
    composed.tell_address(api.address());
    let stop = handle.clone();
    signals.on_stop(move || stop.stop());
    let progress = Progress::start(screen, plan, handle.clone())?;
    let outcome = composed.run();
    drop(progress);
    traces.has_begun = handle.status().attempt.is_some();
    Ok(outcome?)
}

/// What starts, in one line: with it everybody knows what to pass to `inspect`, `reset` and `txn abort`, and what to
/// write into an ACL.
fn announce(plan: &Plan, api: &Serving) {
    tracing::info!(
        job = %plan.job,
        group = compose::group(plan).map(tracing::field::display),
        state = show::state(plan),
        from = show::source(plan),
        to = show::sinks(plan),
        delivery = %plan.delivery,
        api = api.address().map_or_else(|| "off".to_owned(), |address| address.to_string()),
        "starting"
    );
}

fn log_summary(plan: &Plan, summary: &Summary, began: Instant) {
    tracing::info!(
        job = %plan.job,
        epoch = summary.epoch.0,
        read = summary.records_read,
        written = summary.records_written,
        restarts = summary.restarts,
        // In steps of 0.1 s.
        seconds = (weir_machine::since(began).as_secs_f64() * 10.0).round() / 10.0,
        "{}", if summary.stopped { "stopped" } else { "done" }
    );
}
