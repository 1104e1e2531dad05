//! A savepoint: one directory with all state of a stopped job, which can be moved, kept, and restored from.
//!
//! ```text
//! DIR/SAVEPOINT   what it is; size and BLAKE3 of every file; last, the digest of the lines before
//! DIR/state/      FORMAT, log, plugins and store, byte for byte as they were
//! ```
//! ```text
//! weir-savepoint
//! version 1
//! job orders
//! shard 0
//! holds 17 ATTEMPT DIGEST          or: holds unknown
//! file BLAKE3 BYTES PATH           one line a file, in order of paths
//! digest BLAKE3
//! ```
//! It is written beside its place and renamed there: under its name a savepoint is whole, or it is none.

mod contents;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use weir_core::{Digest, JobName, ShardId};

use crate::dir::StateDir;
use crate::error::Error;
use crate::files;
use crate::format::{self, FOLDERS, FORMAT, Identity, PLUGINS};
use crate::log;
use crate::plugins;
use contents::{Contents, Entry};

pub use contents::Held;

const SAVEPOINT: &str = "SAVEPOINT";
const STATE: &str = "state";
const CHUNK: usize = 1 << 20;

/// A savepoint whose description has been read and checked; its files are checked when they are restored.
#[derive(Debug)]
pub struct Savepoint {
    path: PathBuf,
    contents: Contents,
    digest: Digest,
}

/// Called with bytes done and bytes in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Savepoint {
    /// Writes all of `dir` to `out`, which must not exist yet (or be empty). The log and the store must not be open.
    pub fn write(dir: &StateDir, out: &Path, holds: Option<Held>, progress: Progress<'_>) -> Result<Self, Error> {
        let is_free = fs::read_dir(out)
            .map_or_else(|error| error.kind() == ErrorKind::NotFound, |mut entries| entries.next().is_none());
        if !is_free {
            return Err(Error::Exists { path: out.to_owned() });
        }
        let name = out.file_name().ok_or_else(|| Error::Exists { path: out.to_owned() })?;
        let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        files::create_dirs(parent)?;
        let temp = parent.join(format!("{}.partial-{}", name.display(), std::process::id()));
        // Of a process that had this number before.
        files::remove_dir(&temp)?;
        let written = Self::write_into(dir, &temp, holds, progress).and_then(|contents| {
            fs::rename(&temp, out).map_err(Error::io("rename the finished savepoint to", out))?;
            files::sync_dir(parent)?;
            Ok(contents)
        });
        if written.is_err() {
            // What is left of it has another name and helps nobody; the error that counts is the first.
            drop(fs::remove_dir_all(&temp));
        }
        let contents = written?;
        let (_, digest) = contents.encode();
        Ok(Self { path: out.to_owned(), contents, digest })
    }

    fn write_into(dir: &StateDir, temp: &Path, holds: Option<Held>, progress: Progress<'_>) -> Result<Contents, Error> {
        let state = temp.join(STATE);
        let mut paths = vec![FORMAT.to_owned()];
        for folder in FOLDERS {
            let is_part = |name: &str| match folder {
                "log" => log::is_segment(name),
                PLUGINS => plugins::is_part(name),
                _ => is_of_store(name),
            };
            files::create_dirs(&state.join(folder))?;
            paths.extend(
                files::names(&dir.path().join(folder))?
                    .iter()
                    .filter(|name| is_part(name))
                    .map(|name| format!("{folder}/{name}")),
            );
        }
        paths.sort();
        let total = paths.iter().map(|path| fs::metadata(dir.path().join(path)).map_or(0, |file| file.len())).sum();
        let mut copy = Copy { done: 0, total, progress };
        let mut entries = Vec::new();
        for path in paths {
            let (digest, bytes) = copy.file(&dir.path().join(&path), &state.join(&path))?;
            entries.push(Entry { digest, bytes, path });
        }
        let identity = Identity { job: dir.job().clone(), shard: dir.shard() };
        let contents = Contents { identity, holds, files: entries };
        for folder in FOLDERS {
            files::sync_dir(&state.join(folder))?;
        }
        files::sync_dir(&state)?;
        files::replace(temp, SAVEPOINT, contents.encode().0.as_bytes())?;
        Ok(contents)
    }

    /// Reads what the savepoint in `path` says of itself.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = path.join(SAVEPOINT);
        let text = match fs::read_to_string(&file) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::Missing { path: file });
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => Err("it is no text".to_owned()),
            Err(error) => return Err(Error::io("read", &file)(error)),
        };
        let decoded = text.and_then(|text| Contents::decode(&text));
        let (contents, digest) = decoded.map_err(|reason| Error::Savepoint { path: file, reason })?;
        Ok(Self { path: path.to_owned(), contents, digest })
    }

    /// Whose state it holds.
    pub fn job(&self) -> &JobName {
        &self.contents.identity.job
    }

    /// Of which shard.
    pub fn shard(&self) -> ShardId {
        self.contents.identity.shard
    }

    /// The record that certainly holds; `None` where only Kafka could tell.
    pub fn holds(&self) -> Option<&Held> {
        self.contents.holds.as_ref()
    }

    /// Tells it from every other savepoint.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.contents.files.iter().map(|entry| entry.bytes).sum()
    }

    /// Copies log and store to `target`, each file checked, all of it durable.
    pub(crate) fn copy_to(&self, target: &Path, progress: Progress<'_>) -> Result<(), Error> {
        let mut copy = Copy { done: 0, total: self.bytes(), progress };
        for folder in FOLDERS {
            files::create_dirs(&target.join(folder))?;
        }
        for entry in &self.contents.files {
            let file = self.path.join(STATE).join(&entry.path);
            if !file.is_file() {
                return Err(Error::Savepoint { path: file, reason: "the file is missing".to_owned() });
            }
            let (digest, _) = copy.file(&file, &target.join(&entry.path))?;
            if digest != entry.digest {
                let reason = format!("the file's BLAKE3 is {digest}, and {} was written", entry.digest);
                return Err(Error::Savepoint { path: file, reason });
            }
        }
        // They become a directory of this format, so that is what they must be. It says itself whose it is.
        format::read(target)?;
        drop(fs::remove_file(target.join(FORMAT)));
        for folder in FOLDERS {
            files::sync_dir(&target.join(folder))?;
        }
        files::sync_dir(target)
    }
}

/// RocksDB's lock, its own log and its temporary files are of the process that wrote them.
fn is_of_store(name: &str) -> bool {
    name != "LOCK" && !name.starts_with("LOG") && !name.ends_with(".dbtmp")
}

/// Copies files, and tells how far it is.
struct Copy<'a> {
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl Copy<'_> {
    /// Copies one file durably (but for its name): its digest and its bytes.
    fn file(&mut self, from: &Path, to: &Path) -> Result<(Digest, u64), Error> {
        let mut source = File::open(from).map_err(Error::io("open", from))?;
        let mut target = File::create(to).map_err(Error::io("create", to))?;
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = match source.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", from)(error)),
            };
            let part = chunk.get(..read).unwrap_or_default();
            hasher.update(part);
            target.write_all(part).map_err(Error::io("write", to))?;
            bytes += read as u64;
            self.done += read as u64;
            (self.progress)(self.done, self.total);
        }
        target.sync_all().map_err(Error::io("sync", to))?;
        Ok((Digest(hasher.finalize().to_hex().to_string()), bytes))
    }
}
