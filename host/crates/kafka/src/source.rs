//! Reading Kafka topics.
//!
//! ```text
//! broker → fetcher thread → handover → reader (on the source task's thread)
//!          (owns the client)   ↑ splits that appeared, errors        │ at each barrier: what was read from whom
//!                          discovery thread        gate thread ◀─────┘
//!                               └── a client of their own ──┘
//! ```
//! A connector keeps the client that it looked around with; the next reader takes it over, connected as it is. Questions
//! have another client: a broker answers a connection in order, and a fetch may wait for records. A reader that is
//! dropped stops its threads; a client that does not let go is abandoned, counted, and left behind.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use regex::Regex;
use weir_core::ports::{SourceConnector, SourceReader};
use weir_core::{PortError, SplitId, SplitState};
use weir_machine::channel::bounded;

use crate::admin::{Admin, settled};
use crate::client;
use crate::error::Error;
use crate::options::{ClientOptions, SourceOptions, Topics};
use batching::Batching;
use discovery::{Discovery, Selection, Silence};
use fetcher::{Fetcher, Stop};
use gate::Gate;
use handover::Handover;
use intake::Intake;
use pulse::{Pulse, Watched};
use quiet::Ends;
use reader::Reader;

/// Messages to batches.
mod batching;
/// When to look around.
mod clocks;
/// New splits, replaced topics, ends.
mod discovery;
/// The thread that reads.
mod fetcher;
/// Whether what was read came from what the splits say.
mod gate;
/// Between the threads.
mod handover;
/// What becomes of a message.
mod intake;
/// Start positions and bounds.
mod offsets;
/// Signs of life of the threads.
mod pulse;
/// Whether a split is read to its end.
mod quiet;
/// The rate limit.
mod rate;
/// The source task's end.
mod reader;
/// What an epoch was read from.
mod served;

pub(crate) use offsets::verify;

/// How long the client may keep the fetcher, which asks it for 50 ms at a time.
const FETCH_BOUND: Duration = Duration::from_secs(30);
/// How long discovery may be at one round of questions; each has a time-out of a few seconds.
const LOOK_BOUND: Duration = Duration::from_secs(120);

/// A Kafka source: opens readers, and keeps the client for the next one.
pub struct KafkaSource {
    client: ClientOptions,
    options: SourceOptions,
    selection: Selection,
    /// The client that looks around, until a reader takes it over.
    idle: Mutex<Option<Admin>>,
    /// Threads of clients that did not let go, one for each.
    left_behind: LeftBehind,
}

/// See [`KafkaSource`].
pub(crate) type LeftBehind = Arc<Mutex<Vec<JoinHandle<()>>>>;

impl KafkaSource {
    /// Checks the options; contacts nobody yet.
    pub fn new(client: ClientOptions, options: SourceOptions) -> Result<Self, Error> {
        client.check()?;
        let selection = select(&options.topics)?;
        let refused = |option, reason: &str| Err(Error::Option { option, reason: reason.to_owned() });
        if options.max_rate == Some(0) {
            return refused("--max-rate", "must be at least 1 record per second");
        }
        if options.discovery_interval.is_zero() {
            return refused("--discovery-interval", "must be longer than 0");
        }
        let (idle, left_behind) = Default::default();
        Ok(Self { client, options, selection, idle, left_behind })
    }

    /// Lends the client that looks around. A call that never comes back takes it along, and the next one gets another.
    fn ask<T>(&self, ask: impl FnOnce(&Admin) -> Result<T, Error>) -> Result<T, Error> {
        let admin = self.take_admin()?;
        let answer = ask(&admin);
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(admin);
        answer
    }

    fn take_admin(&self) -> Result<Admin, Error> {
        if let Some(admin) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(admin);
        }
        Admin::open(&self.client)
    }

    /// The client that reads so many splits, and another that asks. The one that has looked around takes a part, unless
    /// queues must be made for the splits that it has found.
    fn clients(&self, splits: usize) -> Result<(Admin, Admin), Error> {
        if !self.options.has_lanes() {
            return Ok((self.take_admin()?, Admin::open(&self.client)?));
        }
        let mut config = client::lanes_config(&self.client, splits);
        if let Some(rate) = self.options.max_rate {
            config.set("queued.min.messages", rate.clamp(100, client::QUEUED_RECORDS_MIN).to_string());
        }
        Ok((Admin::new(client::open_consumer(&config, &self.client)?), self.take_admin()?))
    }

    fn open_reader(&self, splits: Vec<SplitState>) -> Result<Reader, Error> {
        self.ask(|admin| verify(admin, &splits))?;
        let (admin, asking) = self.clients(splits.len())?;
        let is_bounded = if splits.is_empty() {
            self.options.until.is_some()
        } else {
            // The manifest keeps bounds until they are reached, whatever the options say by then.
            splits.iter().all(|s| s.end.is_some())
        };
        let handover = Arc::new(Handover::default());
        let (ends, silence) = (Ends::default(), Silence::default());
        let (fetching, looking) = (Pulse::default(), Pulse::default());
        let (nudge, nudges) = bounded(1);
        // One epoch is under way at a time.
        let (questions, asked) = bounded(1);
        let batching = Batching::new(self.options.keeps_own_headers);
        let intake = Intake::new(admin.clone(), Arc::clone(&handover), nudge.clone(), batching);
        let fetcher = Fetcher::new(&admin, intake, &self.options, fetching.clone())?;
        let gate = Gate { admin: asking.clone(), questions: asked, handover: Arc::clone(&handover) };
        let discovery = Discovery {
            admin: asking,
            selection: self.selection.clone(),
            known: splits.clone(),
            grows: !is_bounded,
            interval: self.options.discovery_interval,
            handover: Arc::clone(&handover),
            ends: ends.clone(),
            silence: silence.clone(),
            nudges,
            pulse: looking.clone(),
        };
        let watched = [
            Watched::new("fetch records", fetching, FETCH_BOUND),
            Watched::new("look at the topics", looking, LOOK_BOUND),
        ];
        let mut reader = Reader::new(handover, splits.clone(), is_bounded, watched, nudge, questions);
        (reader.ends, reader.silence, reader.left_behind) = (ends, silence, Arc::clone(&self.left_behind));
        reader.start("kafka-fetch", |handover| match fetcher.run(splits) {
            Stop::Closed => {}
            Stop::Failed(error) => handover.fail(error),
        })?;
        reader.start("kafka-discover", |_| discovery.run())?;
        reader.start("kafka-verify", |_| gate.run())?;
        Ok(reader)
    }
}

fn select(topics: &Topics) -> Result<Selection, Error> {
    let refused = |reason: String| Err(Error::Option { option: "topics", reason });
    match topics {
        Topics::Named(names) if names.is_empty() => refused("name at least one topic".to_owned()),
        Topics::Named(names) => {
            let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            let is_legal = |name: &String| (1..=249).contains(&name.len()) && name.bytes().all(legal);
            match names.iter().find(|name| !is_legal(name)) {
                Some(name) => refused(format!("{name:?} is no name of a Kafka topic ([a-zA-Z0-9._-]{{1,249}})")),
                None => {
                    let mut names = names.clone();
                    names.sort();
                    names.dedup();
                    Ok(Selection::Named(names))
                }
            }
        }
        Topics::Pattern(pattern) => match Regex::new(&format!("^(?:{pattern})$")) {
            Ok(regex) => Ok(Selection::Pattern(regex)),
            Err(error) => refused(format!("{pattern:?} is no regular expression: {error}")),
        },
    }
}

impl SourceConnector for KafkaSource {
    fn discover(&self) -> Result<Vec<SplitState>, PortError> {
        Ok(self.ask(|admin| settled(|| offsets::earliest(admin, &self.selection.topics(admin)?)))?)
    }

    fn resolve(&self) -> Result<Vec<SplitState>, PortError> {
        let (start, until) = (&self.options.start, self.options.until.as_ref());
        let resolve = |admin: &Admin| {
            let topics = self.selection.topics(admin)?;
            offsets::resolve(admin, &self.client, &topics, start, until)
        };
        Ok(self.ask(|admin| settled(|| resolve(admin)))?)
    }

    fn start(&self) -> String {
        match &self.options.topics {
            Topics::Named(names) => format!("{} from {}", names.join(","), self.options.start),
            Topics::Pattern(pattern) => format!("/{pattern}/ from {}", self.options.start),
        }
    }

    fn resume(&self, mut splits: Vec<SplitState>) -> Result<Vec<SplitState>, PortError> {
        match &self.options.until {
            None => {
                splits.iter_mut().for_each(|s| s.end = None);
                Ok(splits)
            }
            Some(_) if SplitState::is_bound_pending(&splits) => Ok(splits),
            Some(until) => Ok(self.ask(|admin| {
                // A restored topic that is gone or another now is an error before its offsets are asked for.
                verify(admin, &splits)?;
                settled(|| offsets::rebound(admin, &self.selection.topics(admin)?, splits.clone(), until))
            })?),
        }
    }

    fn recognise(&self, split: &SplitId) -> Option<SplitId> {
        self.selection.has(&split.stream).then(|| split.clone())
    }

    fn open(&self, splits: Vec<SplitState>) -> Result<Box<dyn SourceReader>, PortError> {
        Ok(Box::new(self.open_reader(splits)?))
    }

    fn is_replayable(&self) -> bool {
        true
    }

    fn is_bounded(&self) -> bool {
        self.options.until.is_some()
    }

    fn may_find_nothing(&self) -> bool {
        matches!(self.options.topics, Topics::Pattern(_))
    }

    fn left_behind(&self) -> usize {
        let mut threads = self.left_behind.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.len()
    }
}

#[cfg(test)]
mod tests;
