//! What can go wrong with state, and who must act.

use std::io;
use std::path::{Path, PathBuf};

use weir_core::{Fault, PortError, RecordId};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process owns the directory.
    #[error(
        "state directory {} is in use by process {pid}: stop that process, or give this job another --state-dir",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The owner as it wrote itself down; `unknown` between its lock and its writing.
        pid: String,
    },
    /// The directory belongs to something else, or to a Weir that this one does not understand.
    #[error("state directory {} {disagreement}: {cure}", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What disagrees.
        disagreement: String,
        /// What to do.
        cure: &'static str,
    },
    /// There is nothing to look at.
    #[error("{} is not there: check the path", path.display())]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// A savepoint is written to a new place.
    #[error("{} exists already: a savepoint needs a new directory", path.display())]
    Exists {
        /// The place.
        path: PathBuf,
    },
    /// A savepoint does not check; nothing was restored from it.
    #[error("savepoint {} is damaged or of another Weir: {reason}; nothing was restored: use another copy", path.display())]
    Savepoint {
        /// The file of it.
        path: PathBuf,
        /// What does not check.
        reason: String,
    },
    /// The directory cannot be made.
    #[error("failed to create state directory {}: check --state-dir and its permissions", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system refused something: fatal, state is never half-written on purpose.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The epoch log does not check.
    #[error(
        "epoch log {} is damaged at offset {offset}: {reason}; nothing was changed: restore the state directory from \
         a copy, or move it away to start anew",
        path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where the damaged record begins.
        offset: u64,
        /// What does not check.
        reason: &'static str,
    },
    /// Store and log do not fit together.
    #[error(
        "state directory {}: the store holds {}, but the epoch log {log}; restore both from one copy or savepoint, or \
         make the job forget with `host reset`",
        path.display(), applied.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
    )]
    Disagree {
        /// The directory of the store.
        path: PathBuf,
        /// What the store holds.
        applied: Option<RecordId>,
        /// What the log holds instead.
        log: String,
    },
    /// An earlier write to the log failed; what it left behind is cut off when the log is opened again.
    #[error("epoch log {} takes no more writes after a failed one: free disk space and restart the job", path.display())]
    Poisoned {
        /// The directory of the log.
        path: PathBuf,
    },
    /// RocksDB refused something: fatal.
    #[error("failed to {action} the store in {}", path.display())]
    Store {
        /// What was tried.
        action: &'static str,
        /// The directory of the store.
        path: PathBuf,
        /// Why.
        source: rocksdb::Error,
    },
    /// RocksDB's files do not check, or some are gone.
    #[error(
        "the store in {} is damaged; nothing of it was used: restore the state directory from a savepoint or from a copy \
         of this very state, or make the job forget with `host reset`",
        path.display()
    )]
    StoreDamaged {
        /// The directory of the store.
        path: PathBuf,
        /// What does not check.
        source: rocksdb::Error,
    },
    /// Weir itself is wrong.
    #[error("state invariant broken: {0}; please report this")]
    Invariant(String),
}

impl Error {
    /// Who must act.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Locked { .. } => Fault::Fenced,
            Self::Foreign { .. }
            | Self::Damaged { .. }
            | Self::Disagree { .. }
            | Self::Savepoint { .. }
            | Self::StoreDamaged { .. } => Fault::Corrupt,
            Self::Create { .. } | Self::Missing { .. } | Self::Exists { .. } => Fault::Config,
            Self::Io { .. } | Self::Poisoned { .. } | Self::Store { .. } => Fault::User,
            Self::Invariant(_) => Fault::Bug,
        }
    }

    /// What RocksDB said when it was to `action` the store in `path`.
    pub(crate) fn store(action: &'static str, path: &Path, source: rocksdb::Error) -> Self {
        let path = path.to_owned();
        // A file that a manifest names and that is not there is an I/O error to RocksDB, but for an empty store.
        let is_gone = source.kind() == rocksdb::ErrorKind::IOError && source.as_ref().contains("No such file");
        match source.kind() {
            rocksdb::ErrorKind::Corruption => Self::StoreDamaged { path, source },
            _ if is_gone => Self::StoreDamaged { path, source },
            _ => Self::Store { action, path, source },
        }
    }

    /// For `map_err`: `action` on `path` failed.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl From<Error> for PortError {
    fn from(error: Error) -> Self {
        Self::new(error.fault(), error)
    }
}
