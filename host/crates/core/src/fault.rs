//! Who must act on an error: the one thing a supervisor needs to know about it.

use std::error::Error as StdError;
use std::fmt;

/// Who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The configuration is wrong: a flag, a file, a plugin that is none, an input that is not there. Exit 2 at start.
    Config,
    /// The job failed by its own policy: a bad record, a plugin that traps. Exit 1.
    User,
    /// The outside refuses this user: credentials, ACLs. Exit 1 at start; a job that has run tries again, with back-off,
    /// until it is let in.
    Denied,
    /// It may pass by itself: recover in place with back-off.
    Transient,
    /// A rival owns the job, or a time-out outside gave up what was not committed. The marker tells which.
    Fenced,
    /// State and marker disagree, or state is foreign, corrupt or of an unknown format. Exit 4, nothing touched.
    Corrupt,
    /// Weir itself is wrong: an invariant does not hold. Exit 1 with a request to report it.
    Bug,
}

/// An error that crossed a port: the adapter's own error, and who must act on it.
#[derive(Debug)]
pub struct PortError {
    fault: Fault,
    source: Box<dyn StdError + Send + Sync + 'static>,
}

impl PortError {
    /// Wraps an adapter's error.
    pub fn new(fault: Fault, source: impl Into<Box<dyn StdError + Send + Sync + 'static>>) -> Self {
        Self { fault, source: source.into() }
    }

    /// Who must act.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The adapter's own error. A chain of causes does not hold it: it begins with what this one shows for it.
    pub fn inner(&self) -> &(dyn StdError + 'static) {
        self.source.as_ref()
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// The wrapped error shows through: a chain printed from here names each cause once.
impl StdError for PortError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.source()
    }
}

impl From<weir_failpoint::Injected> for PortError {
    fn from(injected: weir_failpoint::Injected) -> Self {
        Self::new(Fault::Transient, injected)
    }
}
