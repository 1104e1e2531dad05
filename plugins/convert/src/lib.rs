//! `convert`: says what amounts are in another currency. A record of the input `amounts` has the value `12.50 EUR`; one of the input
//! `rates` has a currency as its key and what one of it is worth as its value. Every task has all rates, so amounts may be
//! keyed by whatever they are, a customer say. An amount of a currency that has no rate (yet) fails, by `on-error`.

use weir_sdk::join::BroadcastJoin;
use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record};

/// What one of each currency is worth.
const RATES: BroadcastJoin = BroadcastJoin::new("rates");

/// The operator.
pub struct Convert;

impl Operator for Convert {
    type Config = NoConfig;

    fn describe() -> Description {
        let inputs = ["amounts", "rates"];
        let description = Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        description.inputs(&inputs).broadcast(&["rates"]).table(RATES)
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        if ctx.input() == 1 {
            record.value().map(number).transpose()?;
            return RATES.update(record, ctx);
        }
        let value = str::from_utf8(record.value().unwrap_or_default())?;
        let wrong = || Failure::new(format!("{value:?} is no amount like 12.50 EUR"));
        let (amount, currency) = value.split_once(' ').ok_or_else(wrong)?;
        let none = || Failure::new(format!("there is no rate of {currency:?}"));
        let rate = RATES.get(currency.as_bytes(), ctx)?.ok_or_else(none)?;
        let worth = format!("{:.2}", number(amount.as_bytes())? * number(&rate)?);
        ctx.emit(record.with_value(worth.as_bytes()));
        Ok(())
    }
}

fn number(text: &[u8]) -> Result<f64, Failure> {
    let wrong = || Failure::new(format!("{:?} is no number", String::from_utf8_lossy(text)));
    str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(wrong)
}

weir_sdk::operator!(Convert);
