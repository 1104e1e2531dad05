//! The marker: the short text that Kafka keeps beside the committed offsets of every split. It names the epoch that
//! holds; the manifest in the epoch log says what that epoch is.
//!
//! `weir;1;JOB;SHARD;EPOCH;ATTEMPT;DIGEST`, ASCII, below 512 bytes (the broker's `offset.metadata.max.bytes` is 4096).

use std::fmt;

use weir_core::{AttemptId, Digest, Epoch, JobName, ShardId};

/// The longest marker, in bytes.
pub const BYTES_MAX: usize = 511;
const FORMAT: &str = "1";

/// What a marker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The job that wrote it.
    pub job: JobName,
    /// The shard of the job.
    pub shard: ShardId,
    /// The epoch that holds.
    pub epoch: Epoch,
    /// The attempt that committed it.
    pub attempt: AttemptId,
    /// Digest of the manifest of that epoch.
    pub digest: Digest,
}

/// Why bytes are not a marker.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Something else wrote them, or nothing did.
    #[error("it is not a marker of Weir")]
    Foreign,
    /// A format this version does not know.
    #[error("it is a marker of format {0}, this version knows format {FORMAT}")]
    Format(String),
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, shard, epoch, attempt, digest } = self;
        write!(f, "weir;{FORMAT};{job};{shard};{epoch};{attempt};{digest}")
    }
}

impl Marker {
    /// The text, checked against the limit.
    pub fn encode(&self) -> String {
        let text = self.to_string();
        assert!(text.len() <= BYTES_MAX, "a marker is short: {text}");
        text
    }

    /// What is committed as the position where the marker has a place of its own, which nobody reads from: it counts epochs.
    pub fn position_apart(epoch: Epoch) -> i64 {
        i64::try_from(epoch.0).unwrap_or(i64::MAX)
    }

    /// Whether it stands in a place of its own, where `position` is committed, and not beside what its job reads. For the eye only:
    /// a reader's position may be the number of its epoch, too.
    pub fn is_apart(&self, position: i64) -> bool {
        position == Self::position_apart(self.epoch)
    }

    /// Reads what the group has beside an offset; anyone may have written it.
    ///
    /// ```
    /// use weir_checkpoint::{Marker, marker::Error};
    /// let marker = Marker::parse(b"weir;1;orders;0;42;an-attempt;a-digest").unwrap();
    /// assert_eq!((marker.job.as_str(), marker.epoch.0), ("orders", 42));
    /// assert_eq!(Marker::parse(b"offsets of another tool"), Err(Error::Foreign));
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Foreign)?;
        let mut fields = text.split(';');
        if fields.next() != Some("weir") {
            return Err(Error::Foreign);
        }
        let format = fields.next().ok_or(Error::Foreign)?;
        if format != FORMAT {
            return Err(Error::Format(format.to_owned()));
        }
        let fields: Vec<&str> = fields.collect();
        let [job, shard, epoch, attempt, digest] = fields[..] else { return Err(Error::Foreign) };
        Ok(Self {
            job: JobName::new(job).map_err(|_| Error::Foreign)?,
            shard: ShardId(shard.parse().map_err(|_| Error::Foreign)?),
            epoch: Epoch(epoch.parse().map_err(|_| Error::Foreign)?),
            attempt: AttemptId(attempt.to_owned()),
            digest: Digest(digest.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_reads_back_and_stays_short() {
        let marker = Marker {
            job: JobName::new("j".repeat(JobName::BYTES_MAX)).unwrap(),
            shard: ShardId(u16::MAX),
            epoch: Epoch(u64::MAX),
            attempt: AttemptId("0b6e1d1c-6f6b-4c39-9d6c-0d7a43a6e0d1".into()),
            digest: Digest("f".repeat(64)),
        };
        assert_eq!(Marker::parse(marker.encode().as_bytes()), Ok(marker));
    }

    #[test]
    fn anything_else_is_told_apart() {
        for foreign in
            [&b""[..], b"\xff\xfe", b"weir", b"weir;1", b"weir;1;a;0;1;x", b"weir;1;A;0;1;x;y", b"kafka;1;a;0;1;x;y"]
        {
            assert_eq!(Marker::parse(foreign), Err(Error::Foreign), "{foreign:?}");
        }
        assert_eq!(Marker::parse(b"weir;2;whatever"), Err(Error::Format("2".into())));
    }
}
