//! The proxy against a broker that answers every request with its correlation id: no Kafka needed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails here fails as it should")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use super::wire::{Frames, Request};
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes()[..], body].concat()
}

/// A request of client `c` whose body begins with `id`, in the old format or in the flexible one.
fn request(api: Api, version: i16, correlation: i32, id: &str, flexible: bool) -> Vec<u8> {
    let mut body =
        [&api.0.to_be_bytes()[..], &version.to_be_bytes(), &correlation.to_be_bytes(), &[0, 1, b'c']].concat();
    match flexible {
        // No tags; a length is one more.
        true => body.extend([0, id.len() as u8 + 1]),
        false => body.extend((id.len() as i16).to_be_bytes()),
    }
    body.extend(id.as_bytes());
    body.extend([7, 7]);
    frame(&body)
}

/// Answers each request with its correlation id and the number of its connection; `stop` ends it.
fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (number, connection) in (0_u8..).zip(listener.incoming()) {
            let mut connection = connection.unwrap();
            thread::spawn(move || {
                let (mut frames, mut buffer) = (Frames::default(), [0; 512]);
                while let Some(read) = connection.read(&mut buffer).ok().filter(|read| *read > 0) {
                    frames.push(&buffer[..read]);
                    while let Ok(Some(asked)) = frames.cut() {
                        let correlation = Request::parse(&asked).unwrap().correlation;
                        // Throttled for 0 ms, error 47.
                        let answer = [&correlation.to_be_bytes()[..], &[0, 0, 0, 0, 0, 47, number]].concat();
                        drop(connection.write_all(&frame(&answer)));
                    }
                }
            });
        }
    });
    port
}

struct Client(TcpStream);

impl Client {
    fn of(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        Self(stream)
    }

    fn send(&mut self, api: Api, correlation: i32, id: &str) {
        self.0.write_all(&request(api, 1, correlation, id, false)).unwrap();
    }

    /// The correlation id of the next answer.
    fn answer(&mut self) -> std::io::Result<i32> {
        let mut answer = [0; 15];
        self.0.read_exact(&mut answer)?;
        Ok(correlation_of(&answer))
    }

    fn asks(&mut self, api: Api, correlation: i32, id: &str) -> std::io::Result<i32> {
        self.send(api, correlation, id);
        self.answer()
    }
}

fn correlation_of(answer: &[u8]) -> i32 {
    wire::correlation(answer).unwrap()
}

fn proxy() -> Proxy {
    let proxy = Proxy::start().unwrap();
    proxy.lead_to(echo());
    proxy
}

#[test]
fn frames_are_found_wherever_the_stream_is_split() {
    let sent = [frame(b"first"), frame(b""), frame(b"the third one")];
    let stream = sent.concat();
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for part in [&stream[..first], &stream[first..second], &stream[second..]] {
                frames.push(part);
                while let Some(frame) = frames.cut().unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found, sent, "split at {first} and {second}");
        }
    }
    let mut frames = Frames::default();
    frames.push(&[0xff; 4]);
    assert!(frames.cut().is_err(), "a negative length");
}

#[test]
fn the_transactional_id_is_read_in_both_formats() {
    let id = |api, version, flexible| {
        let parsed = Request::parse(&request(api, version, 5, "weir-a-0-1", flexible)).unwrap();
        assert_eq!((parsed.api, parsed.version, parsed.correlation), (api, version, 5));
        parsed.transactional_id
    };
    let known = Some("weir-a-0-1".to_owned());
    assert_eq!(id(Api::END_TXN, 1, false), known);
    assert_eq!(id(Api::END_TXN, 5, true), known);
    assert_eq!(id(Api::TXN_OFFSET_COMMIT, 3, true), known);
    assert_eq!(id(Api::INIT_PRODUCER_ID, 4, true), known);
    assert_eq!(id(Api::PRODUCE, 7, false), known);
    assert_eq!(id(Api::PRODUCE, 10, true), known);
    assert_eq!(id(Api::ADD_PARTITIONS, 0, false), known);
    assert_eq!(id(Api::FETCH, 11, false), None);
    assert!(Request::parse(&frame(&[0, 26, 0, 1, 0])).is_err(), "a head that is cut off");
}

#[test]
fn rules_pick_by_api_id_and_number() {
    let proxy = proxy();
    let mut client = Client::of(&proxy);
    let dropped = proxy.add(Rule::on(Api::END_TXN).of("a").skip(1).every(2).request(Fault::Drop));
    let all = proxy.add(Rule::on(Api::END_TXN));
    let mut lost = Vec::new();
    for number in 0..6 {
        client.send(Api::END_TXN, number, "a");
        client.send(Api::END_TXN, 10 + number, "b");
        client.send(Api::METADATA, 20 + number, "a");
        if client.answer().unwrap() != number {
            lost.push(number);
            assert_eq!(client.answer().unwrap(), 20 + number);
        } else {
            assert_eq!([client.answer().unwrap(), client.answer().unwrap()], [10 + number, 20 + number]);
        }
    }
    assert_eq!(lost, [1, 3, 5]);
    assert_eq!((dropped.picked(), all.picked()), (3, 9), "the first rule that picks a request acts");
    assert_eq!((proxy.seen(Api::END_TXN), proxy.seen(Api::METADATA), proxy.seen(Api::FETCH)), (12, 6, 0));
    proxy.clear();
    assert_eq!(client.asks(Api::END_TXN, 99, "a").unwrap(), 99);
}

#[test]
fn answers_are_delayed_dropped_and_silenced() {
    let proxy = proxy();
    let delay = Duration::from_millis(200);
    proxy.add(Rule::on(Api::END_TXN).once().answer(Fault::Delay(delay)));
    proxy.add(Rule::on(Api::END_TXN).once().answer(Fault::Drop));
    proxy.add(Rule::on(Api::END_TXN).once().answer(Fault::Silence));
    let mut client = Client::of(&proxy);
    let started = Instant::now();
    assert_eq!(client.asks(Api::END_TXN, 1, "a").unwrap(), 1);
    assert!(started.elapsed() >= delay, "{:?}", started.elapsed());
    client.send(Api::END_TXN, 2, "a");
    assert_eq!(client.asks(Api::METADATA, 3, "a").unwrap(), 3, "only the answer itself is dropped");
    client.send(Api::END_TXN, 4, "a");
    client.send(Api::METADATA, 5, "a");
    assert_eq!(client.answer().unwrap_err().kind(), ErrorKind::WouldBlock, "nothing, and not closed");
    assert_eq!(Client::of(&proxy).asks(Api::END_TXN, 6, "a").unwrap(), 6, "another connection works");
}

#[test]
fn a_reset_is_a_reset_and_a_cut_is_silence() {
    let proxy = proxy();
    for rule in [Rule::on(Api::END_TXN).request(Fault::Reset), Rule::on(Api::PRODUCE).answer(Fault::Reset)] {
        let api = if rule.request.is_some() { Api::END_TXN } else { Api::PRODUCE };
        proxy.add(rule);
        let mut client = Client::of(&proxy);
        assert_eq!(client.asks(api, 1, "a").unwrap_err().kind(), ErrorKind::ConnectionReset, "{api:?}");
    }
    proxy.clear();
    let mut client = Client::of(&proxy);
    proxy.cut();
    assert_eq!(client.asks(Api::END_TXN, 2, "a").unwrap_err().kind(), ErrorKind::WouldBlock);
    proxy.heal();
    assert_eq!(client.answer().unwrap(), 2, "what waited arrives");
    drop(proxy);
    assert!(client.asks(Api::END_TXN, 3, "a").is_err(), "it is gone with its connections");
}

#[test]
fn a_request_that_is_held_arrives_later_where_it_was_sent() {
    let proxy = proxy();
    let watch = proxy.add(Rule::on(Api::END_TXN).once().hold());
    let mut first = Client::of(&proxy);
    assert_eq!(first.asks(Api::METADATA, 1, "a").unwrap(), 1);
    first.send(Api::END_TXN, 2, "a");
    watch.wait(1, PATIENCE).unwrap();
    assert_eq!(first.answer().unwrap_err().kind(), ErrorKind::UnexpectedEof, "the client's connection is closed");
    let mut second = Client::of(&proxy);
    assert_eq!(second.asks(Api::END_TXN, 3, "a").unwrap(), 3, "sent again, it passes");
    let late = watch.deliver(PATIENCE).unwrap();
    assert_eq!((correlation_of(&late.frame), late.error().unwrap()), (2, 47));
    assert_eq!(*late.frame.last().unwrap(), 0, "on the broker's first connection");
}
