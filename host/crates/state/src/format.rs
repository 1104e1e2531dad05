//! The `FORMAT` file: what a state directory is. Four lines of text, so that a human can read them too:
//!
//! ```text
//! weir-state
//! version 4
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

/// The name of the file.
pub(crate) const FORMAT: &str = "FORMAT";
const MAGIC: &str = "weir-state";
/// Covers everything in the directory: keys, deltas, log records, and the options that RocksDB cannot change.
pub(crate) const VERSION: &str = "4";

/// What may lie in a directory that was never used: an attempt to start or to restore that died early, or a file
/// system's own.
const HARMLESS: [&str; 4] = [LOCK, files::REPLACE_TEMP, RESTORING, "lost+found"];

/// The folder of the plugins that run, or have run.
pub(crate) const PLUGINS: &str = "plugins";

/// The folders of a state directory: all that a job leaves.
pub(crate) const FOLDERS: [&str; 3] = ["log", PLUGINS, "store"];

/// Says where the API of the running job is.
pub(crate) const ADDRESS: &str = "API";

/// Lies in a directory while `host reset` is at work: whatever else is there is no longer to be trusted.
pub(crate) const RESETTING: &str = "RESETTING";
/// Holds what is being restored from a savepoint; the directory is none before it is complete.
pub(crate) const RESTORING: &str = "restoring";

/// In there: for whom. Without it the directory may be anybody's.
const RESTORING_FOR: &str = "FOR";

/// Names the savepoint that the directory was restored from.
pub(crate) const RESTORED: &str = "RESTORED";

/// Refuses a directory in which a reset or a restore was cut short: it is neither empty nor whole.
pub(crate) fn refuse_interrupted(dir: &Path) -> Result<(), Error> {
    let refused = |disagreement: &str, cure| Err(foreign(dir, (disagreement.to_owned(), cure)));
    if dir.join(RESETTING).exists() {
        return refused("was being reset when that was cut short", "run the same `host reset` again: it finishes");
    }
    if !dir.join(FORMAT).exists() && has_begun_restoring(dir)? {
        return refused(
            "was being restored from a savepoint when that was cut short",
            "start again with the same --from-savepoint, or remove the directory",
        );
    }
    Ok(())
}

/// Whether a restore got so far that it says for whom. One that was cut short before that has changed nothing.
fn has_begun_restoring(dir: &Path) -> Result<bool, Error> {
    let names = files::names(&dir.join(RESTORING))?;
    Ok(names.iter().any(|name| name != files::REPLACE_TEMP))
}

/// Refuses a directory that is neither empty nor Weir's, before anything is written to it.
pub(crate) fn refuse_foreign(dir: &Path) -> Result<(), Error> {
    refuse_interrupted(dir)?;
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

/// Whose directory it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) job: JobName,
    pub(crate) shard: ShardId,
}

impl Identity {
    /// The text of the file.
    pub(crate) fn encode(&self) -> String {
        let Self { job, shard } = self;
        format!("{MAGIC}\nversion {VERSION}\njob {job}\nshard {shard}\n")
    }
}

/// Whose directory it is; `None` where there is no file yet.
pub(crate) fn read(dir: &Path) -> Result<Option<Identity>, Error> {
    read_file(dir, FORMAT)
}

/// Whose directory it was, where a reset is under way.
pub(crate) fn read_resetting(dir: &Path) -> Result<Option<Identity>, Error> {
    read_file(dir, RESETTING)
}

/// For whom a savepoint is being restored, where that is under way.
pub(crate) fn read_restoring(dir: &Path) -> Result<Option<Identity>, Error> {
    read_file(&dir.join(RESTORING), RESTORING_FOR)
}

/// Says that a savepoint is being restored, before anything else is done.
pub(crate) fn begin_restoring(dir: &Path, identity: &Identity) -> Result<(), Error> {
    let restoring = dir.join(RESTORING);
    files::create_dirs(&restoring)?;
    files::replace(&restoring, RESTORING_FOR, identity.encode().as_bytes())
}

fn read_file(dir: &Path, name: &str) -> Result<Option<Identity>, Error> {
    let path = dir.join(name);
    match fs::read(&path) {
        Ok(bytes) => parse(&bytes).map(Some).map_err(|disagreement| foreign(dir, disagreement)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

fn foreign(dir: &Path, (disagreement, cure): Disagreement) -> Error {
    Error::Foreign { path: dir.to_owned(), disagreement, cure }
}

/// Checks that the directory is `wanted`'s; writes the file where there is none. Under the lock.
pub(crate) fn check_or_create(dir: &Path, wanted: &Identity) -> Result<(), Error> {
    match read(dir)? {
        Some(found) => check(dir, &found, wanted),
        None => files::replace(dir, FORMAT, wanted.encode().as_bytes()),
    }
}

/// What disagrees, and the cure.
type Disagreement = (String, &'static str);

fn parse(bytes: &[u8]) -> Result<Identity, Disagreement> {
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
    let (job, shard) = (field("job")?, field("shard")?);
    let nobody = || (format!("has a damaged {FORMAT} file: job {job:?}, shard {shard:?}"), DAMAGED);
    let identity = Identity {
        job: JobName::new(job).map_err(|_| nobody())?,
        shard: ShardId(shard.parse().map_err(|_| nobody())?),
    };
    if lines.next().is_some() {
        return Err((format!("has a damaged {FORMAT} file: more than four lines"), DAMAGED));
    }
    Ok(identity)
}

/// Refuses a directory that belongs to another job or shard.
pub(crate) fn check(dir: &Path, found: &Identity, wanted: &Identity) -> Result<(), Error> {
    if found.job != wanted.job {
        let disagreement =
            format!("belongs to job {:?}, and this is job {:?}", found.job.as_str(), wanted.job.as_str());
        let cure = "give each job its own --state-dir, or use the same --job name as before";
        return Err(foreign(dir, (disagreement, cure)));
    }
    if found.shard != wanted.shard {
        let disagreement = format!("belongs to shard {}, and this is shard {}", found.shard, wanted.shard);
        return Err(foreign(dir, (disagreement, "give each shard its own state directory")));
    }
    Ok(())
}
