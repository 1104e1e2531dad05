//! `host reset`: a job forgets everything, after it was said what that costs.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use weir_core::{Fault, PortError};

use super::cluster::{ClusterArgs, JobArgs};
use crate::compose::reset::Oblivion;
use crate::telemetry;

/// What `host reset` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

/// Says, asks, does.
pub(super) fn execute(args: &Args) -> Result<ExitCode> {
    telemetry::start(telemetry::Format::Text)?;
    let oblivion = Oblivion::of(&args.job.job, &args.job.dir(), args.cluster.brokers()?.as_ref())?;
    super::print(&oblivion.costs())?;
    if oblivion.is_nothing() {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !confirmed()? {
        super::print("nothing was changed\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    oblivion.carry_out()?;
    super::print("done: the next start is a first start\n")?;
    Ok(ExitCode::SUCCESS)
}

/// Only a terminal can be asked.
fn confirmed() -> Result<bool> {
    if !io::stdin().is_terminal() {
        let text = "there is no terminal to ask on; nothing was changed: give --yes to reset the job";
        return Err(PortError::new(Fault::Config, text).into());
    }
    super::print("reset it? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("failed to read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
