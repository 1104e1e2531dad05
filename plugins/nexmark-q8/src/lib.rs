//! `nexmark-q8`: the windowed join of the query q8 of Nexmark: persons who had an auction in the window in which they came, 10 s of
//! event time unless the pipeline names others. Its key is the number of a person, who comes by name, as JSON text, or as a seller,
//! without a value (`nexmark` with `{ "query": "q8" }` sends them so). What goes out is `{"name":..,"start":START_MS}`.

use std::io::Write;

use serde::{Deserialize, Serialize};
use weir_sdk::{Aggregate, Context, Description, Failure, Json, NoConfig, Record, Window};

/// What came in a window.
#[derive(Default, Serialize, Deserialize)]
pub struct Came {
    name: Option<String>,
    has_auction: bool,
}

/// The aggregate.
pub struct NewSellers;

impl Aggregate for NewSellers {
    type Config = NoConfig;
    type Accumulator = Json<Came>;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).window("tumbling:10s")
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn fold(&mut self, Json(came): &mut Json<Came>, record: &Record<'_>) -> Result<(), Failure> {
        match record.value() {
            None | Some([]) => came.has_auction = true,
            Some(name) => came.name = Some(str::from_utf8(name)?.to_owned()),
        }
        Ok(())
    }

    fn merge(&mut self, Json(came): &mut Json<Came>, Json(later): Json<Came>) -> Result<(), Failure> {
        came.has_auction |= later.has_auction;
        came.name = later.name.or(came.name.take());
        Ok(())
    }

    fn finish(&mut self, window: &Window<'_>, Json(came): Json<Came>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(name) = came.name.filter(|_| came.has_auction) else { return Ok(()) };
        let mut written = Ok(());
        ctx.emit_with(window.record(b""), |out| {
            written = write!(out, r#"{{"name":{name},"start":{}}}"#, window.start_ms());
        });
        Ok(written?)
    }
}

weir_sdk::aggregate!(NewSellers);
