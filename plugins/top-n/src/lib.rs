//! `top-n`: ranks the items of each key by their greatest score: ten, or as many as the configuration says (`{ "n": 3 }`). A
//! record says `SCORE ITEM`, as in `90 ada`; whenever the ranks of its key change, they go out: `ada 90, eve 71`.

use std::fmt::Write as _;
use std::num::NonZeroU16;

use serde::Deserialize;
use weir_sdk::join::TopN;
use weir_sdk::{Context, Description, Failure, Operator, Record};

/// The ranks of each key.
const TOP: TopN = TopN::new("top");

/// What the user may configure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many items of a key are ranked.
    pub n: NonZeroU16,
}

impl Default for Config {
    fn default() -> Self {
        Self { n: const { NonZeroU16::new(10).unwrap() } }
    }
}

/// The operator.
pub struct Ranks {
    most: usize,
    value: String,
}

impl Operator for Ranks {
    type Config = Config;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).table(TOP)
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { most: config.n.get().into(), value: String::new() })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let text = str::from_utf8(record.value().unwrap_or_default())?;
        let (score, item) = text.split_once(' ').ok_or_else(|| Failure::new("the value is not SCORE ITEM"))?;
        let score = score.parse().map_err(|error| Failure::from(error).context("the score"))?;
        if !TOP.offer(item, score, self.most, ctx)? {
            return Ok(());
        }
        self.value.clear();
        for (score, item) in TOP.ranks(ctx)? {
            let between = if self.value.is_empty() { "" } else { ", " };
            write!(self.value, "{between}{item} {score}")?;
        }
        ctx.emit(record.with_value(self.value.as_bytes()));
        Ok(())
    }
}

weir_sdk::operator!(Ranks);
