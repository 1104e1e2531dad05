//! What competes, and how it is started.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{self, Host, plugin, sibling};

/// A system under measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// The bare client.
    Pipe,
    /// The host with native operators.
    Native,
    /// The host with plugins.
    Wasm,
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pipe => "bare client",
            Self::Native => "native",
            Self::Wasm => "wasm",
        })
    }
}

/// What one run is to do.
#[derive(Debug, Clone)]
pub(crate) struct Task<'a> {
    pub(crate) system: System,
    pub(crate) operator: &'a str,
    pub(crate) delivery: &'a str,
    pub(crate) interval_ms: u32,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) bounded: bool,
    /// Whether the host's API listens, on whatever port.
    pub(crate) api: bool,
}

/// `native-host`: as `host`, but runs the native operator that the plugin's file name says. Not everybody builds it.
pub(crate) fn native() -> Option<PathBuf> {
    sibling("native-host").ok()
}

impl Task<'_> {
    /// Starts it; `state` is where the host keeps its state, and the job is named after the output topic.
    pub(crate) fn start(&self, broker: &Broker, state: &TempDir) -> Result<Host> {
        match self.system {
            System::Pipe => Host::start_program(&sibling("pipe")?, &self.pipe_args(broker)),
            System::Native => Host::start_program(&sibling("native-host")?, &self.host_args(broker, state.path())?),
            System::Wasm => Host::start_program(&host::program()?, &self.host_args(broker, state.path())?),
        }
    }

    fn pipe_args(&self, broker: &Broker) -> Vec<String> {
        let name = format!("pipe-{}", self.to);
        let interval = self.interval_ms.to_string();
        let mut args = vec![broker.bootstrap(), self.from, self.to, &name, self.delivery, &interval];
        args.extend(self.bounded.then_some("latest"));
        args.into_iter().map(str::to_owned).collect()
    }

    fn host_args(&self, broker: &Broker, state: &Path) -> Result<Vec<String>> {
        let (plugin, state) = (plugin(self.operator)?, state.display().to_string());
        let interval = format!("{}ms", self.interval_ms);
        let mut args = vec!["run", "--plugin", &plugin, "--brokers", broker.bootstrap(), "--from", self.from];
        let api = if self.api { "127.0.0.1:0" } else { "off" };
        args.extend(["--to", self.to, "--job", self.to, "--state-dir", &state, "--api", api]);
        args.extend(["--delivery", self.delivery, "--epoch-interval", &interval]);
        if self.bounded {
            args.extend(["--until", "latest"]);
        }
        Ok(args.into_iter().map(str::to_owned).collect())
    }
}
