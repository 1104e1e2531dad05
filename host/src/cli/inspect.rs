//! `host inspect`: what a plugin is, what a state directory holds.

/// What is said of a state directory.
mod state;

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::cluster::ClusterArgs;
use crate::compose::directory::{self, NamedEntry, Survey};
use crate::{compose, exit, telemetry};

/// What `host inspect` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A plugin, or the state directory of a job, running or not
    #[arg(value_name = "FILE.wasm|STATE-DIR")]
    what: PathBuf,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Print what is known of a state directory as JSON
    #[arg(long)]
    json: bool,
    /// Print the keyed state instead: one line of JSON per value, {"operator", "table", "key", "value"}; key and value
    /// are texts, or {"base64"} where they are no UTF-8
    #[arg(long, conflicts_with = "json")]
    entries: bool,
}

/// What has to do with the directory alone is refused for a plugin.
pub(super) fn execute(args: &Args) -> Result<ExitCode> {
    let brokers = args.cluster.brokers()?;
    let is_state = args.what.is_dir() || args.json || args.entries || brokers.is_some();
    if !is_state {
        return plugin(&args.what);
    }
    telemetry::start(telemetry::Format::Text)?;
    if args.entries {
        return entries(args);
    }
    let survey = Survey::of(&args.what, brokers.as_ref())?;
    let text = if args.json { format!("{:#}\n", state::json(&survey)) } else { state::text(&survey) };
    super::print(&text)?;
    Ok(state::code(&survey))
}

/// A plugin that this host refuses is shown all the same, with the reason, and the exit code says so.
fn plugin(file: &Path) -> Result<ExitCode> {
    let (text, runs) = compose::inspect_plugin(file)?;
    super::print(&text)?;
    Ok(if runs { ExitCode::SUCCESS } else { exit::USAGE.into() })
}

fn entries(args: &Args) -> Result<ExitCode> {
    let mut stdout = BufWriter::new(super::stdout()?);
    directory::entries(&args.what, args.cluster.brokers()?.as_ref(), |entry| {
        let NamedEntry { operator, table, key, value } = entry;
        let line = json!({"operator": operator, "table": table, "key": readable(key), "value": readable(value)});
        Ok(writeln!(stdout, "{line}").map_err(super::stdout_failed)?)
    })?;
    stdout.flush().map_err(super::stdout_failed)?;
    Ok(ExitCode::SUCCESS)
}

/// Text where it is UTF-8.
fn readable(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({"base64": BASE64_STANDARD.encode(bytes)}),
    }
}
