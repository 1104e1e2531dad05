//! `nexmark-winning`: the highest bid of each auction when it is over, the join of the queries q4 and q6 of Nexmark. Its key is the
//! number of an auction, which comes as `auction EXPIRES CATEGORY SELLER`; bids for it come as `bid PRICE` (`nexmark` with
//! `{ "query": "q4" }` sends them so). Those count that were made between the auction's own time and `EXPIRES`, both included, in
//! whatever order they came. Once event time is past that, `PRICE AUCTION` goes out under the category, or the seller:
//! `{ "by": "seller" }`. An auction without bids sends nothing.

use serde::Deserialize;
use weir_sdk::{Context, Description, Failure, MapTable, Operator, Record, StateValue, Timer, ValueTable};

/// Of each key, the auction and its highest bid, until it is over.
const OPEN: ValueTable<Auction> = ValueTable::new("open");
/// By their time, the highest bids of an auction that has not come yet.
const EARLY: MapTable<u64, u64> = MapTable::new("early");

/// What the user may configure.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Under which key winning bids go out.
    pub by: By,
}

/// See [`Config::by`].
#[derive(Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// That of the auction's category.
    #[default]
    Category,
    /// That of its seller.
    Seller,
}

/// An auction; moments are milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auction {
    begins: u64,
    expires: u64,
    category: u64,
    seller: u64,
    /// The highest bid, if there is one.
    highest: Option<u64>,
}

impl Auction {
    /// `auction` behind its first word.
    fn of(begins: u64, words: &[&str]) -> Result<Self, Failure> {
        let [expires, category, seller] = words else {
            return Err(Failure::new("the value is not auction EXPIRES CATEGORY SELLER"));
        };
        let (expires, category, seller) = (number(expires)?, number(category)?, number(seller)?);
        Ok(Self { begins, expires, category, seller, highest: None })
    }

    fn bid(&mut self, at: u64, price: u64) {
        if (self.begins..=self.expires).contains(&at) {
            self.highest = self.highest.max(Some(price));
        }
    }
}

/// Its numbers, little endian; the last is missing where there is no bid.
impl StateValue for Auction {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
        let numbers = [self.begins, self.expires, self.category, self.seller].into_iter().chain(self.highest);
        numbers.for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let (numbers, []) = bytes.as_chunks() else { return Err(Failure::new("these bytes are no numbers")) };
        match numbers {
            [begins, expires, category, seller, highest @ ..] => {
                let [begins, expires, category, seller] =
                    [begins, expires, category, seller].map(|number| u64::from_le_bytes(*number));
                let highest = highest.first().map(|number| u64::from_le_bytes(*number));
                Ok(Self { begins, expires, category, seller, highest })
            }
            _ => Err(Failure::new("these bytes are no auction")),
        }
    }
}

/// The operator.
pub struct Winning {
    by: By,
}

impl Operator for Winning {
    type Config = Config;

    fn describe() -> Description {
        let description = Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        description.table(OPEN).table(EARLY).with_timers()
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { by: config.by })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let at = record.timestamp().and_then(|at_ms| u64::try_from(at_ms).ok());
        let at = at.ok_or_else(|| Failure::new("the record has no timestamp since 1970"))?;
        let text = str::from_utf8(record.value().unwrap_or_default())?;
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["auction", ref words @ ..] => open(Auction::of(at, words)?, ctx),
            ["bid", price] => bid(at, number(price)?, ctx),
            _ => Err(Failure::new("the value is neither auction EXPIRES CATEGORY SELLER nor bid PRICE")),
        }
    }

    fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let past = u64::try_from(timer.time_ms() - 1).unwrap_or_default();
        let Some(auction) = ctx.value(OPEN).get()? else {
            // Whatever auction these bids could be for, it would have come by now.
            return ctx.map(EARLY).remove(&past);
        };
        if auction.expires > past {
            return Ok(());
        }
        ctx.value(OPEN).clear()?;
        let Some(price) = auction.highest else { return Ok(()) };
        let key = match self.by {
            By::Category => auction.category,
            By::Seller => auction.seller,
        };
        let value = format!("{price} {}", str::from_utf8(timer.key())?);
        ctx.emit(timer.record(value.as_bytes()).with_key(Some(key.to_string().as_bytes())));
        Ok(())
    }
}

/// An auction begins; bids may have come before it.
fn open(mut auction: Auction, ctx: &mut Context<'_>) -> Result<(), Failure> {
    for (at, price) in ctx.map(EARLY).all()? {
        auction.bid(at, price);
        ctx.map(EARLY).remove(&at)?;
    }
    ctx.value(OPEN).set(&auction)?;
    ctx.set_timer(after(auction.expires))
}

/// A bid has come; its auction may come later.
fn bid(at: u64, price: u64, ctx: &mut Context<'_>) -> Result<(), Failure> {
    if let Some(mut auction) = ctx.value(OPEN).get()? {
        auction.bid(at, price);
        return ctx.value(OPEN).set(&auction);
    }
    let highest = ctx.map(EARLY).get(&at)?.unwrap_or_default().max(price);
    ctx.map(EARLY).put(&at, &highest)?;
    ctx.set_timer(after(at))
}

/// The first moment at which all that was made at `ms` has come.
fn after(ms: u64) -> i64 {
    ms.saturating_add(1).try_into().unwrap_or(i64::MAX)
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::new(format!("{text} is no whole number")))
}

weir_sdk::operator!(Winning);
