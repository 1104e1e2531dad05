//! The lock on a state directory: `flock` on its `LOCK` file, which holds the owner's pid.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::Path;

use crate::error::Error;

/// The name of the lock file. It is never removed: a lock on a removed file would exclude nobody.
pub(crate) const LOCK: &str = "LOCK";

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
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { path: dir.to_owned(), pid: owner(&path)? }),
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(Error::io("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// Who holds the lock, by its own word.
fn owner(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let pid = text.trim();
    Ok(if pid.is_empty() { "unknown".to_owned() } else { pid.to_owned() })
}
