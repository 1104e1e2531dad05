//! `state`: the keyed state of one shard on local disk, and the log of its epochs.
//!
//! Implements the ports `StateStore`, `KeyedState` and `EpochLog` of `core` with RocksDB and plain files. The
//! composition root opens a [`StateDir`] and takes the log and the store from it; nobody else may. This crate knows
//! neither Kafka nor plugins, does not look inside a manifest, and never decides which epoch holds: the caller does.
//!
//! ```text
//! DIR/LOCK            flock, holds the owner's pid
//! DIR/FORMAT          what this directory is: magic, format version, job, shard
//! DIR/log/N.log       the epoch log, redo only
//! DIR/plugins/        what operators run, by digest, and the history of it
//! DIR/store/          RocksDB: the state as of `applied_epoch`, never ahead of an epoch that holds
//! DIR/RESTORED        the savepoint that the directory was restored from, if it was
//! DIR/restoring/      a restore is under way      DIR/RESETTING   a reset is under way
//! ```
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")
)]
#![expect(
    clippy::indexing_slicing,
    reason = "lengths from disk are checked before they are used; the rest are own indices"
)]

/// The bytes of state keys and deltas.
mod delta;
/// The state directory: lock, format, and the way to log and store.
mod dir;
/// What can go wrong, and who must act.
mod error;
/// File-system steps that survive a power loss.
mod files;
/// The `FORMAT` file.
mod format;
/// The lock on the directory.
mod lock;
/// The epoch log.
mod log;
/// The plugins beside the state.
mod plugins;
/// Making a directory forget.
mod reset;
/// From a savepoint to a directory.
mod restore;
/// State that moves between machines.
mod savepoint;
/// RocksDB and the thread that applies epochs to it.
mod store;
/// The state of one operator in one task.
mod task;
/// Looking at a directory without touching it.
mod view;

pub use dir::{StateDir, address_of};
pub use error::Error;
pub use plugins::PluginFiles;
pub use reset::Reset;
pub use restore::Restoring;
pub use savepoint::{Held, Progress, Savepoint};
pub use store::RocksStore;
pub use view::{LogView, Snapshot, StateEntry, StateView, StoreView};
