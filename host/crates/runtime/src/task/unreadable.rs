//! What becomes of a record that the source cannot give as it was written: what the operator that would have read it
//! says about records that it fails on. Without an operator the job fails: nobody said that records may be missing.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use metrics::Counter;
use tracing::warn;
use weir_core::OnError;

use crate::error::Error;

/// Records that get a line of their own, as those that operators skip.
const LINES_OF_THEIR_OWN: u32 = 10;
/// The others are named at most this often; how many went unnamed is told with the next one, or at the end.
const NAMED_EVERY: Duration = Duration::from_secs(1);

/// See the module's head.
pub(crate) struct UnreadablePolicy {
    on_error: OnError,
    dropped: Counter,
    named: u32,
    named_at: Option<Instant>,
    unnamed: u64,
}

impl UnreadablePolicy {
    /// As `on_error` says; what is dropped is counted in `dropped`.
    pub(crate) fn new(on_error: OnError, dropped: Counter) -> Self {
        Self { on_error, dropped, named: 0, named_at: None, unnamed: 0 }
    }

    /// Drops `record`, or fails because of it.
    pub(crate) fn judge(&mut self, record: impl FnOnce() -> String, why: Cow<'static, str>) -> Result<(), Error> {
        match self.on_error {
            OnError::Fail => return Err(Error::Unreadable { record: record(), why }),
            OnError::Skip => self.dropped.increment(1),
        }
        let has_just_told = self.named_at.is_some_and(|at| at.elapsed() < NAMED_EVERY);
        if self.named >= LINES_OF_THEIR_OWN && has_just_told {
            self.unnamed += 1;
            return Ok(());
        }
        self.named = self.named.saturating_add(1);
        self.named_at = Some(Instant::now());
        let unnamed_before = std::mem::take(&mut self.unnamed);
        warn!(record = record(), unnamed_before, "record dropped: it has {why}");
        Ok(())
    }
}

impl Drop for UnreadablePolicy {
    /// Nothing more will come.
    fn drop(&mut self) {
        if self.unnamed > 0 {
            warn!(records = self.unnamed, "records dropped, beside those that were named");
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_core::Fault;

    use super::*;

    fn record() -> String {
        "in[3] offset 7".to_owned()
    }

    fn policy(on_error: OnError) -> UnreadablePolicy {
        UnreadablePolicy::new(on_error, Counter::noop())
    }

    #[test]
    fn the_policy_is_that_of_the_reader() {
        let error = policy(OnError::Fail).judge(record, "a header too many".into()).unwrap_err();
        assert_eq!(error.fault(), Fault::User);
        assert_eq!(
            error.to_string(),
            "record in[3] offset 7 has a header too many; it can be dropped with --on-error skip"
        );
        let mut skips = policy(OnError::Skip);
        for _ in 0..1000 {
            skips.judge(record, "a header too many".into()).unwrap();
        }
        assert!((980..=990).contains(&skips.unnamed), "{} lines", 1000 - skips.unnamed);
    }
}
