//! What each query asks of an event.

use std::io::Write;

use weir_sdk::{Context, Failure, Record, json};

use crate::event::{Kind, bid, kind_of, need, number, put};

/// Five of their fields.
pub(crate) fn bids(event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let names = ["type", "auction", "bidder", "price", "date_time", "extra"];
    let Some([_, auction, bidder, price, at, extra]) = bid(event, names)? else { return Ok(()) };
    put(*record, ctx, |out| {
        write!(out, r#"{{"auction":{auction},"bidder":{bidder},"price":{price},"date_time":{at},"extra":{extra}}}"#)
    })
}

/// The same, at 0.908 of the price.
pub(crate) fn bids_in_euros(event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let names = ["type", "auction", "bidder", "price", "date_time", "extra"];
    let Some([_, auction, bidder, price, at, extra]) = bid(event, names)? else { return Ok(()) };
    let mils = u128::from(number(price)?) * 908;
    let (units, mils) = (mils / 1_000, mils % 1_000);
    put(*record, ctx, |out| {
        write!(out, r#"{{"auction":{auction},"bidder":{bidder},"price":{units}.{mils:03},"#)?;
        write!(out, r#""date_time":{at},"extra":{extra}}}"#)
    })
}

/// Auction and price of those whose auction has such a number.
pub(crate) fn every_123rd(event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let Some([_, auction, price]) = bid(event, ["type", "auction", "price"])? else { return Ok(()) };
    if number(auction)? % 123 != 0 {
        return Ok(());
    }
    put(*record, ctx, |out| write!(out, r#"{{"auction":{auction},"price":{price}}}"#))
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
            put(by_id, ctx, |out| write!(out, r#"{{"name":{name},"city":{city},"state":{state}}}"#))
        }
        Kind::Auction => {
            let [id, seller, category] = need([(id, "id"), (seller, "seller"), (category, "category")])?;
            if category != "10" {
                return Ok(());
            }
            put(record.with_key(Some(seller.as_bytes())), ctx, |out| write!(out, r#"{{"auction":{id}}}"#))
        }
        Kind::Bid => Ok(()),
    }
}

/// Both by the number of the auction: `auction EXPIRES CATEGORY SELLER` and `bid PRICE`.
pub(crate) fn auctions_and_bids(event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let names = ["type", "id", "expires", "category", "seller", "auction", "price"];
    let [kind, id, expires, category, seller, auction, price] = json::pick(event, names)?;
    match kind_of(kind)? {
        Kind::Person => Ok(()),
        Kind::Auction => {
            let fields = [(id, "id"), (expires, "expires"), (category, "category"), (seller, "seller")];
            let [id, expires, category, seller] = need(fields)?;
            let by_id = record.with_key(Some(id.as_bytes()));
            put(by_id, ctx, |out| write!(out, "auction {expires} {category} {seller}"))
        }
        Kind::Bid => {
            let [auction, price] = need([(auction, "auction"), (price, "price")])?;
            put(record.with_key(Some(auction.as_bytes())), ctx, |out| write!(out, "bid {price}"))
        }
    }
}

/// Nothing but the key, and when it was.
pub(crate) fn bids_by(name: &str, event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let Some([_, key]) = bid(event, ["type", name])? else { return Ok(()) };
    ctx.emit(record.with_key(Some(key.as_bytes())).with_value(b""));
    Ok(())
}

/// `PRICE BID`, by the auction.
pub(crate) fn bids_by_price(event: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let names = ["type", "auction", "bidder", "price", "date_time", "extra"];
    let Some([_, auction, bidder, price, at, extra]) = bid(event, names)? else { return Ok(()) };
    put(record.with_key(Some(auction.as_bytes())), ctx, |out| {
        write!(out, r#"{price} {{"auction":{auction},"bidder":{bidder},"date_time":{at},"extra":{extra}}}"#)
    })
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
    key: &mut Vec<u8>,
    event: &[u8],
    record: &Record<'_>,
    ctx: &mut Context<'_>,
) -> Result<(), Failure> {
    let Some([_, auction, bidder]) = bid(event, ["type", "auction", "bidder"])? else { return Ok(()) };
    key.clear();
    write!(key, "{bidder} {auction}")?;
    ctx.emit(record.with_key(Some(key)));
    Ok(())
}

/// `START_MS,COUNT` of each auction to `COUNT AUCTION` of each window.
pub(crate) fn counts_by_window(counted: &[u8], record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let wrong = || Failure::new("the value is not START_MS,COUNT");
    let (start, count) = str::from_utf8(counted)?.split_once(',').ok_or_else(wrong)?;
    let auction = str::from_utf8(record.key().unwrap_or_default())?;
    put(record.with_key(Some(start.as_bytes())), ctx, |out| write!(out, "{count} {auction}"))
}
