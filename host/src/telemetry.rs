//! Logs: lines on standard error, as text or as JSON. `WEIR_LOG` chooses what is logged (`debug`, `weir_kafka=trace`).
//! Everything that this process says on standard error goes through here, to the one thread that may wait there:
//! log lines, the progress bar, panics, the last error.

/// The progress bar.
mod bar;
/// Fields of text lines.
mod fields;
/// The thread that writes.
mod screen;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write as _};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use tracing_subscriber::EnvFilter;
use weir_core::text::printable_lines;
use weir_core::{Fault, PortError};

pub(crate) use bar::{Bar, Counts};
pub use screen::Screen;

const FILTER_VARIABLE: &str = "WEIR_LOG";
const FILTER_DEFAULT: &str = "info";
/// What no filter is meant for: rdkafka complains of consumers that were closed on purpose (librdkafka's own lines come
/// from another target), and the component tools tell every step of a translation.
const QUIET: &str = "rdkafka=off,wit_component=warn,wit_parser=warn";
/// Before every line but the first of a text.
pub(crate) const INDENT: &str = "    ";
/// How long the end of the process waits for whoever reads the log.
const LAST_WORDS: Duration = Duration::from_secs(1);

static SCREEN: OnceLock<Screen> = OnceLock::new();
/// Lines are JSON; before anything is logged, too.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What comes from now on looks so.
pub(crate) fn choose(format: Format) {
    IS_JSON.store(format == Format::Json, Ordering::Relaxed);
}

/// Whether lines are JSON.
pub(crate) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Starts logging; call it once.
pub fn start(format: Format) -> Result<Screen> {
    choose(format);
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| FILTER_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|error| PortError::new(Fault::Config, error));
    let filter = filter.with_context(|| format!("{FILTER_VARIABLE} is not a filter like info or weir_kafka=debug"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(screen().clone()).with_target(false);
    // A complaint of the subscriber's own would go past the screen.
    let lines = lines.log_internal_errors(false);
    let started = match format {
        Format::Text => lines.fmt_fields(fields::Fields).with_ansi(has_colors()).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| PortError::new(Fault::Bug, error))?;
    Ok(screen().clone())
}

/// Standard error; its thread starts at the first use.
fn screen() -> &'static Screen {
    SCREEN.get_or_init(|| Screen::start(standard_error(), lines_lost))
}

#[expect(clippy::disallowed_methods, reason = "this is where standard error is; only the screen's thread writes to it")]
fn standard_error() -> io::Stderr {
    io::stderr()
}

/// Whether somebody can see standard error.
pub(crate) fn is_seen() -> bool {
    standard_error().is_terminal()
}

/// Whether what is written to standard error may be colored.
pub(crate) fn has_colors() -> bool {
    may_color(&standard_error())
}

/// Whether what is written to `stream` may be colored.
pub(crate) fn may_color(stream: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The last error: as text, or in the format of the log with `fields` beside the message.
pub(crate) fn last_error(text: &str, message: &str, fields: Map<String, Value>) {
    let line = if is_json() { json_line("ERROR", message, fields) } else { text.to_owned() };
    say(&line);
}

/// What must not be lost while there is any way to say it.
fn say(line: &str) {
    if screen().is_served() {
        screen().last_line(line.as_bytes());
    } else {
        drop(standard_error().write_all(line.as_bytes()));
    }
}

/// Waits until everything is said, or until nobody seems to listen. Call it before the process ends.
pub(crate) fn settle() {
    settle_within(LAST_WORDS);
}

/// The same where the process must be gone in time.
pub(crate) fn settle_within(patience: Duration) {
    if let Some(screen) = SCREEN.get() {
        screen.settle(patience);
    }
}

/// A panic is said like everything else. The hook of the standard library would wait for whoever reads, and the thread
/// that panicked would never reach those who wait for it.
pub(crate) fn watch_panics() {
    std::panic::set_hook(Box::new(|panic| say(&panicked(panic))));
}

fn panicked(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current().name().unwrap_or("without a name").to_owned();
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message = panic.payload_as_str().unwrap_or("(no message)");
    // Asked for with RUST_BACKTRACE.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    if is_json() {
        let fields = [("thread", json!(thread)), ("place", json!(place)), ("backtrace", json!(backtrace))];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        return json_line("ERROR", &format!("panicked: {message}"), fields);
    }
    let message = printable_lines(message, INDENT);
    format!("thread {thread} panicked at {place}: {message}\n{}", backtrace.unwrap_or_default())
}

/// How the loss of lines is said.
fn lines_lost(lines: u64) -> String {
    const MESSAGE: &str = "log lines were lost: they could not be written, or nobody read them in time";
    if is_json() {
        return json_line("WARN", MESSAGE, Map::from_iter([("lines".to_owned(), lines.into())]));
    }
    format!("{}  WARN {MESSAGE} lines={lines}\n", now())
}

/// A line as the subscriber makes them, in its order.
fn json_line(level: &str, message: &str, fields: Map<String, Value>) -> String {
    let head = [("timestamp", now().into()), ("level", level.into()), ("message", message.into())];
    let head = head.into_iter().map(|(name, value): (&str, Value)| (name.to_owned(), value));
    let fields: Vec<String> =
        head.chain(fields).map(|(name, value)| format!("{}:{value}", Value::from(name))).collect();
    format!("{{{}}}\n", fields.join(","))
}

fn now() -> String {
    humantime::format_rfc3339_micros(weir_machine::wall()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_is_one_line_and_keeps_numbers() {
        let fields = Map::from_iter([("exit_code".to_owned(), 2.into())]);
        let line = json_line("ERROR", "a\nb\x1b", fields);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.starts_with("{\"timestamp\":\"") && line.ends_with(",\"exit_code\":2}\n"), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["level"], &value["message"]), (&json!("ERROR"), &json!("a\nb\x1b")));
        assert_eq!(value["exit_code"], json!(2));
        assert!(value["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
