//! `sessionize`: visits, which end when a visitor (the key) has not come for 30 s of event time, unless the pipeline names
//! other windows. What a visit sends has its visitor as key, the value `START_MS,LAST_MS,COUNT,ENTRY,EXIT` (when it began, when
//! its last record came, how many there were, and the values of the first and of the last), and as its timestamp the last
//! millisecond of its window.
//!
//! ```text
//! ada  /  ·  ada  /shoes  ·  ada  /checkout     →     ada  1000,9000,3,/,/checkout
//! ```

use std::io::Write;

use serde::{Deserialize, Serialize};
use weir_sdk::{Aggregate, Context, Description, Failure, Json, NoConfig, Record, Window};

/// What is kept of a visit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    count: u64,
    entry: Option<Page>,
    exit: Option<Page>,
}

/// A record's timestamp and value. Of two at the same time the values decide, so that it does not matter which came first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Page(i64, String);

impl Visit {
    fn of(record: &Record<'_>) -> Self {
        let page = Page(record.timestamp().unwrap_or_default(), text(record.value()));
        Self { count: 1, entry: Some(page.clone()), exit: Some(page) }
    }

    fn join(&mut self, other: Self) {
        self.count += other.count;
        self.entry = self.entry.take().into_iter().chain(other.entry).min();
        self.exit = self.exit.take().into_iter().chain(other.exit).max();
    }
}

fn text(value: Option<&[u8]>) -> String {
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

/// The aggregate.
pub struct Sessionize;

impl Aggregate for Sessionize {
    type Config = NoConfig;
    type Accumulator = Json<Visit>;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).window("session:30s")
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn fold(&mut self, Json(visit): &mut Json<Visit>, record: &Record<'_>) -> Result<(), Failure> {
        visit.join(Visit::of(record));
        Ok(())
    }

    fn merge(&mut self, Json(visit): &mut Json<Visit>, Json(later): Json<Visit>) -> Result<(), Failure> {
        visit.join(later);
        Ok(())
    }

    fn finish(&mut self, window: &Window<'_>, Json(visit): Json<Visit>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let (Some(Page(_, entry)), Some(Page(last_ms, exit))) = (&visit.entry, &visit.exit) else { return Ok(()) };
        let (start_ms, count) = (window.start_ms(), visit.count);
        let mut written = Ok(());
        ctx.emit_with(window.record(b""), |out| written = write!(out, "{start_ms},{last_ms},{count},{entry},{exit}"));
        Ok(written?)
    }
}

weir_sdk::aggregate!(Sessionize);
