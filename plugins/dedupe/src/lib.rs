//! `dedupe`: lets the first record of a key through and drops those that follow within an hour of its time, or what the
//! configuration says: `{ "within-ms": 60000 }`. A timer forgets the key when its time is over, so that state does not grow
//! with the keys of all days.

use serde::Deserialize;
use weir_sdk::join::First;
use weir_sdk::{Context, Description, Failure, Operator, Record, Timer};

const HOUR_MS: u32 = 3_600_000;

/// The records that were let through.
const FIRST: First = First::new("first");

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
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).table(FIRST)
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { within_ms: config.within_ms.into() })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        if FIRST.is_first(record, self.within_ms, ctx)? {
            ctx.emit(*record);
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        FIRST.on_timer(timer, self.within_ms, ctx)
    }
}

weir_sdk::operator!(Dedupe);
