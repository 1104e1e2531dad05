//! `journey`: the pages that a visitor saw until the visit ended, in order, and the most often seen of them. A record is
//! a page (its value) of a visitor (its key); the page that the configuration calls the `end` (`checkout` unless it says
//! otherwise) ends the visit: one record comes out, and the visitor begins anew.
//!
//! ```text
//! ada  /  ·  ada  /shoes  ·  ada  /  ·  ada  checkout     →     ada  / > /shoes > /; most often: / (2), /shoes (1)
//! ```

use std::io::Write;

use serde::Deserialize;
use weir_sdk::{Context, Description, Failure, ListTable, MapTable, Operator, Record};

/// The pages of a visit, in order.
const PAGES: ListTable<String> = ListTable::new("pages");
/// How often each of them was seen.
const VIEWS: MapTable<String, u64> = MapTable::new("views");

/// So many pages are named as the most often seen.
const MOST_OFTEN: usize = 3;

/// What the user may configure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    end: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { end: "checkout".to_owned() }
    }
}

/// The operator.
pub struct Journey {
    end: String,
}

impl Operator for Journey {
    type Config = Config;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).table(PAGES).table(VIEWS)
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { end: config.end })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(page) = record.value() else { return Ok(()) };
        let page = str::from_utf8(page)?.to_owned();
        if page == self.end {
            return end(record, ctx);
        }
        let views = ctx.map(VIEWS).get(&page)?.unwrap_or(0) + 1;
        ctx.map(VIEWS).put(&page, &views)?;
        ctx.list(PAGES).push(&page)
    }
}

/// Tells of the visit, and forgets it. A visit without a page is none.
fn end(record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let (pages, mut views) = (ctx.list(PAGES).all()?, ctx.map(VIEWS).all()?);
    if pages.is_empty() {
        return Ok(());
    }
    // They come in the order of their names; a stable sort keeps it where views are equal.
    views.sort_by_key(|(_, views)| u64::MAX - views);
    let most: Vec<String> = views.iter().take(MOST_OFTEN).map(|(page, views)| format!("{page} ({views})")).collect();
    ctx.list(PAGES).clear()?;
    ctx.map(VIEWS).clear()?;
    let mut written = Ok(());
    ctx.emit_with(*record, |value| {
        written = write!(value, "{}; most often: {}", pages.join(" > "), most.join(", "));
    });
    Ok(written?)
}

weir_sdk::operator!(Journey);
