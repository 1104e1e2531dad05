//! `host swap`: another version of an operator takes over in a running job, by the job's API.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use weir_api::model::{self, RefusalKind};
use weir_core::{Fault, JobName, PortError};
use weir_pipeline::units::Span;

use super::cluster::job_name;
use super::pipeline::{ConfigArg, collect_config};
use crate::telemetry;

/// Compiling takes the longest: minutes for what is large on a machine that is busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);

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
    place: PlaceArgs,
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

/// Which running job.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct PlaceArgs {
    /// The job, on this machine: its API is asked where its state directory .weir/JOB says
    #[arg(long, value_name = "NAME", value_parser = job_name)]
    job: Option<JobName>,
    /// The same by its state directory
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The address of the job's API
    #[arg(long, value_name = "HOST:PORT")]
    api: Option<String>,
}

/// Asks for it, and says what came of it.
pub(super) fn execute(args: Args) -> Result<ExitCode> {
    telemetry::start(telemetry::Format::Text)?;
    let api = args.place.address()?;
    let operator = percent(&args.operator);
    let Some(file) = args.plugin else {
        let url = format!("http://{api}/v1/operators/{operator}/rollback");
        let swapped: model::Swapped = ask(&url, "application/json", &[])?;
        return tell(&args.operator, &swapped, "went back to");
    };
    let plugin = std::fs::read(&file).map_err(|error| PortError::new(Fault::Config, error));
    let plugin = plugin.with_context(|| format!("failed to read {}", file.display()))?;
    let Span(probation) = args.probation;
    let mut url = format!("http://{api}/v1/operators/{operator}/swap?probation-ms={}", probation.as_millis());
    if args.dry_run {
        url.push_str("&dry-run=true");
    }
    if !args.config.is_empty() {
        let config = serde_json::Value::Object(collect_config(args.config)?);
        url.push_str(&format!("&config={}", percent(&config.to_string())));
    }
    let swapped = ask(&url, "application/wasm", &plugin);
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

impl PlaceArgs {
    fn address(&self) -> Result<String> {
        let dir = match (&self.api, &self.job, &self.state_dir) {
            (Some(api), _, _) => return Ok(api.clone()),
            (None, Some(job), _) => Path::new(".weir").join(job.as_str()),
            (None, None, dir) => dir.clone().unwrap_or_default(),
        };
        let address = weir_state::address_of(&dir).map_err(|error| PortError::new(Fault::Config, error));
        address
            .with_context(|| format!("no running job says in {} where its API is; give --api HOST:PORT", dir.display()))
    }
}

/// Sends a body, and reads the answer; an answer that refuses is an error with its own exit code.
fn ask<T: DeserializeOwned>(url: &str, content: &str, body: &[u8]) -> Result<T> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_WITHIN)).build();
    let mut request = ureq::Agent::new_with_config(config).post(url).header("content-type", content);
    if !body.is_empty() {
        // What is refused by its head is not sent.
        request = request.header("expect", "100-continue");
    }
    let sent = request.send(body);
    let mut answer =
        sent.map_err(|error| PortError::new(Fault::Transient, error)).context("the job's API does not answer")?;
    let status = answer.status();
    let text = answer.body_mut().read_to_string().context("the job's API did not answer to the end")?;
    if status.is_success() {
        return serde_json::from_str(&text).context("the job's API answered something else: is it of another version?");
    }
    let (fault, why) = match serde_json::from_str::<model::Refusal>(&text) {
        Ok(model::Refusal { kind, error }) => (fault(kind), error),
        Err(_) => (Fault::Config, text.trim().to_owned()),
    };
    Err(PortError::new(fault, why).into())
}

fn fault(kind: RefusalKind) -> Fault {
    match kind {
        RefusalKind::Unknown | RefusalKind::Unfit => Fault::Config,
        RefusalKind::State => Fault::Corrupt,
        RefusalKind::Conflict | RefusalKind::Failed => Fault::User,
    }
}

/// As a part of an address.
fn percent(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_written_so_that_it_arrives() {
        assert_eq!(percent("a-b_c.d~9"), "a-b_c.d~9");
        assert_eq!(percent("{\"ä\": 1}&x"), "%7B%22%C3%A4%22%3A%201%7D%26x");
    }
}
