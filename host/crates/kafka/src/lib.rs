//! `kafka`: sources and sinks on Kafka, behind the ports of `core`.
//!
//! The composition root builds a [`KafkaSource`] and a sink from plain options; the runtime sees only the ports. This
//! crate knows nothing of tasks, state or plugins, and no other crate knows librdkafka.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")
)]

/// Topics: what exists, its limits, creation.
pub mod admin;
/// Settings of the cluster that work against a job's promise.
pub(crate) mod advice;
/// How clients are set up.
pub mod client;
/// Its row of the registry.
pub mod connector;
/// What can go wrong.
pub mod error;
/// What rdkafka does not wrap; the only unsafe code of this crate.
#[expect(unsafe_code, reason = "librdkafka calls that rdkafka does not wrap")]
pub(crate) mod ffi;
/// A job's names in Kafka, tended while it does not run.
pub mod group;
/// What a topic takes.
pub mod limits;
/// What a user chooses.
pub mod options;
/// Whether what is written is still what it was.
pub(crate) mod outputs;
/// What a user may set of the client, and what not.
pub mod properties;
/// What was said lately.
mod said;
/// Writing, and making an epoch hold.
pub mod sink;
/// Reading.
pub mod source;

pub use error::Error;
pub use options::{ClientOptions, SourceOptions, Topics};
pub use properties::Properties;
pub use sink::{KafkaSink, Rotation, SinkSideOptions, TopicOptions, Turn};
pub use source::KafkaSource;

/// Every connector of this crate, a row each.
pub const CONNECTORS: &[&weir_connector::Connector] = &[&connector::CONNECTOR];
