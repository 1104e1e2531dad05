//! `host inspect`: what a plugin is.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use weir_core::PortError;

use crate::exit;

/// What `host inspect` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plugin
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
}

/// A plugin that this host refuses is shown all the same, with the reason, and the exit code says so.
pub fn execute(args: &Args) -> Result<ExitCode> {
    let inspection = weir_plugin::inspect(&args.file).map_err(PortError::from)?;
    super::print(&inspection.to_string())?;
    Ok(if inspection.description.is_ok() { ExitCode::SUCCESS } else { exit::USAGE.into() })
}
