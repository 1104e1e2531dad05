//! `count`: how often each key has been seen, as ASCII decimal, under the same key, with timestamp and headers as they
//! came. A record without a key is a failure.

use std::io::Write;

use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record, ValueTable};

const COUNT: ValueTable<u64> = ValueTable::new("count");

/// The operator.
pub struct Count;

impl Operator for Count {
    type Config = NoConfig;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).table(COUNT)
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let count = ctx.value(COUNT).get()?.unwrap_or(0) + 1;
        ctx.value(COUNT).set(&count)?;
        let mut written = Ok(());
        ctx.emit_with(*record, |value| written = write!(value, "{count}"));
        Ok(written?)
    }
}

weir_sdk::operator!(Count);
