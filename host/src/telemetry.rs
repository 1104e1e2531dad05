//! Logs: lines on standard error, as text or as JSON. `WEIR_LOG` chooses what is logged (`debug`, `weir_kafka=trace`).

use std::io::{self, IsTerminal as _, Write};

use anyhow::{Context as _, Result};
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use weir_core::{Fault, PortError};

const FILTER_VARIABLE: &str = "WEIR_LOG";
const FILTER_DEFAULT: &str = "info";
/// What no filter is meant for: rdkafka complains of consumers that were closed on purpose (librdkafka's own lines come
/// from another target), and the component tools tell every step of a translation.
const QUIET: &str = "rdkafka=off,wit_component=warn,wit_parser=warn";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Standard error, shared by log lines and the progress bar so that neither runs through the other.
#[derive(Debug, Clone)]
pub struct Screen(pub MultiProgress);

/// Starts logging; call it once.
pub fn start(format: Format) -> Result<Screen> {
    let screen = Screen(MultiProgress::new());
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| FILTER_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|error| PortError::new(Fault::Config, error));
    let filter = filter.with_context(|| format!("{FILTER_VARIABLE} is not a filter like info or weir_kafka=debug"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(screen.clone()).with_target(false);
    let started = match format {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| PortError::new(Fault::Bug, error))?;
    Ok(screen)
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Screen {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
