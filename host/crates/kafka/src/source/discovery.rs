//! The thread that looks around while the fetcher reads: new partitions and topics, topics that are gone, and how far
//! each split could be read. Each has a clock of its own (`clocks.rs`). What must hold before an epoch is committed is not
//! left to a clock: see `gate.rs`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regex::Regex;
use weir_core::{Fault, SplitId, SplitState};
use weir_machine::channel::{Receiver, RecvTimeoutError};

use super::clocks::{Clocks, Look};
use super::handover::Handover;
use super::offsets;
use super::pulse::Pulse;
use super::quiet::Ends;
use crate::admin::{Admin, Topic};
use crate::error::Error;
use crate::ffi::admin::{Isolation, Which};

/// Which topics belong to the source.
#[derive(Debug, Clone)]
pub(super) enum Selection {
    /// These.
    Named(Vec<String>),
    /// Those whose whole name matches, Kafka's own (`__*`) aside.
    Pattern(Regex),
}

impl Selection {
    /// The topics as they are now; a named one that is missing is an error.
    pub(super) fn topics(&self, admin: &Admin) -> Result<Vec<Topic>, Error> {
        match self {
            Self::Named(names) => {
                let topics = admin.topics(names)?;
                match names.iter().find(|name| !topics.iter().any(|t| t.name == **name)) {
                    Some(missing) => Err(Error::SourceMissing { topic: missing.clone() }),
                    None => Ok(topics),
                }
            }
            Self::Pattern(_) => admin.topics(&self.names(admin)?),
        }
    }

    /// Whether a topic of this name belongs to the source.
    pub(super) fn has(&self, topic: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| name == topic),
            Self::Pattern(pattern) => !topic.starts_with("__") && pattern.is_match(topic),
        }
    }

    fn names(&self, admin: &Admin) -> Result<Vec<String>, Error> {
        match self {
            Self::Named(names) => Ok(names.clone()),
            Self::Pattern(_) => Ok(admin.topic_names()?.into_iter().filter(|name| self.has(name)).collect()),
        }
    }
}

/// Since when nobody has answered discovery; for whoever watches the job, since an idle one asks nothing else.
#[derive(Debug, Clone, Default)]
pub(super) struct Silence(Arc<Mutex<Option<Instant>>>);

impl Silence {
    /// When the first of the questions was asked that still have no answer.
    pub(super) fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn unheard(&self, asked: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(asked);
    }
}

pub(super) struct Discovery {
    pub(super) admin: Admin,
    pub(super) selection: Selection,
    /// Every split of the reader, in its order.
    pub(super) known: Vec<SplitState>,
    /// False for a bounded read: what appears later is not part of it.
    pub(super) grows: bool,
    pub(super) interval: Duration,
    pub(super) handover: Arc<Handover>,
    pub(super) ends: Ends,
    pub(super) silence: Silence,
    /// Someone wants a look now: the fetcher met an unknown topic, or the reader is gone.
    pub(super) nudges: Receiver<()>,
    pub(super) pulse: Pulse,
}

impl Discovery {
    /// Looks around until the reader is gone or a topic is not what it was.
    pub(super) fn run(mut self) {
        let mut clocks = Clocks::new(weir_machine::now(), self.grows);
        let mut was_missing = false;
        loop {
            self.pulse.ask();
            if let Err(error) = self.look_when_due(&mut clocks, &mut was_missing) {
                return self.handover.fail(error);
            }
            self.ask_for_ends_when_due(&mut clocks);
            self.pulse.rest();
            match self.nudges.recv_timeout(clocks.pause(weir_machine::now())) {
                Ok(()) => clocks.hurry(weir_machine::now()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.handover.is_closed() {
                return;
            }
        }
    }

    /// An error is one that does not pass.
    fn look_when_due(&mut self, clocks: &mut Clocks, was_missing: &mut bool) -> Result<(), Error> {
        let asked = weir_machine::now();
        let Some(look) = clocks.due(asked) else { return Ok(()) };
        let looked = self.look(look);
        let answered = weir_machine::now();
        match looked {
            Ok(()) => {
                self.silence.heard();
                *was_missing = false;
                clocks.looked(look, answered, self.interval);
            }
            // A broker that just started may not know a topic yet: only twice in a row counts.
            Err(Error::TopicReplaced { found: None, .. }) if !*was_missing => {
                *was_missing = true;
                clocks.look_again(answered);
            }
            Err(error) if error.fault() == Fault::Transient => {
                self.failed(&error, asked);
                clocks.look_again(answered);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn look(&mut self, look: Look) -> Result<(), Error> {
        let mut names: BTreeSet<String> = self.known.iter().map(|s| s.split.stream.to_string()).collect();
        if look == Look::Growth {
            names.extend(self.selection.names(&self.admin)?);
        }
        if names.is_empty() {
            return Ok(());
        }
        let topics = self.admin.topics(&names.into_iter().collect::<Vec<_>>())?;
        for state in &self.known {
            offsets::same_split(state, &topics)?;
        }
        if look == Look::Growth {
            self.announce(&topics)?;
        }
        Ok(())
    }

    fn ask_for_ends_when_due(&self, clocks: &mut Clocks) {
        let asked = weir_machine::now();
        if !clocks.are_ends_due(asked) {
            return;
        }
        match self.ask_for_ends(asked) {
            Ok(()) => {
                self.silence.heard();
                clocks.told_ends(asked, self.known.len(), self.ends.are_awaited());
            }
            Err(error) => {
                self.failed(&error, asked);
                clocks.ask_for_ends_again(asked);
            }
        }
    }

    /// A question that failed is asked again at the next tick; meanwhile the fetcher reads on.
    fn failed(&self, error: &Error, asked: Instant) {
        self.silence.unheard(asked);
        metrics::counter!("weir_kafka_discovery_failures_total").increment(1);
        tracing::debug!(%error, "looking around failed");
    }

    fn announce(&mut self, topics: &[Topic]) -> Result<(), Error> {
        let known: BTreeSet<&SplitId> = self.known.iter().map(|s| &s.split).collect();
        let appeared = only_new(topics, &known);
        if appeared.is_empty() {
            return Ok(());
        }
        let states = offsets::earliest(&self.admin, &appeared)?;
        for state in &states {
            tracing::info!(split = %state.split, position = state.position, "split appeared");
        }
        self.known.extend(states.iter().cloned());
        self.handover.announce(states);
        Ok(())
    }

    fn ask_for_ends(&self, asked: Instant) -> Result<(), Error> {
        let splits: Vec<SplitId> = self.known.iter().map(|s| s.split.clone()).collect();
        let found = self.admin.offsets(&splits, Which::Latest, Isolation::Committed)?;
        self.ends.set(found.into_iter().map(Some).collect(), asked);
        Ok(())
    }
}

/// `topics` with their unknown partitions only.
fn only_new(topics: &[Topic], known: &BTreeSet<&SplitId>) -> Vec<Topic> {
    let with_new = topics.iter().map(|topic| {
        let is_new = |partition: &i32| !known.contains(&SplitId::new(topic.name.as_str(), *partition));
        Topic { partitions: topic.partitions.iter().copied().filter(is_new).collect(), ..topic.clone() }
    });
    with_new.filter(|topic| !topic.partitions.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_known_is_new() {
        let topic =
            |name: &str, partitions: &[i32]| Topic { name: name.to_owned(), id: None, partitions: partitions.to_vec() };
        let known = [SplitId::new("a", 0), SplitId::new("a", 1), SplitId::new("b", 0)];
        let known = known.iter().collect();
        let new = only_new(&[topic("a", &[0, 1, 2, 3]), topic("b", &[0]), topic("c", &[0])], &known);
        assert_eq!(new, [topic("a", &[2, 3]), topic("c", &[0])]);
    }

    #[test]
    fn a_silence_lasts_until_an_answer() {
        let silence = Silence::default();
        assert_eq!(silence.since(), None);
        let first = Instant::now();
        silence.unheard(first);
        silence.unheard(first + Duration::from_secs(1));
        assert_eq!(silence.since(), Some(first));
        silence.heard();
        assert_eq!(silence.since(), None);
    }
}
