//! What can go wrong, and who must act.

use std::io;
use std::path::PathBuf;

use weir_core::{Fault, PortError};

use crate::standard::Stream;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that cannot be opened.
    #[error("failed to open {}; check its path and permissions", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory, a pipe or a device where lines must be read again.
    #[error("{} is no regular file, so it cannot be read again after a failure; pipe it in: --from -", .0.display())]
    NotRegular(PathBuf),
    /// A file that lost what was to be read.
    #[error(
        "{} has changed: the job is at byte {position} and reads to byte {end}, but {found}; \
         restore the file, or start a new job (another --job and state directory)",
        path.display()
    )]
    Changed {
        /// Its path.
        path: PathBuf,
        /// The next byte to read.
        position: i64,
        /// The bound of the read.
        end: i64,
        /// What does not fit.
        found: String,
    },
    /// Reading failed.
    #[error("failed to read {what}")]
    Read {
        /// The path, or `stdin`.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line that no record can hold.
    #[error("a line of {what} is longer than {limit} bytes; is it text with one value per line?")]
    LongLine {
        /// The path, or `stdin`.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// A record that a line of the sink's format cannot hold.
    #[error("a record does not fit a line of {what}: {reason}")]
    NoLine {
        /// The path, or `stdout`.
        what: String,
        /// What does not fit, and what would.
        reason: String,
    },
    /// Writing failed.
    #[error("failed to write {what}")]
    Write {
        /// The path.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Standard output takes nothing more: full, or whoever read it has closed it.
    #[error("failed to write stdout")]
    Stdout(#[source] io::Error),
    /// A standard stream that was not there when the process began.
    #[error(
        "{0} was closed before this program began, as a shell's `<&-` and `>&-` do; redirect it, to or from /dev/null if \
         nothing is wanted of it"
    )]
    Closed(Stream),
    /// Standard input was opened a second time.
    #[error("stdin was read before and cannot be read again")]
    ReadTwice,
    /// A source was asked to go on from positions that are not its own.
    #[error("the state belongs to another source: it has {found}, this job reads {wanted}; start a new job for it")]
    Foreign {
        /// The splits found.
        found: String,
        /// The split of this source.
        wanted: String,
    },
    /// The thread that reads standard input could not be started.
    #[error("failed to start the thread that reads stdin")]
    Thread(#[source] io::Error),
}

impl Error {
    /// Who must act.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Open { .. } | Self::NotRegular(_) | Self::Closed(_) => Fault::Config,
            Self::Changed { .. } | Self::Foreign { .. } => Fault::Corrupt,
            Self::NoLine { .. } => Fault::User,
            Self::Read { .. } | Self::LongLine { .. } | Self::Write { .. } | Self::Stdout(_) | Self::Thread(_) => {
                Fault::User
            }
            Self::ReadTwice => Fault::Bug,
        }
    }
}

impl From<Error> for PortError {
    fn from(error: Error) -> Self {
        Self::new(error.fault(), error)
    }
}
