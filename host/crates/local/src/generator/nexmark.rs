//! HOT PATH. Events of the benchmark Nexmark: the crate `nexmark` says what they are, this what they look like.

use std::io::{self, Write as _};

use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::{Auction, Bid, Event, Person};
use serde::Serialize;

/// The time of the first event: always the same, so that every event is.
const BEGIN_MS: u64 = 1_760_000_000_000;

/// Makes events; it is fastest one after the other.
pub(super) struct Events(EventGenerator);

impl Default for Events {
    fn default() -> Self {
        Self(EventGenerator::new(NexmarkConfig { base_time: BEGIN_MS, ..NexmarkConfig::default() }))
    }
}

/// An event as it is written.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Written<'a> {
    Person(&'a Person),
    Auction(&'a Auction),
    Bid(&'a Bid),
}

impl Events {
    /// Writes key and value of the event at `offset`; returns its time.
    pub(super) fn event(&mut self, offset: u64, key: &mut Vec<u8>, value: &mut Vec<u8>) -> io::Result<i64> {
        if self.0.offset() != offset {
            self.0 = self.0.clone().with_offset(offset);
        }
        let Some(event) = self.0.next() else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let (number, written) = match &event {
            Event::Person(person) => (person.id, Written::Person(person)),
            Event::Auction(auction) => (auction.id, Written::Auction(auction)),
            Event::Bid(bid) => (bid.auction, Written::Bid(bid)),
        };
        write!(key, "{number}")?;
        serde_json::to_writer(value, &written)?;
        Ok(event.timestamp() as i64)
    }
}
