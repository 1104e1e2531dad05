//! `enrich`: joins each record of the input `records` with what the input `table` said of its key at the time of the record, and
//! puts that behind its value, after a tabulator. A record whose key has no row then goes out with nothing behind it, or is dropped
//! where the configuration says so: `{ "unmatched": "drop" }`.

use serde::Deserialize;
use weir_sdk::join::AsOfJoin;
use weir_sdk::{Context, Description, Failure, Operator, Record, Timer};

/// Records that wait until all rows of their time are there, and the rows.
const ROWS: AsOfJoin = AsOfJoin::new("waiting", "rows");

/// What the user may configure.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What becomes of a record whose key has no row.
    pub unmatched: Unmatched,
}

/// See [`Config::unmatched`].
#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unmatched {
    /// It goes out.
    #[default]
    Keep,
    /// It does not.
    Drop,
}

/// The operator.
pub struct Enrich {
    unmatched: Unmatched,
    value: Vec<u8>,
}

impl Operator for Enrich {
    type Config = Config;

    fn describe() -> Description {
        let inputs = ["records", "table"];
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).inputs(&inputs).table(ROWS)
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { unmatched: config.unmatched, value: Vec::new() })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        ROWS.process(record, ctx)
    }

    fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let Self { unmatched, value } = self;
        ROWS.on_timer(timer, ctx, |pair, ctx| {
            let row = pair.right().flatten();
            if row.is_none() && *unmatched == Unmatched::Drop {
                return Ok(());
            }
            value.clear();
            value.extend_from_slice(pair.left().flatten().unwrap_or_default());
            value.push(b'\t');
            value.extend_from_slice(row.unwrap_or_default());
            ctx.emit(pair.record(value));
            Ok(())
        })
    }
}

weir_sdk::operator!(Enrich);
