//! `host inspect`: what a plugin is.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::{compose, exit};

/// What `host inspect` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
}

/// A plugin that this host refuses is shown all the same, with the reason, and the exit code says so.
pub(super) fn execute(args: &Args) -> Result<ExitCode> {
    let (text, runs) = compose::inspect_plugin(&args.file)?;
    super::print(&text)?;
    Ok(if runs { ExitCode::SUCCESS } else { exit::USAGE.into() })
}
