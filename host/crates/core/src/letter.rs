//! What a dead letter says of the record that failed: headers behind the record's own, each a text. `operator` writes them,
//! `host dead-letters` reads them.

/// Names of all these headers begin so.
pub const PREFIX: &[u8] = b"weir.dead-letter.";

/// The job.
pub const JOB: &[u8] = b"weir.dead-letter.job";
/// The operator that failed.
pub const OPERATOR: &[u8] = b"weir.dead-letter.operator";
/// Its plugin: name and version, as in `count 1.0.0`.
pub const PLUGIN: &[u8] = b"weir.dead-letter.plugin";
/// The digest of the plugin's file.
pub const DIGEST: &[u8] = b"weir.dead-letter.digest";
/// [`crate::ports::FailureKind`].
pub const KIND: &[u8] = b"weir.dead-letter.kind";
/// What the failure says of itself, on one line.
pub const MESSAGE: &[u8] = b"weir.dead-letter.message";
/// When it failed, in milliseconds since 1970.
pub const TIME: &[u8] = b"weir.dead-letter.time";
/// The topic that the record was read from, or came from in the end.
pub const STREAM: &[u8] = b"weir.dead-letter.topic";
/// The partition there.
pub const PARTITION: &[u8] = b"weir.dead-letter.partition";
/// The offset there.
pub const OFFSET: &[u8] = b"weir.dead-letter.offset";
/// What the letter is of: one of [`RECORD`], [`DERIVED`], [`DUE`].
pub const OF: &[u8] = b"weir.dead-letter.of";
/// The window or timer that failed, in words. Only of what was due.
pub const DUE_NAME: &[u8] = b"weir.dead-letter.due";
/// The record's own timestamp, where the dead-letter topic does not take it.
pub const TIMESTAMP: &[u8] = b"weir.dead-letter.timestamp";

/// The record as it was read from its topic in the job's cluster: it can be sent there again.
pub const RECORD: &str = "record";
/// A record that an operator made of the one that was read, or one that was read from no topic.
pub const DERIVED: &str = "derived";
/// A window or a timer: there is no record.
pub const DUE: &str = "due";

/// Bytes of a message that are kept.
pub const MESSAGE_BYTES_MAX: usize = 1 << 10;
