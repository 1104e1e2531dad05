//! `shuffle-consumer`: the second half of ShuffleBench: counts and sums the records of each consumer that `shuffle` sends them to, and
//! sends what it has of one out with every tenth, to begin anew; or as the configuration says: `{ "every": 10, "state-bytes": 32 }`.

use serde::Deserialize;
use weir_sdk::{Context, Description, Failure, Operator, Record, ValueTable};

/// Of each consumer, in big endian: how many records, the sum of the numbers that they begin with, the times of the first and the
/// last of them (`i64` each), and the beginning of the last one as far as there is room.
const STATE: ValueTable<Vec<u8>> = ValueTable::new("state");
/// Bytes of the numbers.
const NUMBERS: usize = 32;

/// What the user may configure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// After so many records of a consumer one goes out.
    pub every: u32,
    /// Bytes of the state of each.
    pub state_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { every: 10, state_bytes: NUMBERS }
    }
}

/// The operator.
pub struct Consumer(Config);

impl Operator for Consumer {
    type Config = Config;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).table(STATE)
    }

    fn open(config: Config) -> Result<Self, Failure> {
        match config.state_bytes {
            ..NUMBERS => Err(Failure::new("state-bytes is 32 at least")),
            _ => Ok(Self(config)),
        }
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let Config { every, state_bytes } = self.0;
        let value = record.value().unwrap_or_default();
        let short = || Failure::new("the value is shorter than what is kept of it");
        let number = i64::from_be_bytes(*value.first_chunk().ok_or_else(short)?);
        let kept = value.get(..state_bytes - NUMBERS).ok_or_else(short)?;
        let now_ms = record.timestamp().unwrap_or_default();
        let [count, sum, first_ms] = numbers(&ctx.value(STATE).get()?.unwrap_or_default());
        let count = count + 1;
        let first_ms = if count == 1 { now_ms } else { first_ms };
        let mut state = Vec::with_capacity(state_bytes);
        for number in [count, sum.wrapping_add(number), first_ms, now_ms] {
            state.extend_from_slice(&number.to_be_bytes());
        }
        state.extend_from_slice(kept);
        if count < i64::from(every) {
            return ctx.value(STATE).set(&state);
        }
        ctx.emit(record.with_value(&state));
        ctx.value(STATE).set(&vec![0; state_bytes])
    }
}

/// The first three numbers of a state; zeros of none.
fn numbers(state: &[u8]) -> [i64; 3] {
    let mut numbers = [0; 3];
    for (number, bytes) in numbers.iter_mut().zip(state.chunks_exact(8)) {
        *number = bytes.try_into().map(i64::from_be_bytes).unwrap_or_default();
    }
    numbers
}

weir_sdk::operator!(Consumer);
