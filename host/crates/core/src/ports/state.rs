//! Keyed state of one shard, and the log of its epochs.

use bytes::Bytes;

use crate::fault::PortError;
use crate::ids::{Epoch, OperatorId, RecordId, TableId};

/// A key and its hash (`key_group::key_hash`), computed once per batch.
#[derive(Debug, Clone, Copy)]
pub struct KeyRef<'a> {
    /// The hash.
    pub hash: u64,
    /// The key as the user wrote it.
    pub bytes: &'a [u8],
}

/// What happens to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// It becomes these bytes.
    Set(&'a [u8]),
    /// It goes.
    Clear,
}

/// The changes one task made in one epoch, ready for the log: `{key_len:u32, key, value_len:u32, value}*`, little
/// endian, keys complete (key group, operator, table, user key), a length of 0xFFFF_FFFF for a cleared value.
#[derive(Debug, Clone, Default)]
pub struct Delta {
    /// How many changes.
    pub entries: u64,
    /// The bytes.
    pub payload: Bytes,
}

/// The keyed state of one operator in one task. Lives on the task's thread; reads go through active overlay, sealed
/// overlay, committed layer and cache to the store.
pub trait KeyedState: Send {
    /// Appends to `out`, for each of `keys`, for each of `tables`: `len:u32, bytes` (0xFFFF_FFFF = absent).
    fn load(&mut self, tables: &[TableId], keys: &[KeyRef<'_>], out: &mut Vec<u8>) -> Result<(), PortError>;

    /// Changes one value in the active overlay.
    fn change(&mut self, table: TableId, key: KeyRef<'_>, change: Change<'_>);

    /// Ends `epoch`: the active overlay becomes the sealed one. There must be no sealed one yet (I2: at most one epoch
    /// is sealed and unacknowledged).
    fn seal(&mut self, epoch: Epoch) -> Delta;

    /// `epoch` holds: its sealed overlay joins the committed layer.
    fn commit(&mut self, epoch: Epoch);

    /// Bytes of overlays, committed layer and cache: what there is in memory.
    fn bytes(&self) -> u64;

    /// True while changes that the store does not hold yet fill the task's share of the budget: only they cannot leave
    /// memory. Whoever sees it takes no more input until their epoch is applied.
    fn is_full(&mut self) -> bool;
}

/// The size of an operator's keyed state, estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateBytes {
    /// In the store, as of its last flush.
    pub disk: u64,
    /// In its tasks: what is not in the store yet, and what is read often.
    pub memory: u64,
}

/// The state of one shard. Lives as long as the job; tasks come and go. Sync: shared by tasks and coordinator.
pub trait StateStore: Send + Sync {
    /// State of `operator` for a new task. `share` is the part of the memory budget, as (part, of parts).
    fn open(&self, operator: OperatorId, share: (u32, u32)) -> Box<dyn KeyedState>;

    /// Hands over the deltas of a record whose epoch holds, to be applied in the background, in order. Blocks while too
    /// much waits. `applied` only ever grows.
    fn apply(&self, record: &RecordId, deltas: Vec<Delta>) -> Result<(), PortError>;

    /// False while [`StateStore::apply`] would block. A store that has failed has room: its error is waiting.
    fn has_room(&self) -> bool {
        true
    }

    /// The record whose changes reads of the store see, with those of all before it: what a recovery in place need not
    /// replay. `None` before the first. Its epoch only grows.
    fn applied(&self) -> Option<RecordId>;

    /// The last epoch whose changes the store holds durably: log records up to it may be trimmed.
    fn durable(&self) -> Epoch;

    /// Waits until everything handed over is applied; recovery calls it before new tasks start.
    fn join(&self) -> Result<(), PortError>;

    /// Applies and flushes everything: a clean stop then needs no replay.
    fn flush(&self) -> Result<(), PortError>;

    /// Applies what waits at once: a task has no room until then. Does not wait for it.
    fn hurry(&self);

    /// Estimated size of `operator`. Asks nobody: a disk that hangs must not hang who only wants to know.
    fn bytes(&self, operator: OperatorId) -> StateBytes;
}

/// One record of the epoch log, as read back.
#[derive(Debug, Clone)]
pub struct LogRecord {
    /// Its epoch, and the digest of its manifest.
    pub id: RecordId,
    /// The manifest, verbatim: the log does not look inside.
    pub manifest: Bytes,
}

/// The epoch log of one shard: manifests and deltas, appended and synced before the outside commit. Lives on the log
/// thread; a write error is fatal.
pub trait EpochLog: Send {
    /// The records, oldest first. A torn tail has been cut off when the log was opened; anything else that does not
    /// check is `Fault::Corrupt` there.
    fn records(&self) -> &[LogRecord];

    /// Appends a record and, if `sync`, makes it durable (`fdatasync`) before it returns.
    fn append(&mut self, epoch: Epoch, manifest: &[u8], deltas: &[Delta], sync: bool) -> Result<(), PortError>;

    /// Cuts the log back so that `records()[index]` is its last record, and syncs.
    fn cut_after(&mut self, index: usize) -> Result<(), PortError>;

    /// Replaces the whole log by one record (a first start that is tried again): temp file and rename.
    fn replace(&mut self, epoch: Epoch, manifest: &[u8]) -> Result<(), PortError>;

    /// Hands the deltas of the records behind `applied` up to and including `records()[index]` to `each`, oldest first.
    /// `applied` must be one of them: a number alone proves nothing. With `None` the log must hold everything since
    /// its beginning. Otherwise it is `Fault::Corrupt`, and `each` has seen nothing.
    fn replay(
        &self,
        applied: Option<&RecordId>,
        index: usize,
        each: &mut dyn FnMut(&RecordId, Delta) -> Result<(), PortError>,
    ) -> Result<(), PortError>;

    /// Drops whole segments whose records all are older than `durable`; never the last record.
    fn trim(&mut self, durable: Epoch) -> Result<(), PortError>;

    /// Bytes on disk.
    fn bytes(&self) -> u64;
}
