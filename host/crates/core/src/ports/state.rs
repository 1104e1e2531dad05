//! Keyed state of one shard, and the log of its epochs.

use std::ops::Range;

use bytes::Bytes;

use crate::fault::PortError;
use crate::ids::{Epoch, OperatorId, RecordId, TableId};
use crate::ports::{Now, TableKind, Ttl};

/// A key and its hash (`key_group::key_hash`), computed once per batch.
#[derive(Debug, Clone, Copy)]
pub struct KeyRef<'a> {
    /// The hash.
    pub hash: u64,
    /// The key as the user wrote it; with a window behind it where that is what slots are ([`crate::window_key`]).
    pub bytes: &'a [u8],
}

/// A table of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its number within the operator.
    pub id: TableId,
    /// What it holds for each key.
    pub kind: TableKind,
    /// How long what is written stays; for ever where it is `None`. What is stored says itself when it expires.
    pub ttl: Option<Ttl>,
}

/// What happens to what a key has in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A value becomes these bytes.
    Set(&'a [u8]),
    /// All of it goes: the value, every element of the list, every entry of the map.
    Clear,
    /// A list gets an element at its end.
    Append(&'a [u8]),
    /// A map gets an entry, in place of the one with this key; a table of timers gets a timer for this slot, whose time is
    /// the entry.
    Put {
        /// The entry's own key.
        entry: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// A map loses the entry with this key, if it has it; a table of timers loses the slot's timer of this time.
    Delete(&'a [u8]),
}

/// A scan reads no further once it has so many bytes of entries.
pub const SCAN_BYTES_MAX: usize = 1 << 20;

/// The changes one task made in one epoch, ready for the log: `{key_len:u32, key, value_len:u32, value}*`, little
/// endian, keys complete (key group, operator, table, user key, entry), a length of 0xFFFF_FFFF for what is cleared.
#[derive(Debug, Clone, Default)]
pub struct Delta {
    /// How many changes.
    pub entries: u64,
    /// The bytes.
    pub payload: Bytes,
}

/// The keyed state of one operator in one task. Lives on the task's thread; reads go through active overlay, sealed
/// overlay, committed layer and cache to the store.
///
/// Keys are named once for each call, and from then on by their slots. Values are fetched before a call; lists and maps
/// are read while it runs, and changed when it has gone well.
pub trait KeyedState: Send {
    /// What time it is from here on: what is past its time in the tables that expire, which are these, is not there, and is not
    /// kept for long.
    fn set_time(&mut self, now: Now, expiring: &[Table]);

    /// From here on what changes in tables that all tasks have is seen here and is in no delta: another task writes it.
    fn follow(&mut self);

    /// Begins a call: `keys[n]` is slot `n`. A table that all tasks have is under no key: its slot is [`crate::frame::NULL`].
    /// The slots of the call before are gone.
    fn enter(&mut self, keys: &[KeyRef<'_>]);

    /// Appends to `out`, for each of `slots`, for each of `tables`, all of which hold values: `len:u32, bytes`
    /// (0xFFFF_FFFF = absent). Slots are fetched in order, from where the fetch before ended, always of the same tables.
    fn prefetch(&mut self, tables: &[Table], slots: Range<u32>, out: &mut Vec<u8>) -> Result<(), PortError>;

    /// Appends to `out`, for each of `wanted` (a slot, and the key of an entry of its map, empty where a key has one value):
    /// `len:u32, bytes` (0xFFFF_FFFF = absent).
    fn get_many(&mut self, table: Table, wanted: &[(u32, &[u8])], out: &mut Vec<u8>) -> Result<(), PortError>;

    /// Appends to `out` at most `limit` entries of the list or map of `slot`, in the order of their keys, from the first
    /// whose key is not below `start`: `key_len:u32, key, value_len:u32, value` each; not many more than
    /// [`SCAN_BYTES_MAX`], and at least one. The key of a list's element is its index, as a `u64` in big endian. True if
    /// there are more.
    fn scan(&mut self, table: Table, slot: u32, start: &[u8], limit: u32, out: &mut Vec<u8>)
    -> Result<bool, PortError>;

    /// Appends to `out` the first `limit` timers of the key `groups`, in order of time and then key, from the first that is
    /// not below `start`: each `time, key` as [`crate::window_key`] has them. Reads every one of the groups.
    fn timers(
        &mut self,
        table: Table,
        groups: Range<u16>,
        start: &[u8],
        limit: usize,
        out: &mut Vec<Vec<u8>>,
    ) -> Result<(), PortError>;

    /// Changes what `slot` has in `table`, in the active overlay. The change fits the table's kind. Lists, and maps that
    /// are cleared, may have to be read for it.
    fn change(&mut self, slot: u32, table: Table, change: Change<'_>) -> Result<(), PortError>;

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

    /// So many bytes of the log are no changes: until the next flush a restart reads them, too.
    fn logged(&self, bytes: u64) {
        let _ = bytes;
    }

    /// Estimated size of `operator`. Asks nobody: a disk that hangs must not hang who only wants to know.
    fn bytes(&self, operator: OperatorId) -> StateBytes;
}

/// The epoch log of one shard: manifests and deltas, appended and synced before the outside commit. Lives on the log
/// thread; a write error is fatal.
pub trait EpochLog: Send {
    /// The records, oldest first. A torn tail has been cut off when the log was opened; anything else that does not
    /// check is `Fault::Corrupt` there. Nothing else of them is kept in memory.
    fn records(&self) -> &[RecordId];

    /// Reads what `records()[index]` says, verbatim: the log does not look inside. What no longer has the record's digest
    /// is `Fault::Corrupt`.
    fn manifest(&self, index: usize) -> Result<Bytes, PortError>;

    /// Reads what `records()[index]` has in common with others: see [`EpochLog::set_plan`].
    fn plan(&self, index: usize) -> Result<Bytes, PortError>;

    /// What the records written from here on have in common. It is written with the first of them that needs it, so that
    /// it is read back with each, however many were trimmed before.
    fn set_plan(&mut self, plan: &Bytes);

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
