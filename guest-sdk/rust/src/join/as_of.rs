//! Records, and what a table said at their time.

use super::{Bundle, Pair, SCAN_ENTRIES, declare, entry, time_of, timer};
use crate::context::Context;
use crate::description::{Declare, Description};
use crate::failure::Failure;
use crate::record::Record;
use crate::state::MapTable;
use crate::timer::{TimeDomain, Timer};

/// Joins each record of the first input with what the second input, a table, said of its key **at the time of the record**: the
/// latest row whose time is not after it. A record waits until event time is past it, so that the rows are there, in whatever
/// order records and rows came; a null value takes a row away.
/// ```
/// use weir_sdk::join::{AsOfJoin, Pair};
/// use weir_sdk::testing::{Harness, Message};
/// use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record, Timer};
///
/// const PRICES: AsOfJoin = AsOfJoin::new("waiting", "prices");
///
/// struct Priced;
///
/// impl Operator for Priced {
///     type Config = NoConfig;
///
///     fn describe() -> Description {
///         Description::new("priced", "1.0.0").inputs(&["sales", "prices"]).table(PRICES)
///     }
///
///     fn open(_: NoConfig) -> Result<Self, Failure> {
///         Ok(Self)
///     }
///
///     fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
///         PRICES.process(record, ctx)
///     }
///
///     fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
///         PRICES.on_timer(timer, ctx, |pair, ctx| {
///             let price = pair.right().flatten().unwrap_or(b"unknown");
///             ctx.emit(pair.record(&[pair.left().flatten().unwrap_or_default(), b" for ", price].concat()));
///             Ok(())
///         })
///     }
/// }
///
/// let mut join = Harness::<Priced>::new("{}")?;
/// let at = |value: &str, ms| Message::new("cup", value).with_timestamp(ms);
/// join.process_input(1, &[at("9", 2_000), at("7", 1_000)])?;
/// join.process_input(0, &[at("one", 2_500), at("two", 1_500), at("three", 500)])?;
/// let out: Vec<Message> = join.advance(3_000)?.into_iter().map(|output| output.message).collect();
/// assert_eq!(out, [at("three for unknown", 500), at("two for 7", 1_500), at("one for 9", 2_500)]);
/// # Ok::<(), Failure>(())
/// ```
/// Of each key the rows are kept that are still to be asked for: the last one that event time is past, and those behind it. A
/// record that is late is joined with what is still kept.
#[derive(Debug, Clone, Copy)]
pub struct AsOfJoin {
    waiting: MapTable<u64, Bundle>,
    rows: MapTable<u64, Bundle>,
}

impl AsOfJoin {
    /// By the names of the tables that records wait in, and that rows are kept in.
    pub const fn new(waiting: &'static str, rows: &'static str) -> Self {
        Self { waiting: MapTable::new(waiting), rows: MapTable::new(rows) }
    }

    /// A record, or a row, has come in. Fails for one without a key or a timestamp.
    pub fn process(&self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let at_ms = time_of(record)?;
        if ctx.input() == 0 {
            let mut bundle = ctx.map(self.waiting).get(&entry(at_ms))?.unwrap_or_default();
            bundle.push(record.value(), false);
            ctx.map(self.waiting).put(&entry(at_ms), &bundle)?;
        } else {
            // Of two rows of one time the one that came later counts.
            let mut row = Bundle::default();
            row.push(record.value(), false);
            ctx.map(self.rows).put(&entry(at_ms), &row)?;
        }
        ctx.set_timer(timer(at_ms + 1))
    }

    /// A timer has fired, which may be of this join or not: hands over the records of its time with the row of each, `None` where
    /// there was none, and forgets the rows that nobody can ask for any more.
    pub fn on_timer(
        &self,
        due: &Timer<'_>,
        ctx: &mut Context<'_>,
        mut pair: impl FnMut(&Pair<'_>, &mut Context<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let at_ms = due.time_ms() - 1;
        if at_ms < 0 || due.domain() != TimeDomain::Event {
            return Ok(());
        }
        let row = self.row(entry(at_ms), ctx)?;
        let Some(bundle) = ctx.map(self.waiting).get(&entry(at_ms))? else { return Ok(()) };
        ctx.map(self.waiting).remove(&entry(at_ms))?;
        let right = row.as_ref().map(|row| Some(row.as_slice()));
        for kept in &bundle.0 {
            let left = Some(kept.value.as_deref());
            pair(&Pair { key: due.key(), timestamp: at_ms, left, right }, ctx)?;
        }
        Ok(())
    }

    /// The row as of a time; those before it go.
    fn row(&self, at: u64, ctx: &mut Context<'_>) -> Result<Option<Vec<u8>>, Failure> {
        let mut last: Option<(u64, Bundle)> = None;
        loop {
            let start = last.as_ref().map(|(row_at, _)| row_at + 1);
            let rows = ctx.map(self.rows).scan(start.as_ref(), SCAN_ENTRIES)?;
            let is_all = rows.len() < SCAN_ENTRIES || rows.last().is_some_and(|(row_at, _)| *row_at > at);
            for (row_at, row) in rows.into_iter().take_while(|(row_at, _)| *row_at <= at) {
                if let Some((before, _)) = last.replace((row_at, row)) {
                    ctx.map(self.rows).remove(&before)?;
                }
            }
            if is_all {
                break;
            }
        }
        let Some((row_at, row)) = last else { return Ok(None) };
        let value = row.0.into_iter().next().and_then(|kept| kept.value);
        if value.is_none() {
            // What took a row away is as good as no row.
            ctx.map(self.rows).remove(&row_at)?;
        }
        Ok(value)
    }
}

impl Declare for AsOfJoin {
    fn declare(self, description: &mut Description) {
        declare([self.waiting, self.rows], description);
    }
}
