//! Making a state directory forget. While `RESETTING` lies in it nothing else in it counts: whatever a crash leaves is
//! refused by a start, and finished by the next reset.

use std::fs;
use std::path::{Path, PathBuf};

use weir_core::{JobName, ShardId};

use crate::error::Error;
use crate::files;
use crate::format::{self, ADDRESS, FOLDERS, FORMAT, Identity, RESETTING, RESTORED, RESTORING};
use crate::lock::{LOCK, Lock};
use crate::view::LogView;

/// A locked state directory that is to forget.
#[derive(Debug)]
pub struct Reset {
    path: PathBuf,
    identity: Identity,
    _lock: Lock,
}

impl Reset {
    /// Takes the lock of a directory that belongs to `shard` of `job`. `None`: there is nothing to forget.
    pub fn begin(path: &Path, job: &JobName, shard: ShardId) -> Result<Option<Self>, Error> {
        let identity = Identity { job: job.clone(), shard };
        if !path.is_dir() {
            return Ok(None);
        }
        if !Self::is_of(path, &identity)? {
            return Ok(None);
        }
        let lock = Lock::take(path)?;
        // Once more: whoever held the lock meanwhile may have changed all of it.
        let is_still = Self::is_of(path, &identity)?;
        Ok(is_still.then(|| Self { path: path.to_owned(), identity, _lock: lock }))
    }

    /// False where the directory is empty; somebody else's is refused.
    fn is_of(path: &Path, identity: &Identity) -> Result<bool, Error> {
        for read in [format::read_resetting, format::read, format::read_restoring] {
            if let Some(found) = read(path)? {
                return format::check(path, &found, identity).map(|()| true);
            }
        }
        format::refuse_foreign(path).map(|()| false)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log that it is to forget; `None` where the wiping has begun: then Kafka has forgotten already.
    pub fn log(&self) -> Result<Option<LogView>, Error> {
        let is_whole = self.path.join(FORMAT).exists();
        is_whole.then(|| LogView::open(&self.path)).transpose()
    }

    /// Marks the directory: from here on no job starts with it.
    pub fn mark(&self) -> Result<(), Error> {
        files::replace(&self.path, RESETTING, self.identity.encode().as_bytes())
    }

    /// Removes everything that is Weir's; a first start finds it empty.
    pub fn wipe(self) -> Result<(), Error> {
        self.empty()
    }

    /// The same, and the directory itself unless it holds anything else.
    pub fn remove(self) -> Result<(), Error> {
        self.empty()?;
        files::remove_file(&self.path.join(LOCK))?;
        // What is not empty was not all Weir's, or is another start's by now.
        fs::remove_dir(&self.path).or(Ok(()))
    }

    fn empty(&self) -> Result<(), Error> {
        self.mark()?;
        // First, and for good: without it nobody looks at the rest.
        files::remove_file(&self.path.join(FORMAT))?;
        files::sync_dir(&self.path)?;
        for dir in FOLDERS.into_iter().chain([RESTORING]) {
            files::remove_dir(&self.path.join(dir))?;
        }
        for file in [RESTORED, ADDRESS] {
            files::remove_file(&self.path.join(file))?;
        }
        files::sync_dir(&self.path)?;
        files::remove_file(&self.path.join(RESETTING))?;
        files::sync_dir(&self.path)
    }
}
