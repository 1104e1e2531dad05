//! Errors of the engine, and who must act on each.

use std::time::Duration;

use weir_checkpoint::epochs::Broken;
use weir_checkpoint::inherit::Mismatch;
use weir_checkpoint::sources::Unread;
use weir_checkpoint::{Refusal, Shared, manifest};
use weir_core::crash::Injected;
use weir_core::ports::Unfit;
use weir_core::{AttemptId, Epoch, Fault, PortError, RecordId, SourceName};
use weir_operator::NodeError;

/// What can end an attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An adapter failed.
    #[error("{context}")]
    Port {
        /// What was being done.
        context: &'static str,
        /// The adapter's error.
        #[source]
        source: PortError,
    },
    /// An adapter failed at a call that was watched.
    #[error("failed to {what}")]
    Waited {
        /// What was being done.
        what: &'static str,
        /// The adapter's error.
        #[source]
        source: PortError,
    },
    /// Something that is wrong, found by a call that was watched: it says what and where, and the call is beside the point.
    #[error(transparent)]
    Mistake(PortError),
    /// A call that did not come back was left behind.
    #[error("could not {what}: the call has not come back for {waited:.1?} and was left behind")]
    Hung {
        /// What was being done.
        what: &'static str,
        /// How long.
        waited: Duration,
    },
    /// A call that cannot be left behind does not come back.
    #[error(
        "could not {what} within {waited:.1?}, and nothing can go on without it; start the job again once disk and network answer"
    )]
    Stuck {
        /// What was being done.
        what: &'static str,
        /// How long.
        waited: Duration,
    },
    /// Too many calls hang: each keeps a thread, and a client with its buffers.
    #[error(
        "{0} calls or threads did not come back and were left behind, each with its memory and its connections; start \
         the job again: it goes on where it was (a supervisor such as systemd does so by itself)"
    )]
    LeftBehind(usize, #[source] Box<Error>),
    /// The restart strategy endures no more.
    #[error("gave up: {0}; see --restart")]
    GaveUp(String, #[source] Box<Error>),
    /// An operator cannot go on.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A record that goes from the source straight to a sink, which does not take it.
    #[error("record {record} cannot be written")]
    Unfit {
        /// Split and offset of the record.
        record: String,
        /// Why.
        #[source]
        source: Unfit,
    },
    /// A record that the source cannot give as it was written, with the policy to fail.
    #[error("record {record} has {why}; it can be dropped with --on-error skip")]
    Unreadable {
        /// Split and offset of the record.
        record: String,
        /// What is wrong with it.
        why: std::borrow::Cow<'static, str>,
    },
    /// State and marker disagree.
    #[error("refused to start{}", home.as_ref().map(|home| format!(" (the marker is in {home})")).unwrap_or_default())]
    Refused {
        /// How.
        #[source]
        refusal: Refusal,
        /// Where the marker is kept.
        home: Option<String>,
    },
    /// The pipeline does not fit the recorded state.
    #[error("refused to start")]
    Mismatch(#[from] Mismatch),
    /// Two sources read the same.
    #[error(transparent)]
    Shared(#[from] Shared),
    /// No split is there whose committed position could carry the marker of a job that reads something else, too.
    #[error(
        "nothing matches, and the positions of source {0} are committed beside those of what does; create something \
         that the pattern matches, or run source {0} as a job of its own"
    )]
    Markerless(SourceName),
    /// The pipeline does not read what the state was built from.
    #[error("refused to start")]
    Unread(#[from] Unread),
    /// A manifest of the log cannot be used.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// The store holds changes of epochs that do not hold: the log was cut by a power loss (delivery `none` does not
    /// sync it), or belongs to another time.
    #[error(
        "the state store holds epoch {applied}, but {}; restore the whole state directory from one savepoint or copy, \
         or make the job forget with `host reset`",
        the_one(*holds)
    )]
    StoreAhead {
        /// What the store holds.
        applied: Epoch,
        /// What holds.
        holds: Epoch,
    },
    /// The store holds an epoch that is none of this log's, whatever its number.
    #[error(
        "the state store holds {applied}, which is no record of this epoch log up to epoch {holds}: log and store are of \
         different times; restore the whole state directory from one savepoint or copy, or make the job forget with \
         `host reset`"
    )]
    StoreForeign {
        /// What the store holds.
        applied: RecordId,
        /// What holds.
        holds: Epoch,
    },
    /// Another instance has taken the job over.
    #[error(
        "another instance owns the job: the marker is of attempt {0}, which is not this process's; stop that instance before you start one here"
    )]
    Rival(AttemptId),
    /// A client call or a task does not come back.
    #[error("epoch {epoch} has waited {waited:.1?} for {what}")]
    Stalled {
        /// The epoch under way.
        epoch: Epoch,
        /// How long.
        waited: Duration,
        /// For what.
        what: &'static str,
    },
    /// A stop that could not be finished in time.
    #[error("could not commit the last epoch within {0:?} of the stop; what it held will be read again")]
    StopTimedOut(Duration),
    /// Stopped between a failed attempt and the next.
    #[error("stopped while recovering; what was not committed will be read again")]
    StoppedRecovering(#[source] Box<Error>),
    /// The job cannot recover because its source cannot be read again.
    #[error("the source cannot be read again, so the job cannot recover; {0}")]
    NotReplayable(String, #[source] Box<Error>),
    /// The outside could not be reached for as long as a start may take.
    #[error("could not start within {0:?}")]
    StartTimedOut(Duration, #[source] Box<Error>),
    /// The operating system gives no thread.
    #[error("failed to start a thread")]
    Thread(#[source] std::io::Error),
    /// A task's thread panicked.
    #[error("task {0} panicked; please report this as a bug")]
    Panicked(String),
    /// Something that cannot happen did: going on could break a promise.
    #[error("{0}; please report this as a bug")]
    Invariant(String),
    /// A step failed because a test said so.
    #[error(transparent)]
    Injected(#[from] Injected),
}

/// What holds, for a sentence.
fn the_one(holds: Epoch) -> String {
    match holds {
        Epoch(0) => "nothing was ever committed".to_owned(),
        holds => format!("epoch {holds} is the one that holds"),
    }
}

/// Without a word about what was being done: whoever waits for it says that.
impl From<PortError> for Error {
    fn from(source: PortError) -> Self {
        Self::Port { context: "failed to work on log and state", source }
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Self::Invariant(broken.to_string())
    }
}

impl Error {
    /// Wraps a port's error with what was being done.
    pub(crate) fn port(context: &'static str) -> impl FnOnce(PortError) -> Self {
        move |source| Self::Port { context, source }
    }

    /// Who must act.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Port { source, .. } | Self::Waited { source, .. } | Self::Mistake(source) => source.fault(),
            Self::Node(error) => error.fault(),
            Self::Unfit { .. }
            | Self::Unreadable { .. }
            | Self::StopTimedOut(_)
            | Self::StoppedRecovering(_)
            | Self::Stuck { .. }
            | Self::GaveUp(..)
            | Self::LeftBehind(..)
            | Self::NotReplayable(..)
            | Self::StartTimedOut(..) => Fault::User,
            Self::Mismatch(mismatch) => mismatch.fault(),
            Self::Shared(_) | Self::Markerless(_) => Fault::Config,
            Self::Refused { .. }
            | Self::Unread(_)
            | Self::Manifest(_)
            | Self::StoreAhead { .. }
            | Self::StoreForeign { .. } => Fault::Corrupt,
            Self::Rival(_) => Fault::Fenced,
            Self::Stalled { .. } | Self::Hung { .. } | Self::Thread(_) | Self::Injected(_) => Fault::Transient,
            Self::Panicked(_) | Self::Invariant(_) => Fault::Bug,
        }
    }
}

/// Why a job recovers, in one of a few words: the label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A client call or a task did not come back.
    Stalled,
    /// A time-out outside gave up what was not committed.
    Fenced,
    /// The outside refuses this user.
    Denied,
    /// Something that was there at the start is not any more.
    Config,
    /// Anything else that may pass.
    Transient,
}

impl Reason {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Stalled, Self::Fenced, Self::Denied, Self::Config, Self::Transient];

    /// Of an error that the job recovers from.
    pub(crate) fn of(error: &Error) -> Self {
        match (error, error.fault()) {
            (Error::Stalled { .. } | Error::Hung { .. }, _) => Self::Stalled,
            (_, Fault::Fenced) => Self::Fenced,
            (_, Fault::Denied) => Self::Denied,
            (_, Fault::Config) => Self::Config,
            _ => Self::Transient,
        }
    }

    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::Fenced => "fenced",
            Self::Denied => "denied",
            Self::Config => "config",
            Self::Transient => "transient",
        }
    }
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
