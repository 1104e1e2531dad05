//! What each query asks of an event.

use std::fmt::Write as _;

use weir_sdk::{Context, Failure, Record, json};

use crate::event::{Kind, bid, kind_of, need, number, put};

const FIVE: [&str; 6] = ["type", "auction", "bidder", "price", "date_time", "extra"];
const BIDDER: &str = r#","bidder":"#;
const PRICE: &str = r#","price":"#;
const AT: &str = r#","date_time":"#;
const EXTRA: &str = r#","extra":"#;

/// Five of their fields.
pub(crate) fn bids(event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let Some([_, auction, bidder, price, at, extra]) = bid(event, FIVE)? else { return Ok(()) };
    put(*record, ctx, &[r#"{"auction":"#, auction, BIDDER, bidder, PRICE, price, AT, at, EXTRA, extra, "}"]);
    Ok(())
}

/// The same, at 0.908 of the price.
pub(crate) fn bids_in_euros(
    text: &mut String,
    event: &[u8],
    record: &Record<'_>,
    ctx: &mut Context<'_>,
) -> Result<(), Failure> {
    let Some([_, auction, bidder, price, at, extra]) = bid(event, FIVE)? else { return Ok(()) };
    let mils = number(price)?.checked_mul(908).ok_or_else(|| Failure::new(format!("nobody bids {price}")))?;
    text.clear();
    write!(text, "{}.{:03}", mils / 1_000, mils % 1_000)?;
    put(*record, ctx, &[r#"{"auction":"#, auction, BIDDER, bidder, PRICE, text, AT, at, EXTRA, extra, "}"]);
    Ok(())
}

/// Auction and price of those whose auction has such a number.
pub(crate) fn every_123rd(event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let Some([_, auction, price]) = bid(event, ["type", "auction", "price"])? else { return Ok(()) };
    if number(auction)? % 123 == 0 {
        put(*record, ctx, &[r#"{"auction":"#, auction, PRICE, price, "}"]);
    }
    Ok(())
}

/// Persons of three states, and auctions of category 10 by their seller.
pub(crate) fn local_persons_and_auctions(
    event: &[u8],
    record: &Record<'_>,
    ctx: &mut Context<'_>,
) -> Result<(), Failure> {
    let names = ["type", "id", "name", "city", "state", "seller", "category"];
    let [kind, id, name, city, state, seller, category] = json::pick(event, names)?;
    match kind_of(kind)? {
        Kind::Person => {
            let [id, name, city, state] = need([(id, "id"), (name, "name"), (city, "city"), (state, "state")])?;
            if !["or", "id", "ca"].iter().any(|local| state.trim_matches('"').eq_ignore_ascii_case(local)) {
                return Ok(());
            }
            let by_id = record.with_key(Some(id.as_bytes()));
            put(by_id, ctx, &[r#"{"name":"#, name, r#","city":"#, city, r#","state":"#, state, "}"]);
        }
        Kind::Auction => {
            let [id, seller, category] = need([(id, "id"), (seller, "seller"), (category, "category")])?;
            if category != "10" {
                return Ok(());
            }
            put(record.with_key(Some(seller.as_bytes())), ctx, &[r#"{"auction":"#, id, "}"]);
        }
        Kind::Bid => {}
    }
    Ok(())
}

/// Both by the number of the auction: `auction EXPIRES CATEGORY SELLER` and `bid PRICE`.
pub(crate) fn auctions_and_bids(event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let names = ["type", "id", "expires", "category", "seller", "auction", "price"];
    let [kind, id, expires, category, seller, auction, price] = json::pick(event, names)?;
    match kind_of(kind)? {
        Kind::Person => {}
        Kind::Auction => {
            let fields = [(id, "id"), (expires, "expires"), (category, "category"), (seller, "seller")];
            let [id, expires, category, seller] = need(fields)?;
            let by_id = record.with_key(Some(id.as_bytes()));
            put(by_id, ctx, &["auction ", expires, " ", category, " ", seller]);
        }
        Kind::Bid => {
            let [auction, price] = need([(auction, "auction"), (price, "price")])?;
            put(record.with_key(Some(auction.as_bytes())), ctx, &["bid ", price]);
        }
    }
    Ok(())
}

/// Nothing but the key, and when it was.
pub(crate) fn bids_by(name: &str, event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let Some([_, key]) = bid(event, ["type", name])? else { return Ok(()) };
    ctx.emit(record.with_key(Some(key.as_bytes())).with_value(b""));
    Ok(())
}

/// `PRICE BID`, by the auction.
pub(crate) fn bids_by_price(event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let Some([_, auction, bidder, price, at, extra]) = bid(event, FIVE)? else { return Ok(()) };
    let by_auction = record.with_key(Some(auction.as_bytes()));
    put(by_auction, ctx, &[price, r#" {"auction":"#, auction, BIDDER, bidder, AT, at, EXTRA, extra, "}"]);
    Ok(())
}

/// The name of a person, a seller without a value: both by their number.
pub(crate) fn persons_and_sellers(event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let [kind, id, name, seller] = json::pick(event, ["type", "id", "name", "seller"])?;
    match kind_of(kind)? {
        Kind::Person => {
            let [id, name] = need([(id, "id"), (name, "name")])?;
            ctx.emit(record.with_key(Some(id.as_bytes())).with_value(name.as_bytes()));
        }
        Kind::Auction => {
            let [seller] = need([(seller, "seller")])?;
            ctx.emit(record.with_key(Some(seller.as_bytes())).with_value(b""));
        }
        Kind::Bid => {}
    }
    Ok(())
}

/// By both, the bidder first.
pub(crate) fn bids_by_bidder_and_auction(
    key: &mut String,
    event: &[u8],
    record: &Record<'_>,
    ctx: &mut Context<'_>,
) -> Result<(), Failure> {
    let Some([_, auction, bidder]) = bid(event, ["type", "auction", "bidder"])? else { return Ok(()) };
    key.clear();
    write!(key, "{bidder} {auction}")?;
    ctx.emit(record.with_key(Some(key.as_bytes())));
    Ok(())
}

/// `START_MS,COUNT` of each auction to `COUNT AUCTION` of each window.
pub(crate) fn counts_by_window(counted: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let wrong = || Failure::new("the value is not START_MS,COUNT");
    let (start, count) = str::from_utf8(counted)?.split_once(',').ok_or_else(wrong)?;
    let auction = str::from_utf8(record.key().unwrap_or_default())?;
    put(record.with_key(Some(start.as_bytes())), ctx, &[count, " ", auction]);
    Ok(())
}
