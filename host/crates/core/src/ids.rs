//! Ids and numbers with a meaning, so that one cannot be passed for another.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a job: `[a-z0-9._-]{1,64}`, but for `.` and `..`, which are no names of directories. Group, transactional ids, directories and metrics derive from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobName(String);

/// A job name with a character or a length that Weir does not allow.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("job name {0:?} is not of the form [a-z0-9._-]{{1,64}}, or is . or ..")]
pub struct JobNameError(pub String);

impl JobName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 64;

    /// Checks `name` against the form above.
    ///
    /// ```
    /// use weir_core::JobName;
    /// assert!(JobName::new("orders-2").is_ok());
    /// assert!(JobName::new("Orders").is_err() && JobName::new("..").is_err());
    /// ```
    pub fn new(name: impl Into<String>) -> Result<Self, JobNameError> {
        let name = name.into();
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        let is_path = matches!(name.as_str(), "." | "..");
        if (1..=Self::BYTES_MAX).contains(&name.len()) && name.bytes().all(legal) && !is_path {
            Ok(Self(name))
        } else {
            Err(JobNameError(name))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for JobName {
    type Error = JobNameError;
    fn try_from(name: String) -> Result<Self, JobNameError> {
        Self::new(name)
    }
}

impl From<JobName> for String {
    fn from(name: JobName) -> Self {
        name.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// One engine of a job. Today a job has one, number 0; no format may assume so.
    ShardId(u16)
);
number!(
    /// The number of a checkpoint. The first is 1; 0 means "none yet".
    Epoch(u64)
);
number!(
    /// An operator's number within its job: given by the host, recorded by name in the manifest, never reused.
    OperatorId(u16)
);
number!(
    /// A table's number within its operator: its place in the plugin's `describe`.
    TableId(u16)
);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One life of the engine between two recoveries. A log record is identified by (epoch, attempt, digest), never by
/// number alone. The text is a uuid; whoever creates an attempt draws it, so that this crate needs no randomness.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub String);

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A BLAKE3 digest as 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub String);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One record of the epoch log, told from every other, and so the state as of it. The digest is that of the record's
/// manifest, which names job, shard, attempt and the manifest before it: two records of one number are never mistaken
/// for each other, whatever directory they come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordId {
    /// Its epoch.
    pub epoch: Epoch,
    /// Digest of its manifest.
    pub digest: Digest,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} ({:.12})", self.epoch, self.digest.0)
    }
}

/// The name of a source in the pipeline. Connectors do not know theirs; what they read is recorded under it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceName(#[serde(with = "shared_text")] pub Arc<str>);

impl SourceName {
    /// The source called `name`.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that is read in order: one part of a stream. A partition of a Kafka topic is `(topic, partition)`, a file
/// `(its path, 0)`, a generator `(its name, 0)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SplitId {
    /// What its connector reads it from: the name of a topic, the path of a file, the name of a generator.
    #[serde(with = "shared_text", rename = "topic")]
    pub stream: Arc<str>,
    /// Which part of it; 0 where there is only one.
    #[serde(rename = "partition")]
    pub number: i32,
}

impl SplitId {
    /// Part `number` of `stream`.
    pub fn new(stream: impl Into<Arc<str>>, number: i32) -> Self {
        Self { stream: stream.into(), number }
    }
}

impl fmt::Display for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.stream, self.number)
    }
}

/// `Arc<str>` as a plain string (serde's own support is a feature that every dependency would be rebuilt for).
mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_so_that_a_directory_can_be() {
        for name in ["a", "orders-2.b_c", "...", ".weir"] {
            assert_eq!(JobName::new(name).map(String::from), Ok(name.to_owned()));
        }
        let long = "x".repeat(65);
        for name in ["", ".", "..", "A", "a/b", "a b", "ä", &long] {
            assert_eq!(JobName::new(name), Err(JobNameError(name.to_owned())));
        }
    }
}
