//! `host validate`: the plan, without running it.

use std::process::ExitCode;

use anyhow::Result;
use weir_core::text::printable_lines;
use weir_pipeline::{Plan, show};

use super::pipeline::PipelineArgs;
use crate::compose::{self, LoadOperator};

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
pub(super) fn execute(args: Args, loader: impl FnOnce() -> Result<Box<dyn LoadOperator>>) -> Result<ExitCode> {
    let plan = args.pipeline.plan()?;
    compose::check_clients(&plan)?;
    if args.dot {
        super::print(&show::dot(&plan))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = show::text(&plan);
    text.extend(warnings(&plan, loader)?.iter().map(|warning| format!("warning: {warning}\n")));
    // The file may be somebody else's, and this is read on a terminal.
    super::print(&printable_lines(&text, ""))?;
    Ok(ExitCode::SUCCESS)
}

/// What only the plugins know. A plan can be looked at before they are built; then they say nothing.
fn warnings(plan: &Plan, loader: impl FnOnce() -> Result<Box<dyn LoadOperator>>) -> Result<Vec<String>> {
    match plan.operators.iter().all(|operator| operator.plugin.exists()) {
        true => compose::warnings(plan, loader()?.as_ref()),
        false => Ok(Vec::new()),
    }
}
