//! Calls that may hang for ever. Each runs on a thread of its own, and whoever waits for it sees the clock, the request to
//! stop, and tells everybody that it waits. A call that does not come back within its bound is left behind, counted, and
//! the attempt fails with what it was doing.
//!
//! Epochs under way are watched by the coordinator's loop in the same words; see `coordinate.rs`.

use std::time::{Duration, Instant};

use tracing::{info, warn};
use weir_core::{Fault, PortError};
use weir_machine::channel::{RecvTimeoutError, bounded};

use crate::error::Error;
use crate::job::JobHandle;
use crate::metrics::JobMetrics;
use crate::status::Waiting;

/// A time as a number that logs as one: `u128` would come out as a text in JSON.
pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A wait that is longer is shown: in the log, in the job's status and health, and counted.
pub(crate) const SLOW: Duration = Duration::from_secs(5);
/// How long a stop may take in all, from the moment it is asked for: the process as a whole has 10 s, and taking the
/// tasks down needs some of it.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(7);
/// When the end of a stop is not waited for any more, from the same moment: what hangs is then said, and the process gone.
pub(crate) const GONE_WITHIN: Duration = Duration::from_secs(9);
/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(20);

/// What happens to a call that is past its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// It is left behind, and the next attempt does without it.
    Abandon,
    /// It cannot be: it would fence its own successor, or holds the one log. The job ends.
    End,
}

/// Waits where everybody can see it.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    /// Where the wait is shown, and where a stop is asked for.
    pub handle: &'a JobHandle,
    /// Where it is counted.
    pub metrics: &'a JobMetrics,
}

impl Watch<'_> {
    /// Does `work`, named `what`, on another thread, for at most `bound`.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        (bound, late): (Duration, Late),
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = bounded(1);
        let run = move || drop(answer.send(work()));
        let thread = weir_machine::spawn("weir-call", run).map_err(Error::Thread)?;
        let mut wait = Wait::since(*self, "to", what, weir_machine::now());
        loop {
            match answered.recv_timeout(TICK) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Panicked(format!("weir-call ({what})"))),
                Err(RecvTimeoutError::Timeout) => {}
            }
            wait.look();
            if self.handle.stopping_for().is_some_and(|stopping| stopping > STOP_WITHIN) {
                return Err(Error::StopTimedOut(STOP_WITHIN));
            }
            let waited = weir_machine::since(wait.began);
            if waited > bound {
                self.metrics.leave_behind(vec![thread]);
                return Err(match late {
                    Late::Abandon => Error::Hung { what, waited },
                    Late::End => Error::Stuck { what, waited },
                });
            }
        }
    }

    /// The same for a call whose own errors are a port's.
    pub(crate) fn port<T: Send + 'static>(
        &self,
        what: &'static str,
        bound: (Duration, Late),
        work: impl FnOnce() -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, Error> {
        self.call(what, bound, work)?.map_err(|source| match source.fault() {
            Fault::Config => Error::Mistake(source),
            _ => Error::Waited { what, source },
        })
    }
}

/// A wait under way. Shown once it is slow; no longer shown when it is dropped.
pub(crate) struct Wait<'a> {
    watch: Watch<'a>,
    /// `to` do something, or `for` something.
    word: &'static str,
    what: &'static str,
    began: Instant,
    is_patient: bool,
    is_shown: bool,
}

impl<'a> Wait<'a> {
    /// Since `began`.
    pub(crate) fn since(watch: Watch<'a>, word: &'static str, what: &'static str, began: Instant) -> Self {
        Self { watch, word, what, began, is_patient: false, is_shown: false }
    }

    /// The same for what may take any time: it is shown, and nobody is warned.
    pub(crate) fn patient(self) -> Self {
        Self { is_patient: true, ..self }
    }

    /// Whether it is this wait.
    pub(crate) fn is(&self, what: &'static str, began: Instant) -> bool {
        self.what == what && self.began == began
    }

    /// Shows the wait if it is slow by now.
    pub(crate) fn look(&mut self) {
        if weir_machine::since(self.began) < SLOW {
            return;
        }
        if !std::mem::replace(&mut self.is_shown, true) && !self.is_patient {
            warn!(waited_s = weir_machine::since(self.began).as_secs(), "still waiting {} {}", self.word, self.what);
            self.watch.metrics.slow.increment(1);
        }
        // Another wait that has ended may have taken the place.
        self.watch.handle.board.change(|status| {
            status.waiting.get_or_insert_with(|| self.shown());
        });
    }

    fn shown(&self) -> Waiting {
        let what = format!("{} {}", self.word, self.what);
        Waiting { what, since: self.began, is_patient: self.is_patient }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.is_shown {
            if !self.is_patient {
                info!(
                    waited_s = weir_machine::since(self.began).as_secs(),
                    "no longer waiting {} {}", self.word, self.what
                );
            }
            let shown = self.shown();
            self.watch.handle.board.change(|status| status.waiting = status.waiting.take().filter(|w| *w != shown));
        }
    }
}
