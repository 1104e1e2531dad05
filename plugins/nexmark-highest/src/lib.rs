//! `nexmark-highest`: of the records `SCORE ITEM` of each key and window those with the greatest score, in 10 s of event time unless
//! the pipeline names others. They go out as they came; with `{ "by": "window" }` under the first millisecond of the window instead
//! of their key, so that what was found for many keys can be compared once more. Twice that is the query q7 of Nexmark (bids with
//! the highest price); it is the end of q5 (auctions with most bids), too.

use serde::Deserialize;
use weir_sdk::{Aggregate, Context, Description, Failure, Record, StateValue, Window};

/// What the user may configure.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Under which key records go out.
    pub by: By,
}

/// See [`Config::by`].
#[derive(Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Their own.
    #[default]
    Key,
    /// The first millisecond of their window.
    Window,
}

/// The greatest score, and the items that have it, each after a line feed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Highest {
    score: i64,
    items: String,
}

impl Highest {
    fn join(&mut self, score: i64, items: &str) {
        if self.items.is_empty() || score > self.score {
            self.score = score;
            self.items.clear();
        }
        if score == self.score {
            self.items.push_str(items);
        }
    }
}

/// `score:i64`, little endian, and the items.
impl StateValue for Highest {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
        out.extend_from_slice(&self.score.to_le_bytes());
        out.extend_from_slice(self.items.as_bytes());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let (score, items) = bytes.split_first_chunk().ok_or_else(|| Failure::new("a score has eight bytes"))?;
        Ok(Self { score: i64::from_le_bytes(*score), items: str::from_utf8(items)?.to_owned() })
    }
}

/// The aggregate.
pub struct MostOfWindow {
    by: By,
    item: String,
}

impl Aggregate for MostOfWindow {
    type Config = Config;
    type Accumulator = Highest;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).window("tumbling:10s")
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { by: config.by, item: String::new() })
    }

    fn fold(&mut self, highest: &mut Highest, record: &Record<'_>) -> Result<(), Failure> {
        let text = str::from_utf8(record.value().unwrap_or_default())?;
        let (score, item) = text.split_once(' ').ok_or_else(|| Failure::new("the value is not SCORE ITEM"))?;
        if item.contains('\n') {
            return Err(Failure::new("an item is one line"));
        }
        self.item.clear();
        self.item.push('\n');
        self.item.push_str(item);
        highest.join(score.parse().map_err(|error| Failure::from(error).context("the score"))?, &self.item);
        Ok(())
    }

    fn merge(&mut self, highest: &mut Highest, later: Highest) -> Result<(), Failure> {
        highest.join(later.score, &later.items);
        Ok(())
    }

    fn finish(&mut self, window: &Window<'_>, highest: Highest, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let start = window.start_ms().to_string();
        let mut items: Vec<&str> = highest.items.split('\n').skip(1).collect();
        // Not in the order in which they came: that is nobody's.
        items.sort_unstable();
        for item in items {
            let value = format!("{} {item}", highest.score);
            let record = window.record(value.as_bytes());
            ctx.emit(match self.by {
                By::Key => record,
                By::Window => record.with_key(Some(start.as_bytes())),
            });
        }
        Ok(())
    }
}

weir_sdk::aggregate!(MostOfWindow);
