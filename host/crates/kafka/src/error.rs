//! What can go wrong with Kafka, and who must act.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use weir_core::crash::Injected;
use weir_core::ports::Unfit;
use weir_core::{Fault, PortError, SplitId};

use crate::properties::{Properties, aliases};

/// An error of this crate: its cause, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A librdkafka property that is none, or cannot be set.
    #[error("the Kafka property {key:?}{} cannot be set: {reason}", also_called(key))]
    Property {
        /// Its name.
        key: String,
        /// Why, and what to use instead; never the value.
        reason: String,
    },
    /// librdkafka does not accept the configuration.
    #[error("failed to set up a Kafka client: {reason}; check the Kafka properties")]
    Client {
        /// Why, in the client's words, without values.
        reason: String,
    },
    /// An option that does not fit the topics as they are.
    #[error("{option}: {reason}")]
    Option {
        /// The option, as the user knows it.
        option: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// No broker answers.
    #[error("cannot reach Kafka at {brokers}: {cause}; check the address and that the broker runs")]
    Unreachable {
        /// The configured addresses.
        brokers: String,
        /// What the client saw last.
        cause: String,
    },
    /// Authentication or authorization failed.
    #[error("Kafka refused to {operation}: {cause}; check the credentials and the ACLs of this user")]
    Refused {
        /// What was attempted.
        operation: String,
        /// What the broker said.
        cause: String,
    },
    /// A topic is not there.
    #[error("topic {topic:?} does not exist; create it, or start with --create-topics")]
    TopicMissing {
        /// Its name.
        topic: String,
    },
    /// A topic to read is not there.
    #[error("topic {topic:?} does not exist; check its name, or create it: --create-topics makes only topics to write")]
    SourceMissing {
        /// Its name.
        topic: String,
    },
    /// A topic that could not be created.
    #[error("failed to create topic {topic:?}: {said}")]
    NotCreated {
        /// Its name.
        topic: String,
        /// The broker's code.
        code: RDKafkaErrorCode,
        /// Why, in the broker's words where it has any.
        said: String,
    },
    /// A topic was deleted, or deleted and created again: its offsets mean something else now.
    #[error("topic {topic:?} {}; or start a new job, or reset this one", match found {
        Some(found) => format!(
            "was created anew with topic id {found}: the state was built from topic id {expected}; --drop-source {topic} \
             goes on with the state and reads the new topic from its beginning"
        ),
        None => format!(
            "was deleted: the state was built from topic id {expected}; to go on without it take it out of what the job \
             reads, where that names it, and give --drop-source {topic}"
        ),
    })]
    TopicReplaced {
        /// Its name.
        topic: String,
        /// The id that the state was built from.
        expected: String,
        /// The id it has now; `None` when the topic is gone.
        found: Option<String>,
    },
    /// A broker cannot be asked any more what it gave out.
    #[error(
        "broker {broker}, which records of this epoch were read from, left the cluster before it could confirm their topics; they are read again"
    )]
    BrokerGone {
        /// Its id.
        broker: i32,
    },
    /// The next record to read does not exist (any more).
    #[error(
        "{split}: the next offset is {position}, but the partition holds {low} to {high} (exclusive){}",
        lost(*.position, *.low)
    )]
    OutOfRange {
        /// The partition.
        split: SplitId,
        /// The offset that should be read next.
        position: i64,
        /// The first offset that exists.
        low: i64,
        /// The offset after the last.
        high: i64,
    },
    /// Records that were read are gone from the end of the partition, and others may stand in their place.
    #[error(
        "{split}: the partition lost records below offset {position}, which were read (an unclean leader election?), and others may stand in their place; start a new job, or forget this one's state with `host reset`"
    )]
    Truncated {
        /// The partition.
        split: SplitId,
        /// The offset that should be read next.
        position: i64,
    },
    /// A call to Kafka failed.
    #[error("failed to {operation}")]
    Call {
        /// What was attempted, with names.
        operation: String,
        /// The client's or the broker's code.
        #[source]
        code: RDKafkaErrorCode,
    },
    /// A call into the client did not return in time; the client is abandoned.
    #[error("the Kafka client did not {operation} within {waited:?}")]
    Unresponsive {
        /// What was attempted.
        operation: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A topic of a running job is not known to the broker that was asked. Whether it is gone shows at the next attempt.
    #[error("failed to {operation}: the broker does not know a topic just now")]
    TopicUnknown {
        /// What was attempted.
        operation: String,
    },
    /// The attempt was given up, and a later one has begun.
    #[error("refused to {operation}: a later attempt of this job has taken over")]
    Retired {
        /// What was attempted.
        operation: &'static str,
    },
    /// The transactional id belongs to a newer producer, or the broker's time-out ended the transaction.
    #[error("transactional id {id:?} was fenced while trying to {operation}")]
    Fenced {
        /// The transactional id.
        id: String,
        /// What was attempted.
        operation: String,
    },
    /// A record that its topic does not take, seen before it was sent.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A topic takes other records than it did when the job opened it.
    #[error("the settings of topic {topic:?} were changed, and it refuses a record that it would have taken before")]
    LimitsChanged {
        /// The topic.
        topic: String,
    },
    /// A timestamp that is good by this machine's clock, and not by the broker's.
    #[error("Kafka refused a timestamp that is good by this machine's clock: {said}")]
    Skewed {
        /// What the broker said.
        said: String,
    },
    /// The broker refuses a record for a reason that is not known here.
    #[error("Kafka refused a record: {said}")]
    RecordRefused {
        /// What the broker said.
        said: String,
    },
    /// A step failed because a test said so.
    #[error(transparent)]
    Injected(#[from] Injected),
}

/// The user may have called it otherwise.
fn also_called(key: &str) -> String {
    let others = aliases(key);
    if others.is_empty() { others } else { format!(" ({others})") }
}

fn lost(position: i64, low: i64) -> String {
    match low - position {
        lost @ 1.. => format!("; {lost} records were removed by retention before they were read"),
        _ => "; the topic lost its end, or the offset is from elsewhere".to_owned(),
    }
}

impl Error {
    /// Who must act.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NotCreated { code, .. } => classify(*code),
            Self::Property { .. }
            | Self::Client { .. }
            | Self::Option { .. }
            | Self::TopicMissing { .. }
            | Self::SourceMissing { .. } => Fault::Config,
            Self::Unreachable { .. }
            | Self::Unresponsive { .. }
            | Self::LimitsChanged { .. }
            | Self::Skewed { .. }
            | Self::TopicUnknown { .. }
            | Self::BrokerGone { .. }
            | Self::Retired { .. }
            | Self::Injected(_) => Fault::Transient,
            Self::Refused { .. } => Fault::Denied,
            Self::Unfit(_) | Self::RecordRefused { .. } => Fault::User,
            Self::TopicReplaced { .. } | Self::OutOfRange { .. } | Self::Truncated { .. } => Fault::Corrupt,
            Self::Fenced { .. } => Fault::Fenced,
            Self::Call { code, .. } => classify(*code),
        }
    }

    /// True when the broker's answer is that a topic, or the topic that was expected, is not there.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::TopicMissing { .. } | Self::SourceMissing { .. } | Self::TopicReplaced { .. } => true,
            Self::Call { code, .. } => is_unknown_topic(*code),
            _ => false,
        }
    }

    pub(crate) fn property(key: &str, reason: impl Into<String>) -> Self {
        Self::Property { key: key.to_owned(), reason: reason.into() }
    }

    /// The error of a client that could not be made of `properties`. rdkafka's own text may hold the value of one.
    pub(crate) fn client(error: KafkaError, properties: &Properties) -> Self {
        match error {
            KafkaError::ClientConfig(_, _, key, _) => Self::property(&key, "its value is not one that it takes"),
            KafkaError::ClientCreation(said) => Self::Client { reason: properties.hide_in(&said) },
            other => Self::Client { reason: properties.hide_in(&other.to_string()) },
        }
    }

    /// The error of a failed call, by its code.
    pub fn call(operation: impl Into<String>, code: RDKafkaErrorCode) -> Self {
        let operation = operation.into();
        if is_refusal(code) {
            Self::Refused { operation, cause: code.to_string() }
        } else {
            Self::Call { operation, code }
        }
    }

    /// The error of a failed call of rdkafka; one without a code is about the configuration.
    pub fn of(operation: impl Into<String>, error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(code) => Self::call(operation, code),
            None => Self::client(error, &Properties::default()),
        }
    }
}

impl From<Error> for PortError {
    fn from(error: Error) -> Self {
        Self::new(error.fault(), error)
    }
}

/// True when the broker, or the client's own check, refuses this user.
pub fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        code,
        C::Authentication
            | C::SSL
            | C::SaslAuthenticationFailed
            | C::UnsupportedSASLMechanism
            | C::IllegalSASLState
            | C::TopicAuthorizationFailed
            | C::GroupAuthorizationFailed
            | C::ClusterAuthorizationFailed
            | C::TransactionalIdAuthorizationFailed
    )
}

/// True when the broker does not know the topic or the partition.
pub(crate) fn is_unknown_topic(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    matches!(code, C::UnknownTopicOrPartition | C::UnknownTopic | C::UnknownPartition)
}

/// Who must act on a code. What is not known to be anything else may pass by itself.
pub fn classify(code: RDKafkaErrorCode) -> Fault {
    use RDKafkaErrorCode as C;
    match code {
        _ if is_refusal(code) => Fault::Denied,
        // A record that is broken (or too large) stays so, however often it is tried.
        C::MessageSizeTooLarge
        | C::MessageBatchTooLarge
        | C::InvalidMessageSize
        | C::InvalidTimestamp
        | C::InvalidRecord
        | C::BadMessage
        | C::BadCompression
        | C::InvalidMessage => Fault::User,
        C::InvalidTopic
        | C::UnknownTopic
        | C::UnknownTopicOrPartition
        | C::UnknownPartition
        | C::InvalidPartitions
        | C::InvalidReplicationFactor
        | C::InvalidConfig
        | C::InvalidTransactionTimeout
        | C::PolicyViolation
        | C::UnsupportedVersion
        | C::UnsupportedFeature => Fault::Config,
        C::Fenced | C::ProducerFenced | C::InvalidProducerEpoch | C::TransactionCoordinatorFenced => Fault::Fenced,
        C::OffsetOutOfRange | C::LogTruncation => Fault::Corrupt,
        C::InvalidArgument | C::State | C::Conflict | C::ReadOnly | C::NotImplemented | C::NotConfigured => Fault::Bug,
        _ => Fault::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_records_are_counted() {
        let split = SplitId::new("clicks", 3);
        let error = Error::OutOfRange { split, position: 10, low: 25, high: 90 };
        assert_eq!(
            error.to_string(),
            "clicks[3]: the next offset is 10, but the partition holds 25 to 90 (exclusive); \
             15 records were removed by retention before they were read"
        );
        assert_eq!(error.fault(), Fault::Corrupt);
    }

    #[test]
    fn a_truncation_is_no_matter_of_another_attempt() {
        let error = Error::Truncated { split: SplitId::new("clicks", 3), position: 10 };
        assert_eq!(error.fault(), Fault::Corrupt);
        assert!(error.to_string().starts_with("clicks[3]: the partition lost records below offset 10"), "{error}");
    }

    #[test]
    fn a_refusal_is_for_whoever_gives_rights() {
        let error = Error::call("read topic \"a\"", RDKafkaErrorCode::TopicAuthorizationFailed);
        assert!(matches!(error, Error::Refused { .. }));
        assert_eq!(error.fault(), Fault::Denied);
        assert_eq!(classify(RDKafkaErrorCode::BrokerTransportFailure), Fault::Transient);
        assert_eq!(classify(RDKafkaErrorCode::Fenced), Fault::Fenced);
    }
}
