//! What becomes of a record that the source cannot give as it was written: what the operator that would have read it
//! says about records that it fails on. Without an operator the job fails: nobody said that records may be missing.

use std::borrow::Cow;

use metrics::Counter;
use tracing::warn;
use weir_core::OnError;
use weir_operator::{Tell, Throttle};

use crate::error::Error;

/// See the module's head.
pub(crate) struct UnreadablePolicy {
    on_error: OnError,
    dropped: Counter,
    throttle: Throttle,
}

impl UnreadablePolicy {
    /// As `on_error` says; what is dropped is counted in `dropped`.
    pub(crate) fn new(on_error: OnError, dropped: Counter) -> Self {
        Self { on_error, dropped, throttle: Throttle::default() }
    }

    /// Drops `record`, or fails because of it.
    pub(crate) fn judge(&mut self, record: impl FnOnce() -> String, why: Cow<'static, str>) -> Result<(), Error> {
        match self.on_error {
            OnError::Fail | OnError::DeadLetter => return Err(Error::Unreadable { record: record(), why }),
            OnError::Skip => self.dropped.increment(1),
        }
        match self.throttle.one(weir_machine::now()) {
            Tell::This => warn!(record = record(), "record dropped: it has {why}"),
            Tell::Many(records) => warn!(records, last = record(), "records dropped: the last has {why}"),
            Tell::Nothing => {}
        }
        Ok(())
    }
}

impl Drop for UnreadablePolicy {
    /// Nothing more will come.
    fn drop(&mut self) {
        if let Some(records) = self.throttle.end() {
            warn!(records, "records dropped, beside those that were named");
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
        assert!(skips.throttle.has_untold(), "a line each");
    }
}
