//! `alarm`: does with the timers of a record's key what its value says:
//!
//! | value | what happens |
//! |---|---|
//! | `set MS` | a timer at MS |
//! | `cancel MS` | none at MS |
//! | `wake MS`, `sleep MS` | the same in processing time |
//! | `later MS` | a timer of processing time MS from now |
//! | `every MS` | its timers set the next, MS after their own time |
//! | `then WORDS` | its timers send WORDS; `fail` is a failure of the timer, `boom` a panic |
//!
//! A timer that fires sends a record with its key and time (one of processing time: the watermark, where that is later): `due`, or what was said. Records send nothing.

use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record, TimeDomain, Timer, ValueTable};

const EVERY: ValueTable<i64> = ValueTable::new("every");
const THEN: ValueTable<String> = ValueTable::new("then");

/// The operator.
pub struct Alarm;

impl Operator for Alarm {
    type Config = NoConfig;

    fn describe() -> Description {
        let description = Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).table(EVERY).table(THEN);
        description.with_timers().with_processing_timers()
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let text = str::from_utf8(record.value().unwrap_or_default())?;
        let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
        match what {
            "set" => ctx.set_timer(rest.parse()?),
            "cancel" => ctx.cancel_timer(rest.parse()?),
            "wake" => ctx.set_processing_timer(rest.parse()?),
            "sleep" => ctx.cancel_processing_timer(rest.parse()?),
            "later" => {
                let at_ms = ctx.processing_time() + rest.parse::<i64>()?;
                ctx.set_processing_timer(at_ms)
            }
            "every" => ctx.value(EVERY).set(&rest.parse()?),
            "then" => ctx.value(THEN).set(&rest.to_owned()),
            other => Err(Failure::new(format!("what is {other}?"))),
        }
    }

    fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        if let Some(every) = ctx.value(EVERY).get()? {
            let next_ms = timer.time_ms() + every;
            match timer.domain() {
                TimeDomain::Event => ctx.set_timer(next_ms)?,
                TimeDomain::Processing => ctx.set_processing_timer(next_ms)?,
            }
        }
        let then = ctx.value(THEN).get()?;
        let words = then.as_deref().unwrap_or("due");
        match words {
            "fail" => return Err(Failure::new("told to fail").with_code(100)),
            "boom" => panic!("told to panic"),
            _ => ctx.emit(timer.record(words.as_bytes())),
        }
        Ok(())
    }
}

weir_sdk::operator!(Alarm);
