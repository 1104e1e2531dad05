//! What is said of records that the policy skips.

use tracing::warn;
use weir_core::Origin;
use weir_core::ports::CallError;

use crate::driver::{Driver, place};
use crate::throttle::{Tell, Throttle};

/// The skipped records of one operator in one task.
#[derive(Debug, Default)]
pub(crate) struct Skips {
    throttle: Throttle,
    /// The last of those that are not told yet, and why.
    last: Option<(Option<Origin>, CallError)>,
}

impl Skips {
    /// A record was skipped.
    pub(crate) fn skipped(&mut self, operator: &str, driver: &dyn Driver, origin: Option<Origin>, why: CallError) {
        match self.throttle.one(weir_machine::now()) {
            Tell::This => {
                let (record, error) = (place(driver, origin), one_line(&why));
                warn!(%operator, %record, %error, "record skipped");
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
        let last = place(driver, origin);
        warn!(%operator, records, %last, error = %one_line(&why), "records skipped");
    }
}

/// An error on one line; that of a trap has one for each function it was in.
fn one_line(error: &CallError) -> String {
    error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(", ")
}
