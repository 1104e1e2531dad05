//! `milestones`: how often each key has been seen, as `count` says it, on the first output, and each `every`-th time once
//! more on the side output `milestones`. A record without a key is a failure.

use std::io::Write;
use std::num::NonZeroU64;

use serde::Deserialize;
use weir_sdk::{Context, Description, Failure, Operator, Record, ValueTable};

const COUNT: ValueTable<u64> = ValueTable::new("count");
/// The place of the side output among the outputs.
const MILESTONES: u32 = 1;

/// What may be configured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many records of a key lie between two milestones.
    #[serde(default = "hundred")]
    every: NonZeroU64,
}

fn hundred() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(99)
}

/// The operator.
pub struct Milestones {
    every: NonZeroU64,
}

impl Operator for Milestones {
    type Config = Config;

    fn describe() -> Description {
        let outputs = ["counts", "milestones"];
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).outputs(&outputs).table(COUNT)
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { every: config.every })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let count = ctx.value(COUNT).get()?.unwrap_or(0) + 1;
        ctx.value(COUNT).set(&count)?;
        let mut text = Vec::new();
        write!(text, "{count}")?;
        let counted = record.with_value(&text);
        ctx.emit(counted);
        if count % self.every == 0 {
            ctx.emit_to(MILESTONES, counted);
        }
        Ok(())
    }
}

weir_sdk::operator!(Milestones);
