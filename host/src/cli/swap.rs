//! `host swap`: another version of an operator takes over in a running job, by the job's API.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use weir_api::model;
use weir_core::{Fault, PortError};
use weir_pipeline::units::Span;

use super::job::{JobArgs, percent};
use super::pipeline::{ConfigArg, collect_config};
use crate::telemetry;

/// What `host swap` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The operator: its name in the pipeline, or `operator` for a job that was started by flags
    #[arg(value_name = "OPERATOR")]
    operator: String,
    /// The plugin that is to take over
    #[arg(value_name = "FILE.wasm", required_unless_present = "rollback", conflicts_with = "rollback")]
    plugin: Option<PathBuf>,
    #[command(flatten)]
    job: JobArgs,
    /// Configure the plugin anew: a key and its value (JSON, or text), or all of a JSON file; repeat it for more [default:
    /// as the version before]
    #[arg(long, value_name = "KEY=VALUE|@FILE", conflicts_with = "rollback")]
    config: Vec<ConfigArg>,
    /// Say whether it could take over, and change nothing
    #[arg(long, conflicts_with = "rollback")]
    dry_run: bool,
    /// For how long the version before waits: it takes over again, on the very records, if the new one traps, takes too
    /// long or too much memory, hands over what is malformed, or fails on a record that would end the job or on more than
    /// one in ten. 0s: not at all
    #[arg(long, value_name = "TIME", default_value = "1min", conflicts_with = "rollback")]
    probation: Span,
    /// Go back to the version before
    #[arg(long)]
    rollback: bool,
}

/// Asks for it, and says what came of it.
pub(super) fn execute(args: Args) -> Result<ExitCode> {
    telemetry::start(telemetry::Format::Text)?;
    let job = args.job.find()?;
    let operator = format!("/v1/operators/{}", percent(&args.operator));
    let Some(file) = args.plugin else {
        let swapped: model::Swapped = job.change(&format!("{operator}/rollback"), "application/json", &[])?;
        return tell(&args.operator, &swapped, "went back to");
    };
    let plugin = std::fs::read(&file).map_err(|error| PortError::new(Fault::Config, error));
    let plugin = plugin.with_context(|| format!("failed to read {}", file.display()))?;
    let Span(probation) = args.probation;
    let mut path = format!("{operator}/swap?probation-ms={}", probation.as_millis());
    if args.dry_run {
        path.push_str("&dry-run=true");
    }
    if !args.config.is_empty() {
        let config = serde_json::Value::Object(collect_config(args.config)?);
        path.push_str(&format!("&config={}", percent(&config.to_string())));
    }
    let swapped = job.change(&path, "application/wasm", &plugin);
    let swapped: model::Swapped = swapped.with_context(|| format!("{} does not take over", file.display()))?;
    tell(&args.operator, &swapped, if args.dry_run { "could go on with" } else { "goes on with" })
}

fn tell(operator: &str, swapped: &model::Swapped, what: &str) -> Result<ExitCode> {
    let model::Swapped { plugin, epoch, paused_ms, took_ms } = swapped;
    let mut text = format!("operator {operator} {what} {} {} ({})", plugin.name, plugin.version, plugin.digest);
    if let (Some(epoch), Some(paused), Some(took)) = (epoch, paused_ms, took_ms) {
        text.push_str(&format!(
            ", from the end of epoch {epoch} on; no task stood still for more than {paused} ms, and it \
                                held after {took} ms"
        ));
    }
    super::print(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
