//! What is said of records that the policy skips: the first few one by one, then how many there were, once a second. A
//! topic of bad records must not fill a disk with lines about them.

use std::time::{Duration, Instant};

use tracing::warn;
use weir_core::Origin;
use weir_core::ports::CallError;

use crate::driver::{Driver, place};

/// Records that get a line of their own.
const LINES_OF_THEIR_OWN: u32 = 10;
/// How often the others are counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// The skipped records of one operator in one task.
#[derive(Debug, Default)]
pub(crate) struct Skips {
    lines: u32,
    /// Skipped, and not told yet.
    untold: u64,
    /// The last of them, and why.
    last: Option<(Option<Origin>, CallError)>,
    /// When the last line was written.
    told: Option<Instant>,
}

impl Skips {
    /// A record was skipped.
    pub(crate) fn skipped(&mut self, operator: &str, driver: &dyn Driver, origin: Option<Origin>, why: CallError) {
        let now = Instant::now();
        if self.lines < LINES_OF_THEIR_OWN {
            self.lines += 1;
            self.told = Some(now);
            let (record, error) = (place(driver, origin), one_line(&why));
            warn!(%operator, %record, %error, "record skipped");
            return;
        }
        self.untold += 1;
        self.last = Some((origin, why));
        if self.is_due(now) {
            self.tell(operator, driver, now);
        }
    }

    /// Tells what has waited for its second. Looks at the clock only if there is anything.
    pub(crate) fn look(&mut self, operator: &str, driver: &dyn Driver) {
        if self.untold > 0 {
            let now = Instant::now();
            if self.is_due(now) {
                self.tell(operator, driver, now);
            }
        }
    }

    /// Tells what there is: nothing more will come.
    pub(crate) fn end(&mut self, operator: &str, driver: &dyn Driver) {
        if self.untold > 0 {
            self.tell(operator, driver, Instant::now());
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.told.is_none_or(|told| now.duration_since(told) >= COUNT_EVERY)
    }

    fn tell(&mut self, operator: &str, driver: &dyn Driver, now: Instant) {
        let Some((origin, why)) = self.last.take() else { return };
        let (records, last) = (std::mem::take(&mut self.untold), place(driver, origin));
        self.told = Some(now);
        warn!(%operator, records, %last, error = %one_line(&why), "records skipped");
    }
}

/// An error on one line; that of a trap has one for each function it was in.
fn one_line(error: &CallError) -> String {
    error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(", ")
}
