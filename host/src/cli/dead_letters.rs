//! `host dead-letters`: records that operators failed on, looked at and sent again.

/// A table of them.
mod list;
/// Back to where they came from.
mod replay;
/// One of them, whole.
mod show;

use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use weir_core::ports::FailureKind;
use weir_core::{Fault, PortError, letter};

use super::cluster::ClusterArgs;
use crate::compose::letters::{Letter, LetterTopic};
use crate::telemetry;

/// What `host dead-letters` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print a table of the newest letters: where each stands, when, in which operator and why its record failed
    List(list::Args),
    /// Print one letter whole: what is known of the failure, headers, key and value
    Show(show::Args),
    /// Send the records of letters back to the topics that they were read from, as they were read
    ///
    /// With one transaction: either all of them can be read there, or none, also where the command is cut short. What --all
    /// has sent no later --all sends again, unless it has --again; a choice by --offsets, --kind or --operator leaves no mark, and
    /// sends what it is told to. Letters stay where they are, until the topic's retention removes them. A window or a timer
    /// that failed, and a record that an operator made of another, cannot go back to a topic; the latter can with --to.
    Replay(replay::Args),
}

/// Which topic.
#[derive(Debug, clap::Args)]
struct TopicArgs {
    /// The topic of dead letters
    #[arg(value_name = "TOPIC")]
    topic: String,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl TopicArgs {
    fn open(&self) -> Result<LetterTopic> {
        let missing = || PortError::new(Fault::Config, "--brokers is missing: dead letters are in Kafka");
        LetterTopic::new(&self.cluster.brokers()?.ok_or_else(missing)?, &self.topic)
    }
}

/// Which letters.
#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Only failures of this kind
    #[arg(long, value_name = "KIND", value_parser = kind())]
    kind: Option<FailureKind>,
    /// Only failures in this operator
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
}

impl FilterArgs {
    fn takes(&self, letter: &Letter<'_>) -> bool {
        let is = |name: &[u8], wanted: Option<&str>| {
            wanted.is_none_or(|wanted| letter.text(name).as_deref() == Some(wanted))
        };
        is(letter::KIND, self.kind.map(FailureKind::word)) && is(letter::OPERATOR, self.operator.as_deref())
    }

    /// Whether it takes every letter.
    fn is_open(&self) -> bool {
        self.kind.is_none() && self.operator.is_none()
    }
}

fn kind() -> impl TypedValueParser<Value = FailureKind> {
    let words = FailureKind::OF_RECORDS.map(FailureKind::word);
    let of = |word: String| FailureKind::OF_RECORDS.into_iter().find(|kind| kind.word() == word);
    PossibleValuesParser::new(words).try_map(move |word| of(word).ok_or("no kind of failure"))
}

/// Does what was asked for.
pub(super) fn execute(args: &Args) -> Result<ExitCode> {
    telemetry::start(telemetry::Format::Text)?;
    match &args.verb {
        Verb::List(args) => list::execute(args),
        Verb::Show(args) => show::execute(args),
        Verb::Replay(args) => replay::execute(args),
    }
}

/// A moment as people write it; empty where nobody said it.
fn moment(ms: Option<i64>) -> String {
    let since = ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
    // What is later than this formatter knows is no moment of a failure.
    let time = since.filter(|since| since.as_secs() < 253_402_300_800).map(|since| UNIX_EPOCH + since);
    time.map(|time| humantime::format_rfc3339_millis(time).to_string()).unwrap_or_default()
}
