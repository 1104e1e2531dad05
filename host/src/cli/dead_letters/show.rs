//! `host dead-letters show`: one letter, whole.

use std::process::ExitCode;

use anyhow::Result;
use weir_core::frame::NO_TIMESTAMP;
use weir_core::text::{printable, printable_lines};
use weir_core::{Fault, PortError, letter};

use super::{TopicArgs, moment};
use crate::cli::print;
use crate::compose::letters::{Letter, Spot};

/// What `host dead-letters show` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    topic: TopicArgs,
    /// Which letter
    #[arg(value_name = "PARTITION:OFFSET")]
    spot: Spot,
}

/// Prints it.
pub(super) fn execute(args: &Args) -> Result<ExitCode> {
    let topic = args.topic.open()?;
    let mut shown = None;
    if let Some(part) = topic.only(args.spot)? {
        topic.read(part, |letter| {
            shown = Some(text(&letter));
            Ok(())
        })?;
    }
    let missing = || {
        let reason =
            format!("topic {:?} has no letter at {}: `host dead-letters list` shows them", topic.name(), args.spot);
        PortError::new(Fault::Config, reason)
    };
    print(&shown.ok_or_else(missing)?)?;
    Ok(ExitCode::SUCCESS)
}

fn text(letter: &Letter<'_>) -> String {
    let record = &letter.record;
    let mut out = String::new();
    let mut line = |word: &str, text: &str| {
        out.push_str(&format!("{word:<10} {}\n", printable_lines(text, "           ")));
    };
    line("letter", &letter.spot.to_string());
    let said = |name| letter.text(name).unwrap_or_default();
    for (word, name) in [("job", letter::JOB), ("operator", letter::OPERATOR)] {
        line(word, &said(name));
    }
    line("plugin", &format!("{}, digest {}", said(letter::PLUGIN), said(letter::DIGEST)));
    line("time", &moment(letter.number(letter::TIME)));
    line("kind", &said(letter::KIND));
    line("message", &said(letter::MESSAGE));
    line("of", &letter.text(letter::DUE_NAME).or_else(|| letter.origin().map(Into::into)).unwrap_or_default());
    let own_ms = Some(record.timestamp_ms).filter(|ms| *ms != NO_TIMESTAMP);
    line("timestamp", &moment(letter.number(letter::TIMESTAMP).or(own_ms)));
    for (name, value) in record.headers().filter(|(name, _)| !name.starts_with(letter::PREFIX)) {
        line("header", &format!("{}: {}", printable(&String::from_utf8_lossy(name)), bytes(value)));
    }
    line("key", &bytes(record.key));
    line("value", &bytes(record.value));
    out
}

/// Bytes as text, as far as they are one.
fn bytes(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "(null)".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}
