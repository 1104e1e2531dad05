//! What a user chooses about Kafka sinks, as plain values.

use std::time::Duration;

use weir_core::Delivery;

/// What is chosen about the sinks of a job and its commits, whether or not any sink is Kafka.
#[derive(Debug, Clone)]
pub struct SinkSideOptions {
    /// The topic of each Kafka sink, in the order of the pipeline. May be empty: then only offsets are committed.
    pub topics: Vec<String>,
    /// What is promised.
    pub delivery: Delivery,
    /// After how long the broker aborts a transaction that is not committed.
    pub transaction_timeout: Duration,
}
