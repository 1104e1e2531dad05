//! `host validate`: the plan, without running it.

use std::process::ExitCode;

use anyhow::Result;
use weir_pipeline::show;

use super::pipeline::PipelineArgs;
use crate::compose;

/// What `host validate` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Print the plan as a graph in the DOT language
    #[arg(long)]
    dot: bool,
}

/// Prints the plan.
pub(super) fn execute(args: Args) -> Result<ExitCode> {
    let plan = args.pipeline.plan()?;
    compose::check_clients(&plan)?;
    super::print(&if args.dot { show::dot(&plan) } else { show::text(&plan) })?;
    Ok(ExitCode::SUCCESS)
}
