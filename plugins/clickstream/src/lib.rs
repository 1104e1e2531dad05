//! `clickstream`: from clicks as JSON objects to those that cost at least `min-price` (default 50), as
//! `{"user_id":..,"price":..}`, under the same key, with timestamp and headers as they came.
//!
//! Both fields keep the text they came with. A value that is no JSON object with a `user_id` and a number as `price` is a
//! failure; a tombstone is not a click and passes nothing on.

use serde::{Deserialize, Deserializer};
use weir_sdk::{Context, Description, Failure, Operator, Record, json};

/// What the user may configure.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The lowest price that passes; a number, or its text.
    #[serde(default = "default_min_price", deserialize_with = "number_or_text")]
    min_price: f64,
}

fn default_min_price() -> f64 {
    50.0
}

/// `--config min-price=20` gives a text, a file may give a number.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Price {
        Number(f64),
        Text(String),
    }
    match Price::deserialize(deserializer)? {
        Price::Number(number) => Ok(number),
        Price::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// The operator.
pub struct Clickstream {
    min_price: f64,
}

impl Operator for Clickstream {
    type Config = Config;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { min_price: config.min_price })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(value) = record.value() else { return Ok(()) };
        let [Some(user_id), Some(price)] = json::pick(value, ["user_id", "price"])? else {
            return Err(Failure::new("click without user_id or price"));
        };
        let amount: f64 = price.parse().map_err(|_| Failure::new(format!("price is {price}, which is no number")))?;
        if amount >= self.min_price {
            ctx.emit_with(*record, |out| {
                for part in ["{\"user_id\":", user_id, ",\"price\":", price, "}"] {
                    out.extend_from_slice(part.as_bytes());
                }
            });
        }
        Ok(())
    }
}

weir_sdk::operator!(Clickstream);
