//! The lock on a state directory: `flock` on its `LOCK` file, which holds the owner's pid.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use crate::error::Error;

/// The name of the lock file. Removed only with its directory, by its owner: a lock on a removed file excludes nobody, so
/// whoever gets one looks whether it is still the file of that name.
pub(crate) const LOCK: &str = "LOCK";

/// Somebody who only asks whether there is an owner ([`holder`]) holds the lock for a moment: it is asked for again.
const TRIES: u32 = 5;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Ownership of a state directory; the kernel ends it with the process, however that dies.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Closing it unlocks.
    _file: File,
}

impl Lock {
    /// Takes the lock of `dir`, without waiting.
    pub(crate) fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(LOCK);
        let open = || {
            let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
            file.map_err(Error::io("open", &path))
        };
        let mut file = open()?;
        let mut tried = 1;
        loop {
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => break,
                Ok(()) => file = open()?,
                Err(TryLockError::WouldBlock) if tried < TRIES => weir_machine::sleep(TRY_AGAIN_AFTER),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Locked { path: dir.to_owned(), pid: owner(&path)? });
                }
                Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
            }
            tried += 1;
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(Error::io("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// Whether `file` is what stands at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let place = |found: fs::Metadata| (found.dev(), found.ino());
    file.metadata().ok().map(place) == fs::metadata(path).ok().map(place)
}

/// Who owns `dir` now, if anybody does; nothing is written.
pub(crate) fn holder(dir: &Path) -> Result<Option<String>, Error> {
    let path = dir.join(LOCK);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", &path)(error)),
    };
    match file.try_lock_shared() {
        // Given back when the file is closed, at once.
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(owner(&path)?)),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
    }
}

/// Who holds the lock, by its own word.
fn owner(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let pid = text.trim();
    Ok(if pid.is_empty() { "unknown".to_owned() } else { pid.to_owned() })
}
