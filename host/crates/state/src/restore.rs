//! From a savepoint to a state directory. Until its last step the directory is none that a job could use:
//!
//! 1. under the lock, `restoring/` says what is going on, and takes copies of log and store, every file checked;
//! 2. they are renamed to their places, and `RESTORED` says from which savepoint;
//! 3. `FORMAT` is written: from here on it is a state directory like any other; `restoring/` goes.
//!
//! Whatever a crash leaves before 3 is refused by a start, and done again by the next restore.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use weir_core::ports::{EpochLog, StateStore as _};
use weir_core::{Digest, Epoch, JobName, PortError, ShardId};

use crate::dir::Ownership;
use crate::error::Error;
use crate::files;
use crate::format::{self, FOLDERS, FORMAT, Identity, RESETTING, RESTORED, RESTORING};
use crate::lock::Lock;
use crate::log::{self, SegmentLog};
use crate::savepoint::{Progress, Savepoint};
use crate::store::{RocksStore, StoreReader};

/// A directory that is being restored: everything is there, nothing counts until [`Restoring::finish`].
#[derive(Debug)]
pub struct Restoring {
    path: PathBuf,
    identity: Identity,
    savepoint: Digest,
    ownership: Arc<Ownership>,
}

impl Savepoint {
    /// Begins to restore into `path`, for `shard` of `job`. `None`: the directory went on from this very savepoint
    /// before, and goes on from where it is.
    pub fn restore(
        &self,
        path: &Path,
        job: &JobName,
        shard: ShardId,
        progress: Progress<'_>,
    ) -> Result<Option<Restoring>, Error> {
        files::create_dirs(path)?;
        let identity = Identity { job: job.clone(), shard };
        match format::read_restoring(path)? {
            // One that was cut short is done again, for the same job.
            Some(found) => format::check(path, &found, &identity)?,
            None => format::refuse_foreign(path)?,
        }
        let lock = Lock::take(path)?;
        if self.is_continued(path, &identity)? {
            return Ok(None);
        }
        clear(path, &identity)?;
        let restoring = path.join(RESTORING);
        if let Err(error) = self.copy_to(&restoring, progress) {
            // Nothing of it can be used: the directory is as empty as it was. The error that counts is the first. Last
            // goes what says for whom it was: cut short, it can be done again.
            let parts = FOLDERS.map(|part| files::remove_dir(&restoring.join(part)));
            if parts.iter().all(Result::is_ok) {
                drop(fs::remove_dir_all(&restoring));
            }
            return Err(error);
        }
        let ownership = Arc::new(Ownership::new(lock));
        Ok(Some(Restoring { path: path.to_owned(), identity, savepoint: self.digest().clone(), ownership }))
    }

    /// Whether `path` holds what became of this savepoint; state from elsewhere is refused.
    fn is_continued(&self, path: &Path, identity: &Identity) -> Result<bool, Error> {
        if path.join(RESETTING).exists() {
            format::refuse_interrupted(path)?;
        }
        let Some(found) = format::read(path)? else { return Ok(false) };
        format::check(path, &found, identity)?;
        let stamp = match fs::read_to_string(path.join(RESTORED)) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("read", path.join(RESTORED))(error)),
        };
        if stamp.is_some_and(|stamp| stamp.trim_end() == self.digest().0) {
            return Ok(true);
        }
        // A start that got no further than its names has no state.
        let is_empty = !log::has_bytes(&path.join("log"))?
            && StoreReader::open(&path.join("store"))?.is_none_or(|store| store.applied().is_none());
        match is_empty {
            true => Ok(false),
            false => Err(Error::Foreign {
                path: path.to_owned(),
                disagreement: "already holds state, which did not come from this savepoint".to_owned(),
                cure: "start without --from-savepoint to go on with it, or give another --state-dir",
            }),
        }
    }
}

/// Says that a restore is going on, then removes what an earlier one, or a start without a first record, left.
fn clear(path: &Path, identity: &Identity) -> Result<(), Error> {
    format::begin_restoring(path, identity)?;
    let restoring = path.join(RESTORING);
    files::remove_file(&path.join(FORMAT))?;
    files::sync_dir(path)?;
    files::remove_file(&path.join(RESTORED))?;
    for dir in FOLDERS {
        files::remove_dir(&path.join(dir))?;
        files::remove_dir(&restoring.join(dir))?;
    }
    files::sync_dir(path)
}

impl Restoring {
    /// The restored log. Drop it before [`Restoring::finish`].
    pub fn log(&self) -> Result<Box<dyn EpochLog>, Error> {
        let dir = self.path.join(RESTORING).join("log");
        Ok(Box::new(SegmentLog::open(&dir, Arc::clone(&self.ownership))?))
    }

    /// Makes what was restored the beginning of another job: the store is brought up to record `index` of the log, and
    /// `first`, an empty epoch that follows it, becomes the only record. It stands where a log does that lacks its
    /// beginning, and the store holds that very record: if the store is lost, nothing can be mistaken for all of it.
    pub fn fork(&self, index: usize, first: (Epoch, Bytes, &[u8]), memory_bytes: u64) -> Result<(), PortError> {
        let dir = self.path.join(RESTORING);
        let store = RocksStore::open(&dir.join("store"), memory_bytes, Arc::clone(&self.ownership))?;
        let mut log = SegmentLog::open(&dir.join("log"), Arc::clone(&self.ownership))?;
        let applied = store.applied();
        log.replay(applied.as_ref(), index, &mut |record, delta| store.apply(record, vec![delta]))?;
        let (epoch, plan, manifest) = first;
        log.set_plan(&plan);
        let record = log.begin_later(epoch, manifest)?;
        store.apply(&record, Vec::new())?;
        store.flush()
    }

    /// Makes it the state directory of the job.
    pub fn finish(self) -> Result<(), Error> {
        if Arc::strong_count(&self.ownership) > 1 {
            return Err(Error::Invariant("a restore is finished while its log or store is open".to_owned()));
        }
        let restoring = self.path.join(RESTORING);
        for dir in FOLDERS {
            let target = self.path.join(dir);
            fs::rename(restoring.join(dir), &target).map_err(Error::io("move what was restored to", &target))?;
        }
        files::sync_dir(&self.path)?;
        files::replace(&self.path, RESTORED, format!("{}\n", self.savepoint).as_bytes())?;
        files::replace(&self.path, FORMAT, self.identity.encode().as_bytes())?;
        files::remove_dir(&restoring)
    }
}
