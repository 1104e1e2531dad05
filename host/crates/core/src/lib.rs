//! `core`: the words of Weir and the ports between its parts.
//!
//! Every other crate of the host speaks these words; none of them is defined twice. This crate does no I/O, starts no
//! thread, reads no clock, and knows neither Kafka, RocksDB nor wasmtime.
//!
//! # Glossary
//! | word | meaning |
//! |---|---|
//! | job | a running pipeline, known by its name |
//! | shard | one engine of a job: its own splits, key groups, state directory, transactional ids and marker |
//! | pipeline | the description of a job: sources, operators, sinks |
//! | operator | a logical node of the pipeline that runs a plugin |
//! | task | one thread's share of the pipeline: the source task, (operator, index), or the sink task |
//! | plugin / instance | the compiled artefact / one running copy of it |
//! | record, frame, batch | one message; the packed layout of many; a frame with the origin of each record |
//! | split | something that is read in order: a Kafka partition, a file, a generator |
//! | position | the offset of the next record to read in a split |
//! | epoch | the number of a checkpoint, and what happens between two of them |
//! | barrier | the in-band element that ends an epoch |
//! | attempt | one life of the engine between two recoveries; known by a uuid |
//! | manifest | what an epoch commits besides state: positions, bounds, plugins, the previous digest |
//! | marker | the short text that is kept beside the committed positions (in Kafka) and that names the epoch that holds |
//! | epoch log | the file of manifests and state deltas, written before the commit outside |
//! | key group | one of 1024 buckets of the key space; the unit in which state moves between tasks |
//! | slot | the index of a distinct key within one batch |
//! | table | one named piece of an operator's keyed state |
//! | delta | the state changes of one epoch, as bytes |
//! | seal | to end an epoch in a task: its overlay becomes read-only and its delta is handed on |
//! | dead letter | a record that an operator failed on, in a topic of its own, with headers that say where and why |
//! | watermark | how far event time has come: every record before it is taken to have arrived |
//! | idle | a split that is read to its end, as confirmed again and again for `idle-after`; nobody waits for its watermark |
//! | fault | who must act on an error |

/// A frame with the origin of each record, and what travels between tasks.
pub mod batch;
/// What a user says of state that the pipeline does not use as it is recorded.
pub mod consent;
/// Who must act on an error.
pub mod fault;
/// The packed layout of records; the same in guests, exchange and host.
pub mod frame;
/// Ids and numbers with a meaning.
pub mod ids;
/// The 1024 buckets of the key space.
pub mod key_group;
/// What a dead letter says of the record that failed.
pub mod letter;
/// What the user chooses about a job's promises.
pub mod policy;
/// What the outside provides: sources, sinks, operators, state, the epoch log.
pub mod ports;
/// What the user chooses about recovery.
pub mod restart;
/// Text that is shown to nobody.
pub mod secret;
/// The position of a reader in one split.
pub mod split;
/// Where a first start begins and a bounded read ends.
pub mod start;
/// Text of others on its way to people.
pub mod text;
/// How far event time has come.
pub mod watermark;
/// The key of a window.
pub mod window_key;

pub use batch::{Batch, Element, Origin};
pub use consent::{Consent, Rename, StateName};
pub use fault::{Fault, PortError};
pub use frame::{Frame, FrameWriter, RecordView};
pub use ids::{AttemptId, Digest, Epoch, JobName, OperatorId, RecordId, ShardId, SourceName, SplitId, TableId};
pub use policy::{Delivery, KeySpec, OnError};
pub use restart::Restart;
pub use secret::Secret;
pub use split::SplitState;
pub use start::{Start, Until};
pub use watermark::{Progress, Reading, Rising, Watermark};
/// Steps at which a test stops, kills or fails the process; nothing of it is in the product.
pub use weir_failpoint as crash;
pub use weir_failpoint::crash_point;
pub use window_key::WindowKey;
