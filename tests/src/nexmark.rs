//! The benchmark Nexmark: its queries as pipelines, and its events with a disorder that is asked for.

use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::Event;
use serde_json::{Value, json};

use crate::chain::{Chain, keyed, plain};
use crate::random::Random;

/// The queries that there are here.
pub const QUERIES: [Chain; 12] = [
    Chain::new("q0", &[plain("nexmark", "config = { query = 'q0' }")]),
    Chain::new("q1", &[plain("nexmark", "config = { query = 'q1' }")]),
    Chain::new("q2", &[plain("nexmark", "config = { query = 'q2' }")]),
    Chain::new("q3", &[plain("nexmark", "config = { query = 'q3' }"), keyed("nexmark-q3", "")]),
    Chain::new(
        "q4",
        &[plain("nexmark", "config = { query = 'q4' }"), keyed("nexmark-winning", ""), keyed("nexmark-average", "")],
    ),
    Chain::new(
        "q5",
        &[
            plain("nexmark", "config = { query = 'q5' }"),
            keyed("window-count", "window = { sliding = '10s/2s' }"),
            plain("nexmark", "config = { query = 'q5-ranks' }"),
            keyed("nexmark-highest", "window = { tumbling = '2s' }"),
        ],
    ),
    Chain::new(
        "q6",
        &[
            plain("nexmark", "config = { query = 'q6' }"),
            keyed("nexmark-winning", "config = { by = 'seller' }"),
            keyed("nexmark-average", "config = { last = 10 }"),
        ],
    ),
    Chain::new(
        "q7",
        &[
            plain("nexmark", "config = { query = 'q7' }"),
            keyed("nexmark-highest", "config = { by = 'window' }"),
            keyed("nexmark-highest", ""),
        ],
    ),
    Chain::new("q8", &[plain("nexmark", "config = { query = 'q8' }"), keyed("nexmark-q8", "")]),
    Chain::new(
        "q11",
        &[plain("nexmark", "config = { query = 'q11' }"), keyed("window-count", "window = { session = '10s' }")],
    ),
    Chain::new(
        "q12",
        &[
            plain("nexmark", "config = { query = 'q12' }"),
            keyed("window-count", "window = { tumbling = '10s', time = 'processing' }"),
        ],
    ),
    Chain::new("q18", &[plain("nexmark", "config = { query = 'q18' }"), keyed("nexmark-q18", "")]),
];

/// The time of the first event.
pub const BEGIN_MS: u64 = 1_760_000_000_000;

/// Events in time, `per_second` by it.
pub fn events(per_second: usize) -> impl Iterator<Item = Event> {
    let (first_rate, next_rate) = (per_second, per_second);
    EventGenerator::new(NexmarkConfig { base_time: BEGIN_MS, first_rate, next_rate, ..NexmarkConfig::default() })
}

/// The same events, each up to `most_ms` behind its place.
pub fn disordered(events: impl Iterator<Item = Event>, most_ms: u64, random: &mut Random) -> Vec<Event> {
    let mut placed: Vec<(u64, Event)> =
        events.map(|event| (event.timestamp() + random.below(most_ms), event)).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, event)| event).collect()
}

/// The key of an event.
pub fn key(event: &Event) -> String {
    match event {
        Event::Person(person) => person.id.to_string(),
        Event::Auction(auction) => auction.id.to_string(),
        Event::Bid(bid) => bid.auction.to_string(),
    }
}

/// An event as it is written: an object of JSON.
pub fn value(event: &Event) -> Value {
    match event {
        Event::Person(it) => json!({
            "type": "person", "id": it.id, "name": it.name, "email_address": it.email_address, "city": it.city,
            "credit_card": it.credit_card, "state": it.state, "date_time": it.date_time, "extra": it.extra,
        }),
        Event::Auction(it) => json!({
            "type": "auction", "id": it.id, "item_name": it.item_name, "description": it.description, "extra": it.extra,
            "initial_bid": it.initial_bid, "reserve": it.reserve, "date_time": it.date_time, "expires": it.expires,
            "seller": it.seller, "category": it.category,
        }),
        Event::Bid(it) => json!({
            "type": "bid", "auction": it.auction, "bidder": it.bidder, "price": it.price, "channel": it.channel,
            "url": it.url, "date_time": it.date_time, "extra": it.extra,
        }),
    }
}
