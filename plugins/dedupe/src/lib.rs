//! `dedupe`: lets the first record of a key through and drops those that follow within an hour of its time, or what the
//! configuration says: `{ "within-ms": 60000 }`. A timer forgets the key when its time is over, so that state does not grow
//! with the keys of all days.

use serde::Deserialize;
use weir_sdk::{Context, Description, Failure, Operator, Record, Timer, ValueTable};

const HOUR_MS: u32 = 3_600_000;

/// When the record came that was let through, in event time.
const FIRST: ValueTable<i64> = ValueTable::new("first");

/// What the user may configure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// How long after the first record of a key others of it are dropped.
    pub within_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { within_ms: HOUR_MS }
    }
}

/// The operator.
pub struct Dedupe {
    within_ms: i64,
}

impl Operator for Dedupe {
    type Config = Config;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).table(FIRST).with_timers()
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { within_ms: config.within_ms.into() })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let at = record.timestamp().ok_or_else(|| Failure::new("the record has no timestamp"))?;
        // Its timer may not have fired yet: what decides is the time of the records alone.
        if let Some(first) = ctx.value(FIRST).get()? {
            if at - first < self.within_ms {
                return Ok(());
            }
            ctx.cancel_timer(first + self.within_ms)?;
        }
        ctx.value(FIRST).set(&at)?;
        ctx.set_timer(at + self.within_ms)?;
        ctx.emit(*record);
        Ok(())
    }

    fn on_timer(&mut self, _: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        ctx.value(FIRST).clear()
    }
}

weir_sdk::operator!(Dedupe);
