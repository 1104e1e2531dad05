//! The thread that looks around while the fetcher reads: new partitions and topics, topics that were replaced, and how
//! far each split could be read. It asks through the fetcher's client but never polls it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use regex::Regex;
use weir_core::{Fault, SplitId, SplitState};

use super::handover::Handover;
use super::offsets;
use super::pulse::Pulse;
use crate::admin::{Admin, Topic};
use crate::error::Error;
use crate::ffi::{Isolation, Which};

/// How often ends are asked for; also the pause before a failed look is tried again.
const TICK: Duration = Duration::from_secs(1);
/// A replaced topic is noticed within this time, even where new partitions are looked for more rarely.
const IDENTITY_INTERVAL_MAX: Duration = Duration::from_secs(5);

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
                    Some(missing) => Err(Error::TopicMissing { topic: missing.clone() }),
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

/// The end of each split, in the reader's order.
pub(super) type Ends = Arc<Mutex<Vec<Option<i64>>>>;

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
    /// Someone wants a look now: the fetcher met an unknown topic, or the reader is gone.
    pub(super) nudges: Receiver<()>,
    pub(super) pulse: Pulse,
}

impl Discovery {
    /// Looks around until the reader is gone or a topic is not what it was.
    pub(super) fn run(mut self) {
        let mut next_look = Instant::now();
        let mut was_missing = false;
        loop {
            self.pulse.ask();
            if Instant::now() >= next_look {
                next_look = Instant::now() + self.interval.min(IDENTITY_INTERVAL_MAX);
                match self.look() {
                    Ok(()) => was_missing = false,
                    // A broker that just started may not know a topic yet: only twice in a row counts.
                    Err(Error::TopicReplaced { found: None, .. }) if !was_missing => {
                        was_missing = true;
                        next_look = Instant::now() + TICK;
                    }
                    Err(error) if error.fault() == Fault::Transient => {
                        count_failure(&error);
                        next_look = Instant::now() + TICK;
                    }
                    Err(error) => return self.handover.fail(error),
                }
            }
            if let Err(error) = self.ask_for_ends() {
                count_failure(&error);
            }
            self.pulse.rest();
            match self.nudges.recv_timeout(TICK) {
                Ok(()) => next_look = Instant::now(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.handover.is_closed() {
                return;
            }
        }
    }

    fn look(&mut self) -> Result<(), Error> {
        let mut names: BTreeSet<String> = self.known.iter().map(|s| s.split.topic.to_string()).collect();
        if self.grows {
            names.extend(self.selection.names(&self.admin)?);
        }
        let topics = self.admin.topics(&names.into_iter().collect::<Vec<_>>())?;
        for state in &self.known {
            offsets::same_topic(state, topics.iter().find(|t| t.name == *state.split.topic))?;
        }
        if self.grows {
            self.announce(&topics)?;
        }
        Ok(())
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

    fn ask_for_ends(&self) -> Result<(), Error> {
        let splits: Vec<SplitId> = self.known.iter().map(|s| s.split.clone()).collect();
        let found = self.admin.offsets(&splits, Which::Latest, Isolation::Committed)?;
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = found.into_iter().map(Some).collect();
        Ok(())
    }
}

/// A question that failed is asked again at the next tick; meanwhile the fetcher reads on.
fn count_failure(error: &Error) {
    metrics::counter!("weir_kafka_discovery_failures_total").increment(1);
    tracing::debug!(%error, "looking around failed");
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
}
