//! `nexmark-q18`: the last record of each key by event time, whenever it is another one: the query q18 of Nexmark, where
//! `nexmark` with `{ "query": "q18" }` has made bidder and auction the key. What comes out is for a compacted topic: of each key
//! the last one counts, whatever the order in which they came. Of two at the same time it is the one with the greater value.

use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record, ValueTable};

/// Of each key, the last record: its time, eight bytes big endian, and its value, so that the greater one is the later one.
const LAST: ValueTable<Vec<u8>> = ValueTable::new("last");

/// The operator.
#[derive(Default)]
pub struct Last {
    row: Vec<u8>,
}

impl Operator for Last {
    type Config = NoConfig;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).table(LAST)
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self::default())
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let at_ms = record.timestamp().and_then(|at_ms| u64::try_from(at_ms).ok());
        let at_ms = at_ms
            .ok_or_else(|| Failure::new("the record has no timestamp since 1970, by which it would be the last"))?;
        let value = record.value().ok_or_else(|| Failure::new("the record has no value"))?;
        self.row.clear();
        self.row.extend_from_slice(&at_ms.to_be_bytes());
        self.row.extend_from_slice(value);
        if ctx.value(LAST).get()?.is_none_or(|last| last < self.row) {
            ctx.value(LAST).set(&self.row)?;
            ctx.emit(*record);
        }
        Ok(())
    }
}

weir_sdk::operator!(Last);
