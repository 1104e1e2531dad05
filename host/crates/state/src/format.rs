//! The `FORMAT` file: what a state directory is. Four lines of text, so that a human can read them too:
//!
//! ```text
//! weir-state
//! version 1
//! job orders
//! shard 0
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use weir_core::{JobName, ShardId};

use crate::error::Error;
use crate::files;
use crate::lock::LOCK;

const FORMAT: &str = "FORMAT";
const MAGIC: &str = "weir-state";
/// Covers everything in the directory: keys, deltas, log records, and the options that RocksDB cannot change.
const VERSION: &str = "1";

/// What may lie in a directory that was never used: an attempt to start that died early, or a file system's own.
const HARMLESS: [&str; 3] = [LOCK, "replace.tmp", "lost+found"];

/// Refuses a directory that is neither empty nor Weir's, before anything is written to it.
pub(crate) fn refuse_foreign(dir: &Path) -> Result<(), Error> {
    let names = fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>())
        .map_err(Error::io("list", dir))?;
    let stranger = names.iter().find(|name| HARMLESS.iter().all(|harmless| name != harmless));
    match stranger {
        Some(name) if !dir.join(FORMAT).exists() => Err(Error::Foreign {
            path: dir.to_owned(),
            disagreement: format!("is not a Weir state directory: it has no {FORMAT} file but holds {name:?}"),
            cure: "give --state-dir an empty or a new directory",
        }),
        _ => Ok(()),
    }
}

/// Checks that the directory belongs to `shard` of `job`; writes the file where there is none. Under the lock.
pub(crate) fn check_or_create(dir: &Path, job: &JobName, shard: ShardId) -> Result<(), Error> {
    let path = dir.join(FORMAT);
    match fs::read(&path) {
        Ok(bytes) => check(&bytes, job, shard).map_err(|(disagreement, cure)| Error::Foreign {
            path: dir.to_owned(),
            disagreement,
            cure,
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = format!("{MAGIC}\nversion {VERSION}\njob {job}\nshard {shard}\n");
            files::replace(dir, FORMAT, text.as_bytes())
        }
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

/// What disagrees, and the cure.
type Disagreement = (String, &'static str);

fn check(bytes: &[u8], job: &JobName, shard: ShardId) -> Result<(), Disagreement> {
    const DAMAGED: &str = "restore the directory from a copy, or move it away to start anew";
    let text = std::str::from_utf8(bytes).map_err(|_| (format!("has a damaged {FORMAT} file: not text"), DAMAGED))?;
    let mut lines = text.lines();
    if lines.next() != Some(MAGIC) {
        return Err((
            format!("is not a Weir state directory: its {FORMAT} file does not begin with {MAGIC:?}"),
            "give --state-dir an empty or a new directory",
        ));
    }
    let mut field = |name: &str| {
        lines
            .next()
            .and_then(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .ok_or_else(|| (format!("has a damaged {FORMAT} file: no line {name:?} where it belongs"), DAMAGED))
    };
    let version = field("version")?;
    if version != VERSION {
        return Err((
            format!("has format version {version}, and this Weir knows version {VERSION}"),
            "run the Weir that wrote it",
        ));
    }
    let (found_job, found_shard) = (field("job")?, field("shard")?);
    if found_job != job.as_str() {
        return Err((
            format!("belongs to job {found_job:?}, and this is job {:?}", job.as_str()),
            "give each job its own --state-dir, or use the same --job name as before",
        ));
    }
    if found_shard != shard.to_string() {
        return Err((
            format!("belongs to shard {found_shard}, and this is shard {shard}"),
            "give each shard its own state directory",
        ));
    }
    if lines.next().is_some() {
        return Err((format!("has a damaged {FORMAT} file: more than four lines"), DAMAGED));
    }
    Ok(())
}
