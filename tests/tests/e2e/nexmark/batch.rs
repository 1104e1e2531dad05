//! What each query makes of all events at once, computed plainly: no plugin, no SDK, no host.
//!
//! Late events, which come when nobody waits for their time any more, are part of what goes by no time.

use std::collections::{BTreeMap, BTreeSet};

use nexmark::event::{Auction, Bid, Event, Person};
use weir_tests::nexmark::value;

/// What comes out: a key, a timestamp, a value.
pub(crate) type Out = (String, u64, String);

/// What came in: the events in time, and those that were late.
pub(crate) struct Came {
    pub(crate) in_time: Vec<Event>,
    pub(crate) late: Vec<Event>,
}

const SECOND: u64 = 1_000;
const WINDOW: u64 = 10 * SECOND;
const SLIDE: u64 = 2 * SECOND;

impl Came {
    fn all(&self) -> impl Iterator<Item = &Event> {
        self.in_time.iter().chain(&self.late)
    }

    /// What a query writes: all of it, in no order.
    pub(crate) fn output(&self, query: &str) -> Vec<Out> {
        match query {
            "q0" => self
                .bids()
                .map(|bid| (bid.auction.to_string(), bid.date_time, shown(bid, &bid.price.to_string())))
                .collect(),
            "q1" => {
                self.bids().map(|bid| (bid.auction.to_string(), bid.date_time, shown(bid, &euros(bid.price)))).collect()
            }
            "q2" => self.every_123rd(),
            "q3" => self.local_sellers(),
            "q4" => averages(&self.winning(), |auction| auction.category, usize::MAX),
            "q5" => self.hot_items(),
            "q6" => averages(&self.winning(), |auction| auction.seller, 10),
            "q7" => self.highest_bids(),
            "q8" => self.new_sellers(),
            "q11" => self.sessions(),
            "q12" => self.bids_of_bidders(),
            "q18" => self.last_bids(),
            _ => vec![],
        }
    }

    fn bids(&self) -> impl Iterator<Item = &Bid> {
        self.all().filter_map(bid)
    }

    fn bids_in_time(&self) -> impl Iterator<Item = &Bid> {
        self.in_time.iter().filter_map(bid)
    }

    fn every_123rd(&self) -> Vec<Out> {
        let bids = self.bids().filter(|bid| bid.auction % 123 == 0);
        let value = |bid: &Bid| format!(r#"{{"auction":{},"price":{}}}"#, bid.auction, bid.price);
        bids.map(|bid| (bid.auction.to_string(), bid.date_time, value(bid))).collect()
    }

    fn local_sellers(&self) -> Vec<Out> {
        let local = self.all().filter_map(person).filter(|person| ["or", "id", "ca"].contains(&person.state.as_str()));
        let persons: BTreeMap<usize, &Person> = local.map(|person| (person.id, person)).collect();
        let auctions = self.all().filter_map(auction).filter(|auction| auction.category == 10);
        let pairs = auctions.filter_map(|auction| Some((persons.get(&auction.seller)?, auction)));
        let pair = |(person, auction): (&&Person, &Auction)| {
            let Person { id, name, city, state, date_time, .. } = person;
            let value = format!(r#"{{"name":"{name}","city":"{city}","state":"{state}","auction":{}}}"#, auction.id);
            (id.to_string(), *date_time.max(&auction.date_time), value)
        };
        pairs.map(pair).collect()
    }

    /// Auctions with the price of their highest bid.
    fn winning(&self) -> Vec<(&Auction, usize)> {
        let mut bids: BTreeMap<usize, Vec<&Bid>> = BTreeMap::new();
        self.bids_in_time().for_each(|bid| bids.entry(bid.auction).or_default().push(bid));
        let highest = |auction: &Auction| {
            let bids = bids.get(&auction.id)?.iter();
            let counts = |bid: &&&Bid| bid.date_time >= auction.date_time && bid.date_time <= auction.expires;
            bids.filter(counts).map(|bid| bid.price).max()
        };
        let auctions = self.in_time.iter().filter_map(auction);
        auctions.filter_map(|auction| Some((auction, highest(auction)?))).collect()
    }

    fn hot_items(&self) -> Vec<Out> {
        let mut counts: BTreeMap<u64, BTreeMap<usize, u64>> = BTreeMap::new();
        for bid in self.bids_in_time() {
            for step in 0..WINDOW / SLIDE {
                let start = bid.date_time - bid.date_time % SLIDE - step * SLIDE;
                *counts.entry(start).or_default().entry(bid.auction).or_default() += 1;
            }
        }
        let hottest = |(start, counts): (u64, BTreeMap<usize, u64>)| {
            let most = counts.values().copied().max().unwrap_or_default();
            let hot: Vec<usize> =
                counts.iter().filter(|(_, count)| **count == most).map(|(auction, _)| *auction).collect();
            hot.into_iter().map(move |auction| (start.to_string(), start + WINDOW - 1, format!("{most} {auction}")))
        };
        counts.into_iter().flat_map(hottest).collect()
    }

    fn highest_bids(&self) -> Vec<Out> {
        let mut windows: BTreeMap<u64, Vec<&Bid>> = BTreeMap::new();
        self.bids_in_time().for_each(|bid| windows.entry(window(bid.date_time)).or_default().push(bid));
        let highest = |(start, bids): (u64, Vec<&Bid>)| {
            let most = bids.iter().map(|bid| bid.price).max();
            let bids: Vec<Bid> = bids.into_iter().filter(|bid| Some(bid.price) == most).cloned().collect();
            bids.into_iter().map(move |bid| {
                let Bid { auction, bidder, price, date_time, extra, .. } = bid;
                let value = format!(
                    r#"{price} {{"auction":{auction},"bidder":{bidder},"date_time":{date_time},"extra":"{extra}"}}"#
                );
                (start.to_string(), start + WINDOW - 1, value)
            })
        };
        windows.into_iter().flat_map(highest).collect()
    }

    fn new_sellers(&self) -> Vec<Out> {
        let auctions = self.in_time.iter().filter_map(auction);
        let sellers: BTreeSet<_> = auctions.map(|auction| (auction.seller, window(auction.date_time))).collect();
        let persons = self.in_time.iter().filter_map(person);
        let new = persons.filter(|person| sellers.contains(&(person.id, window(person.date_time))));
        let shown = |person: &Person| {
            let start = window(person.date_time);
            (person.id.to_string(), start + WINDOW - 1, format!(r#"{{"name":"{}","start":{start}}}"#, person.name))
        };
        new.map(shown).collect()
    }

    fn sessions(&self) -> Vec<Out> {
        let mut bidders: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        self.bids_in_time().for_each(|bid| bidders.entry(bid.bidder).or_default().push(bid.date_time));
        let mut out = Vec::new();
        for (bidder, mut times) in bidders {
            times.sort_unstable();
            for session in times.chunk_by(|one, next| next - one < WINDOW) {
                let (Some(start), Some(last)) = (session.first(), session.last()) else { continue };
                out.push((bidder.to_string(), last + WINDOW - 1, format!("{start},{}", session.len())));
            }
        }
        out
    }

    /// Which windows of processing time they were in nobody knows.
    fn bids_of_bidders(&self) -> Vec<Out> {
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        self.bids().for_each(|bid| *counts.entry(bid.bidder).or_default() += 1);
        counts.into_iter().map(|(bidder, count)| (bidder.to_string(), 0, count.to_string())).collect()
    }

    fn last_bids(&self) -> Vec<Out> {
        let mut last: BTreeMap<(usize, usize), (u64, String)> = BTreeMap::new();
        for event in self.all() {
            let Event::Bid(bid) = event else { continue };
            let row = (bid.date_time, value(event).to_string());
            let before = last.entry((bid.bidder, bid.auction)).or_default();
            *before = row.max(before.clone());
        }
        let shown = |((bidder, auction), (at, value))| (format!("{bidder} {auction}"), at, value);
        last.into_iter().map(shown).collect()
    }
}

fn person(event: &Event) -> Option<&Person> {
    if let Event::Person(person) = event { Some(person) } else { None }
}

fn auction(event: &Event) -> Option<&Auction> {
    if let Event::Auction(auction) = event { Some(auction) } else { None }
}

fn bid(event: &Event) -> Option<&Bid> {
    if let Event::Bid(bid) = event { Some(bid) } else { None }
}

fn window(at: u64) -> u64 {
    at - at % WINDOW
}

fn euros(price: usize) -> String {
    format!("{}.{:03}", price * 908 / 1_000, price * 908 % 1_000)
}

fn shown(bid: &Bid, price: &str) -> String {
    let Bid { auction, bidder, date_time, extra, .. } = bid;
    format!(r#"{{"auction":{auction},"bidder":{bidder},"price":{price},"date_time":{date_time},"extra":"{extra}"}}"#)
}

/// After each moment at which auctions were over, the average of the last few of their `group`.
fn averages(winning: &[(&Auction, usize)], group: impl Fn(&Auction) -> usize, last: usize) -> Vec<Out> {
    let mut groups: BTreeMap<usize, Vec<(u64, String, usize)>> = BTreeMap::new();
    for (auction, price) in winning {
        // What comes out when an auction is over has the first moment after it.
        groups.entry(group(auction)).or_default().push((auction.expires + 1, auction.id.to_string(), *price));
    }
    let mut out = Vec::new();
    for (group, mut prices) in groups {
        prices.sort();
        let moments: BTreeSet<u64> = prices.iter().map(|(at, ..)| *at).collect();
        for moment in moments {
            let until: Vec<usize> = prices.iter().filter(|(at, ..)| *at <= moment).map(|(.., price)| *price).collect();
            let counted = until.len().min(last);
            let average = until.iter().rev().take(last).sum::<usize>() / counted;
            out.push((group.to_string(), moment + 1, average.to_string()));
        }
    }
    out
}
