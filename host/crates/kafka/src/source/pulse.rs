//! Signs of life of a thread that asks the client: whoever waits for it notices when the client never answers.
//!
//! Counted in the waits of the one who looks, not by the clock: a process that was stopped for a minute has waited for
//! nothing meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Error;

/// Odd while the client is asked; each question has a number of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// The client is asked from now on.
    pub(super) fn ask(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// It has answered.
    pub(super) fn rest(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The one who looks.
#[derive(Debug)]
pub(super) struct Watched {
    what: &'static str,
    pulse: Pulse,
    bound: Duration,
    last: u64,
    waited: Duration,
}

impl Watched {
    /// `what` is asked of the client, at most for `bound`.
    pub(super) fn new(what: &'static str, pulse: Pulse, bound: Duration) -> Self {
        Self { what, pulse, bound, last: 0, waited: Duration::ZERO }
    }

    /// Another `wait` has passed without anything from the thread. An error when it has been too much.
    pub(super) fn look(&mut self, wait: Duration) -> Result<(), Error> {
        let now = self.pulse.0.load(Ordering::Relaxed);
        if now != self.last || now.is_multiple_of(2) {
            self.last = now;
            self.waited = Duration::ZERO;
            return Ok(());
        }
        self.waited += wait;
        match self.waited > self.bound {
            true => Err(Error::Unresponsive { operation: self.what.to_owned(), waited: self.waited }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(5);

    #[test]
    fn a_question_without_an_answer_is_noticed() {
        let pulse = Pulse::default();
        let mut watched = Watched::new("fetch", pulse.clone(), WAIT * 10);
        let mut looks = |count| (0..count).try_for_each(|_| watched.look(WAIT));
        looks(100).expect("nothing is asked");
        pulse.ask();
        looks(11).expect("just within the bound: the first look sees the question");
        pulse.rest();
        looks(100).expect("answered");
        for _ in 0..100 {
            pulse.ask();
            looks(5).expect("each question is another");
            pulse.rest();
        }
        pulse.ask();
        let error = looks(12).unwrap_err();
        assert_eq!(error.fault(), weir_core::Fault::Transient);
        assert!(error.to_string().contains("did not fetch within"), "{error}");
    }
}
