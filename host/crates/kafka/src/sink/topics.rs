//! The topics that a job writes, with what each takes; and what it means when the broker refuses a record all the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::error::RDKafkaErrorCode;
use weir_core::Fault;
use weir_core::ports::{RecordLimit, RouteTable, RouteTopic};

use crate::Error;
use crate::admin::{Topic, describe_topics};
use crate::limits::{Limits, TopicLimits, topic_limits};
use crate::options::ClientOptions;
use crate::sink::options::TopicOptions;

/// How far clocks may be apart once a broker has refused a timestamp that was good by ours.
const SKEW_MS: i64 = 60_000;

/// Whether the clocks of this machine and the brokers have shown to differ. Lives as long as the job.
#[derive(Debug, Clone, Default)]
pub(crate) struct Skew(Arc<AtomicBool>);

impl Skew {
    /// What every limit of a timestamp is narrowed by.
    fn margin_ms(&self) -> i64 {
        if self.0.load(Ordering::Relaxed) { SKEW_MS } else { 0 }
    }

    /// True the first time, which is said once: it narrows what every later attempt of this process takes.
    fn note(&self) -> bool {
        let is_new = !self.0.swap(true, Ordering::Relaxed);
        if is_new {
            tracing::warn!(
                margin_ms = SKEW_MS,
                "a broker refused a timestamp that is within its limits by this machine's clock; until this process ends, \
                 the timestamp limits of all topics of the job are taken to be narrower by the margin"
            );
        }
        is_new
    }
}

/// A topic that is written.
#[derive(Debug, Clone)]
pub(crate) struct OutputTopic {
    pub(crate) name: String,
    pub(crate) limits: TopicLimits,
    /// How many partitions it had when the attempt began; 0 where no record is routed.
    pub(crate) partitions: i32,
    /// What does not change with time, for a last look before a record is handed over.
    pub(crate) lasting: RecordLimit,
}

impl OutputTopic {
    pub(crate) fn new(name: String, limits: TopicLimits) -> Self {
        let lasting = RecordLimit { timestamps: None, ..limits.record_limit(&name, 0) };
        Self { name, limits, partitions: 0, lasting }
    }
}

/// The topics of a job, each once, as they were when the attempt began.
#[derive(Debug, Clone, Default)]
pub(crate) struct OutputTopics {
    list: Vec<OutputTopic>,
    skew: Skew,
}

impl OutputTopics {
    /// Asks the broker about all that `sinks` may write; missing topics are an error that names them.
    pub(crate) fn read(options: &ClientOptions, sinks: &[TopicOptions], skew: &Skew) -> Result<Self, Error> {
        let names = each(sinks.iter());
        let limits = if names.is_empty() { Limits::new() } else { topic_limits(options, &names)? };
        let mut list: Vec<_> = limits.into_iter().map(|(name, limits)| OutputTopic::new(name, limits)).collect();
        let routed = each(sinks.iter().filter(|sink| !sink.routes.is_empty()));
        let found = if routed.is_empty() { Vec::new() } else { describe_topics(options, &routed)? };
        for Topic { name, partitions, .. } in found {
            let topic = list.iter_mut().find(|topic| topic.name == name);
            topic.into_iter().for_each(|topic| topic.partitions = i32::try_from(partitions.len()).unwrap_or(i32::MAX));
        }
        Ok(Self { list, skew: skew.clone() })
    }

    /// One topic, for tests.
    #[cfg(test)]
    pub(crate) fn of(name: &str, limits: TopicLimits) -> Self {
        Self { list: vec![OutputTopic::new(name.to_owned(), limits)], skew: Skew::default() }
    }

    pub(crate) fn list(&self) -> &[OutputTopic] {
        &self.list
    }

    /// What the records of a sink may be written to, and the numbers of these topics.
    pub(crate) fn routes(&self, sink: &TopicOptions) -> Option<(RouteTable, Vec<usize>)> {
        let mut numbers = Vec::new();
        let mut topics = sink.topics().map(|name| {
            let (number, limit) = self.find(name)?;
            numbers.push(number);
            Some(RouteTopic { name: name.clone(), limit, partitions: self.list.get(number)?.partitions })
        });
        let (own, others) = (topics.next()??, topics.collect::<Option<Vec<_>>>()?);
        Some((RouteTable::new(own, others), numbers))
    }

    /// The number of a topic, and what it takes.
    pub(crate) fn find(&self, name: &str) -> Option<(usize, RecordLimit)> {
        let (number, topic) = self.list.iter().enumerate().find(|(_, topic)| topic.name == name)?;
        Some((number, topic.limits.record_limit(name, self.skew.margin_ms())))
    }

    /// What it means that the broker refused a record which was within every limit that is known here. A limit that was
    /// changed meanwhile, or a clock that goes wrong, costs a recovery: the next attempt knows, and the record is found
    /// before it is sent. Anything else would fail again and again.
    #[cold]
    pub(crate) fn judge(&self, options: &ClientOptions, code: RDKafkaErrorCode, said: String) -> Error {
        let names: Vec<String> = self.list.iter().map(|topic| topic.name.clone()).collect();
        let now = match topic_limits(options, &names) {
            Ok(now) => now,
            Err(error) if error.fault() == Fault::Transient => return error,
            // What may not be seen any more was not seen to change.
            Err(_) => Limits::new(),
        };
        let changed = self.list.iter().find(|topic| now.get(&topic.name).is_some_and(|now| *now != topic.limits));
        let is_timed = self.list.iter().any(|topic| topic.limits.timestamps.is_some());
        match changed {
            Some(topic) => Error::LimitsChanged { topic: topic.name.clone() },
            None if code == RDKafkaErrorCode::InvalidTimestamp && is_timed && self.skew.note() => {
                Error::Skewed { said }
            }
            None => Error::RecordRefused { said },
        }
    }
}

/// All topics that `sinks` may write, each once.
fn each<'a>(sinks: impl Iterator<Item = &'a TopicOptions>) -> Vec<String> {
    sinks.flat_map(TopicOptions::topics).collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// True where the broker refuses a record, or a batch for the sake of one: it would never be taken.
pub(crate) fn is_about_a_record(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        code,
        C::MessageSizeTooLarge
            | C::MessageBatchTooLarge
            | C::InvalidMessageSize
            | C::InvalidTimestamp
            | C::InvalidRecord
            | C::InvalidMessage
    )
}
