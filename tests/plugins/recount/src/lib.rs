//! `recount`: another version of the plugin `count`, with the same table. It panics on a record whose value is `boom`, on which
//! `count` does not. With the configuration `value` it writes that in the place of the count, and counts all the same.

use std::io::Write;

use serde::Deserialize;
use weir_sdk::{Context, Description, Failure, Operator, Record, ValueTable};

const COUNT: ValueTable<u64> = ValueTable::new("count");

/// What the user may configure.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    value: Option<String>,
}

/// The operator.
pub struct Recount {
    value: Option<String>,
}

impl Operator for Recount {
    type Config = Config;

    fn describe() -> Description {
        Description::new("count", "2.0.0").table(COUNT)
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { value: config.value })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        assert!(record.value() != Some(b"boom"), "told to panic");
        let count = ctx.value(COUNT).get()?.unwrap_or(0) + 1;
        ctx.value(COUNT).set(&count)?;
        let mut written = Ok(());
        ctx.emit_with(*record, |value| {
            written = match &self.value {
                Some(text) => write!(value, "{text}"),
                None => write!(value, "{count}"),
            };
        });
        Ok(written?)
    }
}

weir_sdk::operator!(Recount);
