//! What a user chooses about Kafka sinks, as plain values.

use std::time::Duration;

use weir_core::Delivery;

/// What one Kafka sink writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOptions {
    /// Its topic.
    pub topic: String,
    /// Other topics that its records may go to, by the headers `weir.route.*`. Empty: none of them may have such a header.
    pub routes: Vec<String>,
}

impl TopicOptions {
    /// A sink that writes `topic` and nothing else.
    pub fn new(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), routes: Vec::new() }
    }

    /// All that it may write, its own topic first.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.topic).chain(self.routes.iter().filter(|route| **route != self.topic))
    }
}

/// What is chosen about the sinks of a job and its commits, whether or not any sink is Kafka.
#[derive(Debug, Clone)]
pub struct SinkSideOptions {
    /// What each Kafka sink writes, in the order of the pipeline. May be empty: then only offsets are committed.
    pub sinks: Vec<TopicOptions>,
    /// What is promised.
    pub delivery: Delivery,
    /// After how long the broker aborts a transaction that is not committed.
    pub transaction_timeout: Duration,
}
