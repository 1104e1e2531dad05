//! `ledger`: keeps in tables of every kind that combines or forgets what numbers a key had: their sum, which it never sees, the
//! least of them, and those of the last five seconds of event time. Sends out the least and the latter; `zero` clears the sum.

use weir_sdk::{Context, Description, Failure, ListTable, NoConfig, Operator, Record, ReducingTable, Ttl, ValueTable};

const TOTAL: ReducingTable<i64> = ReducingTable::sum("total");
const LEAST: ReducingTable<f64> = ReducingTable::min("least").prefetched();
const LAST: ValueTable<i64> = ValueTable::new("last");
const RECENT: ListTable<i64> = ListTable::new("recent");
/// How long the last of the tables keep what they have.
const RECENTLY: Ttl = Ttl::Event(5_000);

/// The operator.
pub struct Ledger;

impl Operator for Ledger {
    type Config = NoConfig;

    fn describe() -> Description {
        let all = Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).table(TOTAL).table(LEAST);
        all.expiring(LAST, RECENTLY).expiring(RECENT, RECENTLY)
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let text = str::from_utf8(record.value().unwrap_or_default())?;
        if text == "zero" {
            return ctx.reducing(TOTAL).clear();
        }
        let number: i64 = text.parse()?;
        let (last, recent) = (ctx.value(LAST).get()?, ctx.list(RECENT).all()?);
        ctx.reducing(TOTAL).merge(number)?;
        ctx.reducing(LEAST).merge(number as f64)?;
        ctx.value(LAST).set(&number)?;
        ctx.list(RECENT).push(&number)?;
        let least = ctx.reducing(LEAST).get()?.unwrap_or_default();
        ctx.emit(record.with_value(format!("{least} {last:?} {recent:?}").as_bytes()));
        Ok(())
    }
}

weir_sdk::operator!(Ledger);
