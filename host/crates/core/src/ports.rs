//! The ports: what the engine asks of the outside. Each is implemented by an adapter crate and seen by `runtime` only
//! as a trait; adapters do not know each other.
//!
//! Life times: a *connector* lives as long as the job and opens what one attempt needs; what it opened is dropped when
//! the attempt ends. Calls may block, and a call into a Kafka client may block for ever: the engine calls them on
//! threads that it watches and can abandon.

/// The state as a call sees it.
pub mod call_state;
/// How long what is written in a table stays there.
pub mod expiry;
/// What kinds of failure there are.
pub mod failure;
/// What a sink takes, record by record.
pub mod limit;
/// What runs a plugin (or native code) on a batch.
pub mod operator;
/// What a reducing table does with what is merged into it.
pub mod reduce;
/// Where a record asks to be written.
pub mod route;
/// Where records go, and where an epoch is committed.
pub mod sink;
/// Where records come from.
pub mod source;
/// Keyed state of one shard, and the log of its epochs.
pub mod state;
/// What says when records were made.
pub mod timestamps;

pub use bytes::Bytes;
pub use call_state::CallState;
pub use expiry::{EXPIRES_BYTES, Now, Ttl, expires_and_value};
pub use failure::FailureKind;
pub use limit::{RecordCheck, RecordForm, RecordLimit, TimestampLimit, Unfit};
pub use operator::{
    Call, CallError, CallTask, DEAD_LETTER, Effects, LATE, Operator, OperatorFactory, PluginDescription, Role,
    TableDescription, TableKind, TimeDomain, WINDOW_LISTS, WINDOW_NEWS, WINDOW_TIMERS,
};
pub use reduce::{Reduce, Unreduced};
pub use route::{ROUTE_PREFIX, Route, RouteTable, RouteTopic};
pub use sink::{Commit, Committed, Committer, MarkerRead, Outputs, Sink, SinkConnector};
pub use source::{OWN_HEADERS, Poll, SourceConnector, SourceReader, SplitProgress, Unreadable, Verified};
pub use state::{Change, Delta, EpochLog, KeyRef, KeyedState, SCAN_BYTES_MAX, StateBytes, StateStore, Table};
pub use timestamps::{Timestamps, TimestampsFactory};
