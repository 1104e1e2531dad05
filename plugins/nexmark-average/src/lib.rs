//! `nexmark-average`: the average of the numbers of each key as event time goes on, of all (query q4 of Nexmark) or of the last
//! few: `{ "last": 10 }` (q6). A record says `NUMBER NAME`. Once event time is past a moment, the records of that moment count, in
//! the order of their names, and the average goes out, cut to a whole number: so it does not depend on the order in which they
//! came.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use weir_sdk::{Context, Description, Failure, Json, MapTable, Operator, Record, Timer, ValueTable};

/// By their time, names and numbers that event time is not past.
const WAITING: MapTable<u64, Json<Vec<(String, i64)>>> = MapTable::new("waiting");
/// What the average is made of.
const COUNTED: ValueTable<Json<Counted>> = ValueTable::new("counted");

/// What the user may configure.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many of the last numbers count; all when left out.
    pub last: Option<NonZeroU16>,
}

/// What an average is made of.
#[derive(Default, Serialize, Deserialize)]
struct Counted {
    sum: i128,
    count: u32,
    /// The numbers themselves, the oldest first, where some are left out in the end.
    last: Vec<i64>,
}

impl Counted {
    fn add(&mut self, number: i64, most: Option<usize>) {
        self.sum += i128::from(number);
        self.count += 1;
        let Some(most) = most else { return };
        self.last.push(number);
        if self.last.len() > most {
            self.sum -= i128::from(self.last.remove(0));
            self.count -= 1;
        }
    }

    fn average(&self) -> i128 {
        self.sum / i128::from(self.count.max(1))
    }
}

/// The operator.
pub struct Average {
    last: Option<usize>,
}

impl Operator for Average {
    type Config = Config;

    fn describe() -> Description {
        let description = Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        description.table(WAITING).table(COUNTED).with_timers()
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { last: config.last.map(|last| last.get().into()) })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let at_ms = record.timestamp().and_then(|at_ms| u64::try_from(at_ms).ok());
        let at_ms = at_ms.ok_or_else(|| Failure::new("the record has no timestamp since 1970"))?;
        let text = str::from_utf8(record.value().unwrap_or_default())?;
        let (number, name) = text.split_once(' ').ok_or_else(|| Failure::new("the value is not NUMBER NAME"))?;
        let number = number.parse().map_err(|error| Failure::from(error).context("the number"))?;
        let Json(mut waiting) = ctx.map(WAITING).get(&at_ms)?.unwrap_or_default();
        waiting.push((name.to_owned(), number));
        ctx.map(WAITING).put(&at_ms, &Json(waiting))?;
        ctx.set_timer(at_ms.saturating_add(1).try_into().unwrap_or(i64::MAX))
    }

    fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let at_ms = u64::try_from(timer.time_ms() - 1).unwrap_or_default();
        let Some(Json(mut waiting)) = ctx.map(WAITING).get(&at_ms)? else { return Ok(()) };
        ctx.map(WAITING).remove(&at_ms)?;
        waiting.sort_unstable();
        let Json(mut counted) = ctx.value(COUNTED).get()?.unwrap_or_default();
        waiting.iter().for_each(|(_, number)| counted.add(*number, self.last));
        let average = counted.average().to_string();
        ctx.value(COUNTED).set(&Json(counted))?;
        ctx.emit(timer.record(average.as_bytes()));
        Ok(())
    }
}

weir_sdk::operator!(Average);
