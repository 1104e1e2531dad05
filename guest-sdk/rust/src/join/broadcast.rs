//! What a table says now, to every task.

use super::latest::Row;
use super::time_of;
use crate::context::Context;
use crate::description::{Declare, Description};
use crate::failure::Failure;
use crate::record::Record;
use crate::state::BroadcastTable;

/// A table that every task has whole: for joins with something small, by a key that is anywhere in a record and need not be what
/// the operator is keyed by. The table comes in by an input of its own, which goes to all tasks
/// ([`Description::broadcast`]). A row replaces those that are not younger; of two of one time the one that is greater stays, so
/// that every task has the same whichever came first. Which row a record of another input finds depends on which of both
/// came first.
/// ```
/// use weir_sdk::join::BroadcastJoin;
/// use weir_sdk::testing::{Harness, Message};
/// use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record};
///
/// const COUNTRIES: BroadcastJoin = BroadcastJoin::new("countries");
///
/// struct Visits;
///
/// impl Operator for Visits {
///     type Config = NoConfig;
///
///     fn describe() -> Description {
///         let inputs = ["visits", "countries"];
///         Description::new("visits", "1.0.0").inputs(&inputs).broadcast(&["countries"]).table(COUNTRIES)
///     }
///
///     fn open(_: NoConfig) -> Result<Self, Failure> {
///         Ok(Self)
///     }
///
///     fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
///         if ctx.input() == 1 {
///             return COUNTRIES.update(record, ctx);
///         }
///         // Keyed by the visitor, and joined by what the value says.
///         let country = COUNTRIES.get(record.value().unwrap_or_default(), ctx)?;
///         ctx.emit(record.with_value(&country.unwrap_or_else(|| b"somewhere".to_vec())));
///         Ok(())
///     }
/// }
///
/// let mut join = Harness::<Visits>::new("{}")?;
/// let at = |key: &str, value: &str, ms| Message::new(key, value).with_timestamp(ms);
/// join.process_input(1, &[at("de", "Germany", 20), at("de", "Prussia", 10)])?;
/// assert_eq!(join.process_input(0, &[at("ada", "de", 15)])?[0].message, at("ada", "Germany", 15));
/// # Ok::<(), Failure>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct BroadcastJoin(BroadcastTable<Vec<u8>, Row>);

impl BroadcastJoin {
    /// By the name of its table.
    pub const fn new(table: &'static str) -> Self {
        Self(BroadcastTable::new(table))
    }

    /// A row has come in to all tasks: it is the row of its key, unless there is a younger one. A null value takes the row away.
    /// Fails for a record without a key or a timestamp, and for one that has not come to all tasks.
    pub fn update(&self, row: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let at_ms = time_of(row)?;
        let key = row.key().ok_or_else(|| Failure::new("a row without a key, by which it is found"))?.to_vec();
        let new = (at_ms, row.value().map(<[u8]>::to_vec));
        match ctx.broadcast(self.0).get(&key)? {
            Some(Row(before_ms, before)) if (before_ms, &before) > (new.0, &new.1) => Ok(()),
            _ => ctx.broadcast(self.0).put(&key, &Row(new.0, new.1)),
        }
    }

    /// The row of `key`, if there is one.
    pub fn get(&self, key: &[u8], ctx: &mut Context<'_>) -> Result<Option<Vec<u8>>, Failure> {
        Ok(ctx.broadcast(self.0).get(&key.to_vec())?.and_then(|Row(_, value)| value))
    }
}

impl Declare for BroadcastJoin {
    fn declare(self, description: &mut Description) {
        self.0.declare(description);
    }
}
