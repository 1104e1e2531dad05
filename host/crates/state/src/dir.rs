//! The state directory: the one way to the log and the store of a shard.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use weir_core::ports::EpochLog;
use weir_core::{JobName, ShardId};

use crate::error::Error;
use crate::files;
use crate::format::{self, ADDRESS, Identity, RESTORING};
use crate::lock::Lock;
use crate::log::{self, SegmentLog};
use crate::plugins::PluginFiles;
use crate::store::{CURRENT, RocksStore};

/// A locked state directory of one shard of a job. Log and store keep the lock alive, whoever is dropped first.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    identity: Identity,
    empty: bool,
    ownership: Arc<Ownership>,
}

/// What log and store share: the lock, and whether a log is open.
#[derive(Debug)]
pub(crate) struct Ownership {
    _lock: Lock,
    /// Two logs writing the same file would destroy it.
    pub(crate) log_open: AtomicBool,
}

impl Ownership {
    pub(crate) fn new(lock: Lock) -> Self {
        Self { _lock: lock, log_open: AtomicBool::new(false) }
    }
}

impl StateDir {
    /// Locks the directory, creates it with its parents if it is not there, and checks that it is `shard` of `job`.
    /// Nothing is written to a directory that is refused.
    pub fn open(path: impl AsRef<Path>, job: &JobName, shard: ShardId) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        files::create_dirs(&path)?;
        format::refuse_foreign(&path)?;
        let lock = Lock::take(&path)?;
        // Once more: whoever held the lock meanwhile may have begun to reset or to restore it.
        format::refuse_foreign(&path)?;
        let identity = Identity { job: job.clone(), shard };
        format::check_or_create(&path, &identity)?;
        // What a restore that got to its end did not get to remove.
        files::remove_dir(&path.join(RESTORING))?;
        let empty = !log::has_bytes(&path.join("log"))?;
        Ok(Self { path, identity, empty, ownership: Arc::new(Ownership::new(lock)) })
    }

    /// What its logs and stores share.
    #[cfg(test)]
    pub(crate) fn ownership(&self) -> Arc<Ownership> {
        Arc::clone(&self.ownership)
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

    /// Whether no epoch was ever written here: a first start.
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Writes down where the job's API is, or that it has none any more. No part of the state: nobody waits for the disk.
    pub fn tell_address(&self, address: Option<&str>) -> Result<(), Error> {
        let path = self.path.join(ADDRESS);
        match address {
            Some(address) => fs::write(&path, format!("{address}\n")).map_err(Error::io("write", &path)),
            None => files::remove_file(&path),
        }
    }

    /// The plugins beside the state.
    pub fn plugins(&self) -> PluginFiles {
        PluginFiles::of(&self.path)
    }

    /// Opens the epoch log. One at a time: drop the log of an attempt before the next attempt opens it.
    pub fn log(&self) -> Result<Box<dyn EpochLog>, Error> {
        Ok(Box::new(SegmentLog::open(&self.path.join("log"), Arc::clone(&self.ownership))?))
    }

    /// Opens the store; `memory_bytes` bounds memtables, block cache, and all overlays and caches together. Once for
    /// the life of the job: it survives recovery in place. A store that is lost while the log no longer holds all of it
    /// is an error, and nothing is written.
    pub fn store(&self, memory_bytes: u64) -> Result<Arc<RocksStore>, Error> {
        let path = self.path.join("store");
        let trimmed = log::trimmed_to(&self.path.join("log"))?;
        // Before anything is made: a second start must not find an empty store that looks like one of its own.
        if !path.join(CURRENT).exists() {
            refuse_lost(&self.path, trimmed)?;
        }
        files::create_dirs(&path)?;
        let store = RocksStore::open(&path, memory_bytes, Arc::clone(&self.ownership))?;
        match store.applied() {
            Some(applied) if self.empty => {
                let (path, log) = (self.path.clone(), "is empty".to_owned());
                Err(Error::Disagree { path, applied: Some(applied), log })
            }
            Some(_) => Ok(Arc::new(store)),
            None => refuse_lost(&self.path, trimmed).map(|()| Arc::new(store)),
        }
    }
}

/// Where the API of the job is whose state directory this is, as it said when it started.
pub fn address_of(path: &Path) -> Result<String, Error> {
    let file = path.join(ADDRESS);
    let text = fs::read_to_string(&file).map_err(Error::io("read", &file))?;
    Ok(text.trim_end().to_owned())
}

/// An empty store is made whole again by the log alone, unless the log lacks the beginning: it was trimmed, or began with
/// the state of another job, because the store held that.
pub(crate) fn refuse_lost(path: &Path, trimmed: Option<u64>) -> Result<(), Error> {
    let Some(number) = trimmed else { return Ok(()) };
    let log = format!("begins with segment {number}: what came before was in a store that is lost");
    Err(Error::Disagree { path: path.to_owned(), applied: None, log })
}
