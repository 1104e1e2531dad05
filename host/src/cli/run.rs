//! `host run`: a plan, its surroundings (signals, API, progress), and the job on this thread.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use weir_pipeline::Plan;
use weir_runtime::Summary;

use super::pipeline::PipelineArgs;
use crate::compose::{self, LoadOperator};
use crate::progress::{Copying, Progress};
use crate::signals::Signals;
use crate::{exit, serve, telemetry};

/// What `host run` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Begin with the state of a savepoint, if the state directory is empty; one that began so before goes on. Under
    /// another --job the savepoint is the beginning of a new job
    #[arg(long, value_name = "DIR")]
    from_savepoint: Option<PathBuf>,
    /// How log lines on standard error look; what is logged is chosen by the environment variable WEIR_LOG
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = telemetry::Format::Text)]
    log_format: telemetry::Format,
}

/// Runs a job to its end.
pub(super) fn execute(args: Args, loader: impl FnOnce() -> Result<Box<dyn LoadOperator>>) -> Result<ExitCode> {
    let plan = args.pipeline.plan()?;
    let screen = telemetry::start(args.log_format)?;
    let signals = Signals::listen().context("failed to listen for signals")?;
    // The port is taken before the job is touched: an address that cannot be had changes nothing.
    let api = serve::bind(&plan.api)?;
    let metrics = api.is_some().then(weir_api::metrics::install).transpose()?;
    if let Some(savepoint) = &args.from_savepoint {
        let mut copying = Copying::start(&screen)?;
        compose::savepoint::restore(&plan, savepoint, &mut |done, total| copying.show(done, total))?;
    }
    let composed = compose::compose(&plan, loader()?.as_ref())?;
    let handle = composed.handle();
    let stop = handle.clone();
    signals.on_stop(move || stop.stop());
    let serving = api.zip(metrics).map(|(api, metrics)| api.serve(handle.clone(), metrics)).transpose()?;
    let progress = plan.source.is_bounded().then(|| Progress::start(&screen, handle)).transpose()?.flatten();
    let began = Instant::now();
    let outcome = composed.run();
    drop((progress, serving));
    let summary = outcome?;
    log_summary(&plan, &summary, began);
    Ok(exit::finished(plan.source.is_bounded() && summary.stopped, signals.first()))
}

fn log_summary(plan: &Plan, summary: &Summary, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    tracing::info!(
        job = %plan.job,
        epoch = summary.epoch.0,
        read = summary.records_read,
        written = summary.records_written,
        restarts = summary.restarts,
        seconds = format_args!("{seconds:.1}"),
        "{}", if summary.stopped { "stopped" } else { "done" }
    );
}
