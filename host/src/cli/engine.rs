//! The flags of the machine that plugins run on.

use std::sync::Arc;

use anyhow::Result;

use crate::compose::operators::{CodeCache, LoadOperator};

/// Makes what loads operators, with a cache of compiled code.
pub(super) trait Loader: Fn(&CodeCache) -> Result<Arc<dyn LoadOperator>> {}

impl<F: Fn(&CodeCache) -> Result<Arc<dyn LoadOperator>>> Loader for F {}

/// How plugins are compiled.
#[derive(Debug, clap::Args)]
pub(super) struct EngineArgs {
    /// Where compiled plugins are kept for the next start: a directory of this user's alone (it is made so), or off
    /// [default: weir/plugins in the user's cache directory]
    #[arg(long, value_name = "DIR|off")]
    plugin_cache: Option<CodeCache>,
}

impl EngineArgs {
    /// The cache to use.
    pub(super) fn cache(&self) -> CodeCache {
        self.plugin_cache.clone().unwrap_or_default()
    }
}
