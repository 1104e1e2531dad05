//! A state directory as it is, for people and tools: nothing is written and no lock is held, also while its owner works.
//!
//! The owner changes files under a reader: it trims the log, compacts the store. What did not fit is looked at again
//! for a moment; only then, or where nobody owns the directory, it is an error. To see store and log of one moment, open
//! the store first: the log then goes at least as far.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use weir_core::ports::{Delta, EpochLog, TableKind};
use weir_core::{Epoch, JobName, OperatorId, PortError, RecordId, ShardId, TableId};

use crate::delta;
use crate::dir::refuse_lost;
use crate::error::Error;
use crate::format::{self, Identity};
use crate::lock;
use crate::log::{SegmentLog, trimmed_to};
use crate::store::{Entries, StoreReader};

/// How often a directory in use is looked at again.
const TRIES: u32 = 10;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub struct StateView {
    path: PathBuf,
    identity: Identity,
}

/// The epoch log of a [`StateView`].
pub struct LogView(SegmentLog);

/// The store of a [`StateView`], as of its last flush.
pub struct StoreView {
    path: PathBuf,
    store: Option<StoreReader>,
}

/// One value of the keyed state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateEntry<'a> {
    /// Whose it is.
    pub operator: OperatorId,
    /// In which table.
    pub table: TableId,
    /// As the plugin wrote it.
    pub value: &'a [u8],
    /// The key, as a table of its kind has it.
    key: &'a [u8],
}

impl<'a> StateEntry<'a> {
    /// The key as the user wrote it, and where a table of this kind has several entries under it, that of the entry: for
    /// a list its number, a `u64` in big endian.
    pub fn key(&self, kind: TableKind) -> Result<(&'a [u8], Option<&'a [u8]>), Error> {
        let broken = || Error::Invariant(format!("a key of {} bytes in a table of kind {kind}", self.key.len()));
        delta::parse_rest(kind, self.key).ok_or_else(broken)
    }
}

/// The keyed state as an epoch left it: the store, and over it what the log says since.
pub struct Snapshot {
    store: Option<StoreReader>,
    changes: BTreeMap<Bytes, Option<Bytes>>,
}

impl StateView {
    /// Looks whose directory it is; what is none is refused.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let missing = |disagreement: &str, cure| {
            let (path, disagreement) = (path.clone(), disagreement.to_owned());
            Err(Error::Foreign { path, disagreement, cure })
        };
        if !path.is_dir() {
            return Err(Error::Missing { path });
        }
        format::refuse_interrupted(&path)?;
        match format::read(&path)? {
            Some(identity) => Ok(Self { path, identity }),
            None => missing("is not a Weir state directory: it has no FORMAT file", "give the --state-dir of a job"),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    pub fn job(&self) -> &JobName {
        &self.identity.job
    }

    /// Which of its shards.
    pub fn shard(&self) -> ShardId {
        self.identity.shard
    }

    /// The format of everything in it.
    pub fn format(&self) -> &'static str {
        format::VERSION
    }

    /// The process that owns it now, if one does.
    pub fn owner(&self) -> Result<Option<String>, Error> {
        lock::holder(&self.path)
    }

    /// Reads the log as it is now.
    pub fn log(&self) -> Result<LogView, Error> {
        self.settled(|| LogView::open(&self.path))
    }

    /// Opens the store as of its last flush. One that is lost is an error, as at a start, unless the log has all of it.
    pub fn store(&self) -> Result<StoreView, Error> {
        self.settled(|| {
            let store = StoreView::open(&self.path.join("store"))?;
            match store.applied() {
                Some(_) => Ok(store),
                None => refuse_lost(&self.path, trimmed_to(&self.path.join("log"))?).map(|()| store),
            }
        })
    }

    /// Asks again while somebody is at work here.
    pub fn settled<T, E>(&self, ask: impl Fn() -> Result<T, E>) -> Result<T, E> {
        let mut tried = 1;
        loop {
            match ask() {
                Err(_) if tried < TRIES && self.owner().is_ok_and(|owner| owner.is_some()) => {
                    weir_machine::sleep(TRY_AGAIN_AFTER);
                }
                answer => return answer,
            }
            tried += 1;
        }
    }
}

impl LogView {
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        SegmentLog::view(&dir.join("log")).map(Self)
    }

    /// The records, oldest first.
    pub fn records(&self) -> &[RecordId] {
        self.0.records()
    }

    /// The log itself, to be read.
    pub fn as_log(&self) -> &dyn EpochLog {
        &self.0
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// How many files.
    pub fn segments(&self) -> usize {
        self.0.segments()
    }

    /// Bytes behind the last whole record: left by a crash, or being written at this moment.
    pub fn torn_bytes(&self) -> u64 {
        self.0.torn_bytes()
    }
}

impl StoreView {
    fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned(), store: StoreReader::open(path)? })
    }

    /// The record that it holds on disk; `None` while it has never held one.
    pub fn applied(&self) -> Option<&RecordId> {
        self.store.as_ref().and_then(StoreReader::applied)
    }

    /// Bytes on disk. Files may come and go meanwhile.
    pub fn bytes(&self) -> Result<u64, Error> {
        let Ok(entries) = fs::read_dir(&self.path) else { return Ok(0) };
        let lens = entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|file| file.len());
        Ok(lens.sum())
    }

    /// The state as of record `index` of `log`.
    pub fn as_of(self, log: &LogView, index: usize) -> Result<Snapshot, PortError> {
        let applied = self.applied();
        let holds = log.records().get(index).map_or(Epoch(0), |record| record.epoch);
        if applied.is_some_and(|applied| applied.epoch > holds) {
            let (applied, log) = (applied.cloned(), format!("is wanted as of epoch {holds}"));
            return Err(Error::Disagree { path: self.path, applied, log }.into());
        }
        let mut changes = BTreeMap::new();
        log.0.replay(applied, index, &mut |_, delta| overlay(&mut changes, &delta).map_err(PortError::from))?;
        Ok(Snapshot { store: self.store, changes })
    }
}

fn overlay(changes: &mut BTreeMap<Bytes, Option<Bytes>>, delta: &Delta) -> Result<(), Error> {
    for entry in delta::entries(&delta.payload) {
        let (key, value) = entry?;
        changes.insert(Bytes::copy_from_slice(key), value.map(Bytes::copy_from_slice));
    }
    Ok(())
}

impl Snapshot {
    /// Shows every value, ordered by key group, operator, table and key.
    pub fn each<E: From<Error>>(&self, mut show: impl FnMut(StateEntry<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut show = |key: &[u8], value: &[u8]| match delta::parse_key(key) {
            Some((operator, table, key)) => show(StateEntry { operator, table, key, value }),
            None => Err(Error::Invariant(format!("a state key of {} bytes", key.len())).into()),
        };
        let mut changes = self.changes.iter().peekable();
        for stored in self.store.as_ref().map_or_else(Entries::none, StoreReader::entries) {
            let (key, value) = stored?;
            while let Some((key, value)) = changes.next_if(|(changed, _)| ***changed < *key) {
                value.iter().try_for_each(|value| show(key, value))?;
            }
            match changes.next_if(|(changed, _)| ***changed == *key) {
                Some((key, value)) => value.iter().try_for_each(|value| show(key, value))?,
                None => show(&key, &value)?,
            }
        }
        for (key, value) in changes {
            value.iter().try_for_each(|value| show(key, value))?;
        }
        Ok(())
    }
}
