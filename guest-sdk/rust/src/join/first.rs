//! A key's first record, and not those that follow.

use super::{time_of, timer};
use crate::context::Context;
use crate::description::{Declare, Description};
use crate::failure::Failure;
use crate::record::Record;
use crate::state::ValueTable;
use crate::timer::{TimeDomain, Timer};

/// Tells the first record of a key in some time from those that follow it. The key is forgotten when that time is over, so
/// that state does not grow with the keys of all days.
/// ```
/// use weir_sdk::join::First;
/// use weir_sdk::testing::{Harness, Message};
/// use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record, Timer};
///
/// const FIRST: First = First::new("first");
///
/// struct Once;
///
/// impl Operator for Once {
///     type Config = NoConfig;
///
///     fn describe() -> Description {
///         Description::new("once", "1.0.0").table(FIRST)
///     }
///
///     fn open(_: NoConfig) -> Result<Self, Failure> {
///         Ok(Self)
///     }
///
///     fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
///         if FIRST.is_first(record, 60_000, ctx)? {
///             ctx.emit(*record);
///         }
///         Ok(())
///     }
///
///     fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
///         FIRST.on_timer(timer, 60_000, ctx)
///     }
/// }
///
/// let mut once = Harness::<Once>::new("{}")?;
/// let at = |ms| Message::new("a", "x").with_timestamp(ms);
/// assert_eq!(once.process(&[at(1_000), at(60_999), at(61_000)])?.len(), 2);
/// # Ok::<(), Failure>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct First(ValueTable<i64>);

impl First {
    /// By the name of its table: it holds the time of the record that was the first, in milliseconds since 1970.
    pub const fn new(table: &'static str) -> Self {
        Self(ValueTable::new(table))
    }

    /// Whether the record is the first of its key since `within_ms` milliseconds before it: none that was has a time nearer than
    /// that. What decides is the time of the records alone, and not when timers fire. Fails for a record without a key or a
    /// timestamp.
    pub fn is_first(&self, record: &Record<'_>, within_ms: i64, ctx: &mut Context<'_>) -> Result<bool, Failure> {
        let at_ms = time_of(record)?;
        if let Some(first_ms) = ctx.value(self.0).get()? {
            if at_ms - first_ms < within_ms {
                return Ok(false);
            }
            ctx.cancel_timer(timer(first_ms.saturating_add(within_ms)))?;
        }
        ctx.value(self.0).set(&at_ms)?;
        ctx.set_timer(timer(at_ms.saturating_add(within_ms)))?;
        Ok(true)
    }

    /// A timer has fired, which may be of this block or not: where the time of the key is over, it is forgotten. How long that is
    /// may have changed since the timer was set.
    pub fn on_timer(&self, due: &Timer<'_>, within_ms: i64, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(first_ms) = ctx.value(self.0).get()?.filter(|_| due.domain() == TimeDomain::Event) else {
            return Ok(());
        };
        let over_ms = timer(first_ms.saturating_add(within_ms));
        if over_ms > due.time_ms() {
            return ctx.set_timer(over_ms);
        }
        ctx.value(self.0).clear()
    }
}

impl Declare for First {
    fn declare(self, description: &mut Description) {
        self.0.declare(description);
        description.needs_timers();
    }
}
