//! `host dead-letters replay`: the records of letters go back to where they came from.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use weir_core::{Fault, PortError, SplitState, letter};
use weir_pipeline::units::Span;

use super::{FilterArgs, TopicArgs};
use crate::cli::print;
use crate::compose::letters::{Letter, LetterTopic, Resending, Spot, Target};

/// How often it is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What `host dead-letters replay` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    topic: TopicArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Send them to this topic instead, each to the partition of its key
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// With --all: also what an earlier --all has sent
    #[arg(long, requires = "all")]
    again: bool,
    /// Say what would be sent where, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// How long it may take: the time-out of its transaction; a broker allows 15 minutes unless it says otherwise
    #[arg(long, value_name = "TIME", default_value = "1min")]
    transaction_timeout: Span,
}

/// Which letters.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct ChoiceArgs {
    /// These, by where they stand
    #[arg(long, value_name = "PARTITION:OFFSET,..", value_delimiter = ',')]
    offsets: Vec<Spot>,
    /// All that are there now
    #[arg(long)]
    all: bool,
}

/// How many go where, and how many nowhere.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    to: BTreeMap<String, u64>,
    derived: u64,
    due: u64,
    foreign: u64,
    found: Vec<Spot>,
}

/// What becomes of a letter.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It goes to this topic, and there to the partition that is named, or the one of its key.
    To(String, Option<String>),
    /// It stands in no topic as it is.
    Derived,
    /// There is no record.
    Due,
    /// It does not say where it came from.
    Foreign,
}

/// Counts first, so that all targets are known before the first record is sent.
pub(super) fn execute(args: &Args) -> Result<ExitCode> {
    let topic = args.topic.open()?;
    if args.to.as_deref() == Some(topic.name()) {
        let reason = "--to is the topic of the letters itself: they would be no letters any more; name another";
        return Err(PortError::new(Fault::Config, reason).into());
    }
    let part = topic.all()?;
    let part = if args.goes_on() { topic.rest(part)? } else { part };
    let tally = args.count(&topic, part.clone())?;
    args.check_found(&tally)?;
    if args.dry_run || tally.to.is_empty() {
        print(&tally.text(if args.dry_run { "would be sent" } else { "sent" }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let sending = topic.resend(tally.to.keys().cloned().collect(), args.transaction_timeout.0, &part)?;
    let (tally, sending, rest) = args.send(&topic, sending, part)?;
    sending.commit(&rest, args.moves_mark())?;
    print(&tally.text("sent"))?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn takes(&self, letter: &Letter<'_>) -> bool {
        (self.choice.all || self.choice.offsets.contains(&letter.spot)) && self.filter.takes(letter)
    }

    /// Whether it is all that it sends, and to where it came from.
    fn moves_mark(&self) -> bool {
        self.choice.all && self.filter.is_open() && self.to.is_none()
    }

    /// Whether it begins behind what was sent before.
    fn goes_on(&self) -> bool {
        self.moves_mark() && !self.again
    }

    fn count(&self, topic: &LetterTopic, part: Vec<SplitState>) -> Result<Tally> {
        let mut tally = Tally::default();
        topic.read(part, |letter| {
            if self.takes(&letter) {
                tally.add(&letter, &fate(&letter, self.to.as_deref()), !self.choice.all);
            }
            Ok(())
        })?;
        Ok(tally)
    }

    /// Who names letters means letters that are there.
    fn check_found(&self, tally: &Tally) -> Result<()> {
        let missing = self.choice.offsets.iter().find(|spot| !tally.found.contains(spot));
        let missing = missing.filter(|_| self.filter.is_open());
        missing.map_or(Ok(()), |spot| {
            let reason = format!("topic {:?} has no letter at {spot}; nothing was sent", self.topic.topic);
            Err(PortError::new(Fault::Config, reason).into())
        })
    }

    /// Gives the part that was read, too.
    fn send(
        &self,
        topic: &LetterTopic,
        mut sending: Resending,
        part: Vec<SplitState>,
    ) -> Result<(Tally, Resending, Vec<SplitState>)> {
        // Somebody else may have sent them meanwhile.
        let part = if self.goes_on() { sending.rest(part) } else { part };
        let (mut tally, mut told) = (Tally::default(), weir_machine::now());
        topic.read(part.clone(), |letter| {
            if !self.takes(&letter) {
                return Ok(());
            }
            let fate = fate(&letter, self.to.as_deref());
            tally.add(&letter, &fate, false);
            if let Fate::To(topic, partition) = &fate {
                sending.send(letter, Target { topic, partition: partition.as_deref() })?;
            }
            if weir_machine::since(told) >= TELL_EVERY {
                told = weir_machine::now();
                tracing::info!(letters = sending.sent(), "sending; none can be read before all are sent");
            }
            Ok(())
        })?;
        Ok((tally, sending, part))
    }
}

/// Only a record as it was read can go back to where it was read. What is no letter goes nowhere.
fn fate(letter: &Letter<'_>, to: Option<&str>) -> Fate {
    let text = |name| letter.text(name).map(std::borrow::Cow::into_owned);
    match (text(letter::OF).as_deref(), text(letter::STREAM), text(letter::PARTITION), to) {
        (Some(letter::DUE), ..) => Fate::Due,
        (Some(letter::RECORD | letter::DERIVED), _, _, Some(to)) => Fate::To(to.to_owned(), None),
        (Some(letter::DERIVED), ..) => Fate::Derived,
        (Some(letter::RECORD), Some(topic), Some(partition), None) => Fate::To(topic, Some(partition)),
        _ => Fate::Foreign,
    }
}

impl Tally {
    fn add(&mut self, letter: &Letter<'_>, fate: &Fate, names: bool) {
        match fate {
            Fate::To(topic, _) => *self.to.entry(topic.clone()).or_default() += 1,
            Fate::Derived => self.derived += 1,
            Fate::Due => self.due += 1,
            Fate::Foreign => self.foreign += 1,
        }
        if names {
            self.found.push(letter.spot);
        }
    }

    fn text(&self, what: &str) -> String {
        let mut out = String::new();
        for (topic, letters) in &self.to {
            out.push_str(&format!("{letters} {what} to topic {topic}\n"));
        }
        if self.to.is_empty() {
            out.push_str(&format!("0 {what}\n"));
        }
        for (letters, why) in [
            (
                self.derived,
                "of records that no topic holds as they were: give --to TOPIC where the operator would read them",
            ),
            (self.due, "of windows or timers, which no topic takes"),
            (self.foreign, "that do not say where their records were read from a topic"),
        ] {
            if letters > 0 {
                out.push_str(&format!("{letters} left out: letters {why}\n"));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use weir_core::RecordView;
    use weir_core::frame::encode_headers;

    use super::*;

    #[test]
    fn only_a_record_as_it_was_read_goes_back() {
        let fate_of = |headers: &[(&[u8], &str)], to: Option<&str>| {
            let mut encoded = Vec::new();
            encode_headers(headers.iter().map(|(name, text)| (*name, Some(text.as_bytes()))), &mut encoded);
            let record = RecordView { timestamp_ms: 0, source: 0, key: None, value: None, headers: &encoded };
            fate(&Letter { spot: Spot { partition: 0, offset: 0 }, record }, to)
        };
        let read: [(&[u8], &str); 2] = [(letter::STREAM, "in"), (letter::PARTITION, "3")];
        let of = |of: &'static str| [&read[..], &[(letter::OF, of)]].concat();
        let back = Fate::To("in".to_owned(), Some("3".to_owned()));
        let away = || Fate::To("out".to_owned(), None);
        assert_eq!(fate_of(&of("record"), None), back);
        assert_eq!(fate_of(&of("record"), Some("out")), away());
        assert_eq!(fate_of(&of("derived"), None), Fate::Derived);
        assert_eq!(fate_of(&of("derived"), Some("out")), away());
        assert_eq!(fate_of(&of("due"), Some("out")), Fate::Due);
        assert_eq!(fate_of(&read, Some("out")), Fate::Foreign);
        assert_eq!(fate_of(&[(letter::OF, "record")], None), Fate::Foreign);
    }
}
