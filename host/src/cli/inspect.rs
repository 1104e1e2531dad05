//! `host inspect`: what a plugin is, what a state directory holds.

/// What is said of a state directory.
mod state;
/// Stored bytes as what they are.
mod typed;

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Map, Value};
use weir_core::ports::{TableKind, WINDOW_LISTS};
use weir_core::text::printable_json;
use weir_core::{Fault, PortError};

use super::cluster::ClusterArgs;
use super::engine::EngineArgs;
use crate::compose::directory::{self, NamedEntry, Survey};
use crate::compose::operators::WasmOperators;
use crate::{exit, telemetry};

/// What `host inspect` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A plugin, or the state directory of a job, running or not
    #[arg(value_name = "FILE.wasm|STATE-DIR")]
    what: PathBuf,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// Print what is known as JSON
    #[arg(long)]
    json: bool,
    /// Print the keyed state instead: one line of JSON per value, {"operator", "table", "key", "value"}, of a list also
    /// its "index", of a map its "entry"; a value is what its table's schema says, else, like a key, a text, or {"base64"}
    /// where it is no UTF-8
    #[arg(long, conflicts_with = "json")]
    entries: bool,
}

/// A directory holds state, anything else is a plugin; of what is not there the name says what it was meant to be.
pub(super) fn execute(args: &Args) -> Result<ExitCode> {
    let brokers = args.cluster.brokers()?;
    telemetry::start(telemetry::Format::Text)?;
    let is_named_so = || args.what.extension().is_some_and(|extension| extension == "wasm");
    if !args.what.is_dir() && (args.what.exists() || is_named_so()) {
        if args.entries || brokers.is_some() {
            let what = args.what.display();
            let text =
                format!("{what} is a plugin, which has no state: --entries and --brokers are for a state directory");
            return Err(PortError::new(Fault::Config, text).into());
        }
        return plugin(args);
    }
    if args.entries {
        return entries(args);
    }
    let survey = Survey::of(&args.what, brokers.as_ref())?;
    if args.json {
        super::print_json(&format!("{:#}", state::json(&survey)))?;
    } else {
        super::print(&state::text(&survey))?;
    }
    Ok(state::code(&survey))
}

/// A plugin that this host refuses is shown all the same, with the reason, and the exit code says so.
fn plugin(args: &Args) -> Result<ExitCode> {
    let inspection = WasmOperators::new(&args.engine.cache())?.inspect(&args.what)?;
    if args.json {
        let json = serde_json::to_string_pretty(&inspection).map_err(|error| PortError::new(Fault::Bug, error))?;
        super::print_json(&json)?;
    } else {
        super::print(&inspection.to_string())?;
    }
    Ok(if inspection.refused.is_none() { ExitCode::SUCCESS } else { exit::USAGE.into() })
}

fn entries(args: &Args) -> Result<ExitCode> {
    let mut stdout = BufWriter::new(super::stdout()?);
    directory::entries(&args.what, args.cluster.brokers()?.as_ref(), |entry| {
        let NamedEntry { operator, table, schema, kind, key, entry, expires_ms, value } = entry;
        // What all tasks have is under no key.
        let key = (kind != TableKind::Broadcast).then(|| ("key", typed::any(key)));
        let facts = [("operator", operator.into()), ("table", table.into())].into_iter().chain(key);
        let which = entry.and_then(|entry| typed::entry(kind, schema, entry));
        let value = match kind {
            TableKind::Window if table == WINDOW_LISTS => typed::list(value),
            _ => typed::value(schema, value),
        };
        let expires = expires_ms.map(|ms| ("expires", ms.into()));
        let facts = facts.chain(which).chain(expires).chain([("value", value)]);
        let line: Map<String, Value> = facts.map(|(name, fact)| (name.to_owned(), fact)).collect();
        let line = Value::from(line).to_string();
        Ok(writeln!(stdout, "{}", printable_json(&line)).map_err(super::stdout_failed)?)
    })?;
    stdout.flush().map_err(super::stdout_failed)?;
    Ok(ExitCode::SUCCESS)
}
