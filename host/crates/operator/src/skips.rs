//! What is said of records that the policy leaves out.

use tracing::warn;
use weir_core::Origin;
use weir_core::ports::CallError;

use crate::driver::{Driver, place};
use crate::throttle::{Tell, Throttle};

/// The records of one operator in one task that were skipped, or became dead letters.
#[derive(Debug)]
pub(crate) struct Skips {
    throttle: Throttle,
    /// The last of those that are not told yet, and why.
    last: Option<(Origin, CallError)>,
    /// What becomes of one, and of several.
    words: [&'static str; 2],
}

impl Skips {
    /// Records that are dropped.
    pub(crate) fn of_skipped() -> Self {
        Self { throttle: Throttle::default(), last: None, words: ["record skipped", "records skipped"] }
    }

    /// Records that go to a topic of their own.
    pub(crate) fn of_dead_letters() -> Self {
        let words = ["record became a dead letter", "records became dead letters"];
        Self { throttle: Throttle::default(), last: None, words }
    }

    /// A record was left out.
    pub(crate) fn left_out(&mut self, operator: &str, driver: &dyn Driver, origin: Origin, why: CallError) {
        match self.throttle.one(weir_machine::now()) {
            Tell::This => {
                let [one, _] = self.words;
                let (record, error) = (place(driver, origin), one_line(&why));
                warn!(%operator, %record, kind = %why.kind(), %error, "{one}");
            }
            Tell::Many(records) => {
                self.last = Some((origin, why));
                self.tell(operator, driver, records);
            }
            Tell::Nothing => self.last = Some((origin, why)),
        }
    }

    /// Tells what has waited for its second. Looks at the clock only if there is anything.
    pub(crate) fn look(&mut self, operator: &str, driver: &dyn Driver) {
        if self.throttle.has_untold()
            && let Some(records) = self.throttle.due(weir_machine::now())
        {
            self.tell(operator, driver, records);
        }
    }

    /// Tells what there is: nothing more will come.
    pub(crate) fn end(&mut self, operator: &str, driver: &dyn Driver) {
        if let Some(records) = self.throttle.end() {
            self.tell(operator, driver, records);
        }
    }

    fn tell(&mut self, operator: &str, driver: &dyn Driver, records: u64) {
        let Some((origin, why)) = self.last.take() else { return };
        let (last, [_, several]) = (place(driver, origin), self.words);
        warn!(%operator, records, %last, kind = %why.kind(), error = %one_line(&why), "{several}");
    }
}

/// An error on one line; that of a trap has one for each function it was in.
pub(crate) fn one_line(error: &CallError) -> String {
    error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(", ")
}
