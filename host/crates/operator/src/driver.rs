//! What a node asks of whoever drives it: counters, a clock that people read, and what splits are called.

use weir_core::Origin;
use weir_core::ports::CallError;

use crate::splits::SplitTable;

/// See the module.
pub trait Driver: Send {
    /// So many records were processed.
    fn processed(&self, records: usize);

    /// So many records came after their windows were gone.
    fn late(&self, records: usize);

    /// A record was dropped by policy, for this reason; or what was due, which has no origin.
    fn skipped(&self, origin: Origin, why: &CallError);

    /// A record became a dead letter, or what was due did.
    fn dead_lettered(&self);

    /// Milliseconds since 1970, as the sinks' brokers compare timestamps with.
    fn now_ms(&self) -> i64;

    /// Shows the splits that origins count in.
    fn with_splits(&self, look: &mut dyn FnMut(&SplitTable));
}

/// Where a record was read, for people.
pub(crate) fn place(driver: &dyn Driver, origin: Origin) -> String {
    let mut place = String::new();
    driver.with_splits(&mut |splits| place = splits.describe(origin));
    place
}
