//! `host validate`: the plan, checked down to its plugins, without running it.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use weir_core::ports::PluginDescription;
use weir_core::text::printable_lines;
use weir_core::{Digest, Fault, PortError};
use weir_pipeline::{Plan, show};

use super::engine::{EngineArgs, Loader};
use super::pipeline::PipelineArgs;
use crate::compose::operators::{self, Loaded};
use crate::telemetry;

/// What `host validate` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// Print the plan as a graph in the DOT language
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    /// Print the plan, and what its plugins say of themselves, as JSON
    #[arg(long)]
    json: bool,
}

/// A plan and its plugins, as JSON.
#[derive(Debug, Serialize)]
struct Validated<'a> {
    #[serde(flatten)]
    plan: show::PlanView<'a>,
    /// In the order of the plan's operators.
    plugins: Vec<Plugin<'a>>,
    /// What runs, but hardly as it is meant.
    warnings: Vec<String>,
}

/// The plugin of one operator.
#[derive(Debug, Serialize)]
struct Plugin<'a> {
    operator: &'a str,
    digest: &'a Digest,
    #[serde(flatten)]
    description: &'a PluginDescription,
}

/// Prints the plan. Plugins are loaded and opened with their configuration; neither Kafka nor a directory is touched.
pub(super) fn execute(args: Args, loader: impl Loader) -> Result<ExitCode> {
    telemetry::start(telemetry::Format::Text)?;
    let loader = || loader(&args.engine.cache());
    let plan = args.pipeline.plan(loader)?;
    let loaded = operators::load(&plan, loader()?.as_ref())?;
    if args.json {
        super::print_json(&json(&plan, &loaded)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = if args.dot { show::dot(&plan, loaded.graph()) } else { warned(&plan, &loaded) };
    // The file may be somebody else's, and this is read on a terminal.
    super::print(&printable_lines(&text, ""))?;
    Ok(ExitCode::SUCCESS)
}

fn warned(plan: &Plan, loaded: &Loaded) -> String {
    let warnings = loaded.warnings(plan).into_iter();
    warnings.fold(show::text(plan, loaded.graph()), |text, warning| text + "warning: " + &warning + "\n")
}

fn json(plan: &Plan, loaded: &Loaded) -> Result<String> {
    let plugins = plan.operators.iter().zip(loaded.plugins()).map(|(operator, plugin)| Plugin {
        operator: &operator.name,
        digest: plugin.digest(),
        description: plugin.description(),
    });
    let validated = Validated {
        plan: show::PlanView::of(plan, loaded.graph()),
        plugins: plugins.collect(),
        warnings: loaded.warnings(plan),
    };
    Ok(serde_json::to_string_pretty(&validated).map_err(|error| PortError::new(Fault::Bug, error))?)
}
