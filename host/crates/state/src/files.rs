//! File-system steps that survive a power loss: a new or renamed name counts once its directory is synced.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use weir_core::crash_point;

use crate::error::Error;

/// What is written before it is renamed.
pub(crate) const REPLACE_TEMP: &str = "replace.tmp";

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(Error::io("sync directory", dir))
}

/// State is nobody's business but its owner's, whatever the umask. A directory that was there keeps its rights.
const OWNER_ONLY: u32 = 0o700;

/// Creates `dir` with its parents, for its owner only, each durable in its own parent.
pub(crate) fn create_dirs(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dirs(parent)?;
    }
    fs::DirBuilder::new()
        .mode(OWNER_ONLY)
        .create(dir)
        .or_else(|error| if dir.is_dir() { Ok(()) } else { Err(error) })
        .map_err(|source| Error::Create { path: dir.to_owned(), source })?;
    sync_dir(parent.unwrap_or(Path::new(".")))
}

/// Puts `bytes` at `dir/name` as a whole or not at all: temp file, sync, rename, sync of the directory.
pub(crate) fn put(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    name_written(dir, name, &written(dir, bytes)?)?;
    sync_dir(dir)
}

/// The same for what a start needs to be whole; crash points tell its steps.
pub(crate) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let (path, temp) = (dir.join(name), written(dir, bytes)?);
    crash_point!("manifest-temp").map_err(io::Error::other).map_err(Error::io("write", &temp))?;
    name_written(dir, name, &temp)?;
    crash_point!("manifest-renamed")
        .map_err(io::Error::other)
        .map_err(Error::io("rename a temporary file to", &path))?;
    sync_dir(dir)
}

/// Writes `bytes` under a temporary name.
fn written(dir: &Path, bytes: &[u8]) -> Result<PathBuf, Error> {
    let temp = dir.join(REPLACE_TEMP);
    let written = File::create(&temp).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(Error::io("write", &temp)).map(|()| temp)
}

fn name_written(dir: &Path, name: &str, temp: &Path) -> Result<(), Error> {
    let path = dir.join(name);
    fs::rename(temp, &path).map_err(Error::io("rename a temporary file to", &path))
}

/// The names in `dir`, in order; none where there is no such directory. A name that is no text is not Weir's.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(Error::io("list", dir))?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Removes a file that may not be there. Durable once its directory is synced.
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    missing_is_fine(fs::remove_file(path)).map_err(Error::io("remove", path))
}

/// Removes a directory that may not be there, and all in it. Durable once the directory above is synced.
pub(crate) fn remove_dir(path: &Path) -> Result<(), Error> {
    missing_is_fine(fs::remove_dir_all(path)).map_err(Error::io("remove", path))
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
