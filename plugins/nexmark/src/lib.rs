//! `nexmark`: events of the benchmark Nexmark (persons, auctions and bids, as `generate:nexmark` has them), to what a query asks of
//! them. `{ "query": "q1" }` says which. q0 to q2 are whole queries; of the others this is the first operator, which chooses
//! records, fields and the key that state is kept by, and `plugins/README.md` says what comes behind it.
//!
//! A tombstone is no event and passes nothing on; what is no event, or one that lacks a field, is a failure. Fields keep the text
//! that they came with.

use serde::Deserialize;
use weir_sdk::{Context, Description, Failure, Operator, Record};

/// Events, as far as they are read.
mod event;
/// What each query asks of an event.
mod queries;

/// What the user must configure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is asked.
    pub query: Query,
}

/// The queries, by what they ask of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Query {
    /// Bids as they are, with five of their fields.
    Q0,
    /// The same with the price in euros: 0.908 of what it was.
    Q1,
    /// Auction and price of the bids of every 123rd auction.
    Q2,
    /// Persons of three states by their number, and auctions of category 10 by their seller.
    Q3,
    /// Auctions and bids by the number of the auction.
    #[serde(alias = "q6")]
    Q4,
    /// Bids by their auction.
    Q5,
    /// What `window-count` made of those of q5, by their window, as `COUNT AUCTION`.
    Q5Ranks,
    /// Bids by their auction, as `PRICE BID`.
    Q7,
    /// Persons by their number, and auctions by their seller.
    Q8,
    /// Bids by their bidder.
    #[serde(alias = "q12")]
    Q11,
    /// Bids by their bidder and auction.
    Q18,
}

/// The operator.
pub struct Select {
    query: Query,
    text: String,
}

impl Operator for Select {
    type Config = Config;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
    }

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Self { query: config.query, text: String::new() })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(event) = record.value() else { return Ok(()) };
        match self.query {
            Query::Q0 => queries::bids(event, record, ctx),
            Query::Q1 => queries::bids_in_euros(&mut self.text, event, record, ctx),
            Query::Q2 => queries::every_123rd(event, record, ctx),
            Query::Q3 => queries::local_persons_and_auctions(event, record, ctx),
            Query::Q4 => queries::auctions_and_bids(event, record, ctx),
            Query::Q5 => queries::bids_by("auction", event, record, ctx),
            Query::Q5Ranks => queries::counts_by_window(event, record, ctx),
            Query::Q7 => queries::bids_by_price(event, record, ctx),
            Query::Q8 => queries::persons_and_sellers(event, record, ctx),
            Query::Q11 => queries::bids_by("bidder", event, record, ctx),
            Query::Q18 => queries::bids_by_bidder_and_auction(&mut self.text, event, record, ctx),
        }
    }
}

weir_sdk::operator!(Select);
