//! `host savepoint`: all state of a stopped job in one directory that can be moved.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use weir_pipeline::units::Size;

use super::cluster::ClusterArgs;
use crate::compose::savepoint;
use crate::progress::Copying;
use crate::telemetry;

/// What `host savepoint` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The state directory of a job that does not run
    #[arg(value_name = "STATE-DIR")]
    state: PathBuf,
    /// A new directory for the savepoint
    #[arg(value_name = "OUT-DIR")]
    out: PathBuf,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Writes it.
pub(super) fn execute(args: &Args) -> Result<ExitCode> {
    let screen = telemetry::start(telemetry::Format::Text)?;
    // What could not be told of is not made.
    drop(super::stdout()?);
    let mut copying = Copying::start(&screen);
    let mut progress = |done, total| copying.show(done, total);
    let written = savepoint::write(&args.state, &args.out, args.cluster.brokers()?.as_ref(), &mut progress);
    drop(copying);
    let written = written?;
    let epoch = written
        .holds()
        .map_or_else(|| "an epoch that the marker will tell".to_owned(), |h| format!("epoch {}", h.epoch));
    super::print(&format!(
        "savepoint of job {} at {epoch}, {}: {out}\nstart from it with: host run .. --from-savepoint {out}\n",
        written.job(),
        Size(written.bytes()),
        out = args.out.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
