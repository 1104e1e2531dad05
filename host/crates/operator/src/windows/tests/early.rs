//! Windows that fire before their end, by the clock.

use super::*;

const EARLY: [(&str, &str); 2] = [("tumbling", "10ms"), ("early-every", "100ms")];

#[test]
fn a_window_fires_early_where_there_is_news_and_at_its_end_always() {
    let mut node = Node::new(&EARLY, OnError::Fail);
    node.wake(1_003);
    node.records(&[("a", 1, ""), ("b", 2, ""), ("a", 12, "")]).unwrap();
    assert_eq!((node.sent(), node.runner.wakes_at()), (vec![], Some(1_100)));
    node.wake(1_099);
    assert_eq!(node.sent(), []);
    node.wake(1_100);
    assert_eq!(node.sent(), [("a", "0,1", 9), ("b", "0,1", 9), ("a", "10,1", 19)]);
    // There is news of one, and of one more that is over when its moment comes.
    node.records(&[("a", 3, ""), ("a", 13, ""), ("a", 14, "")]).unwrap();
    node.advance(Watermark::at(10)).unwrap();
    assert_eq!(node.sent()[3..], [("a", "0,2", 9), ("b", "0,1", 9)]);
    node.wake(1_250);
    assert_eq!(node.sent()[5..], [("a", "10,3", 19)]);
    node.wake(2_000);
    assert_eq!((node.sent().len(), node.runner.wakes_at()), (6, None), "there is no news");
    node.advance(Watermark::at(20)).unwrap();
    assert_eq!(node.sent()[6..], [("a", "10,3", 19)], "the last word, though it is the same");
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());
}

#[test]
fn what_waits_for_its_moment_survives_and_time_that_ends_waits_for_none() {
    let mut node = Node::new(&EARLY, OnError::Fail);
    node.wake(1_003);
    node.records(&[("a", 1, ""), ("b", 2, "")]).unwrap();
    // It was due while nobody ran, and there is more by now.
    let mut node = node.again(Watermark::NONE);
    node.pass_to(1_350);
    node.records(&[("b", 3, "")]).unwrap();
    node.wake(1_350);
    assert_eq!(node.sent(), [("a", "0,1", 9), ("b", "0,2", 9)]);
    node.wake(1_500);
    assert_eq!(node.sent().len(), 2, "it is told already");
    node.records(&[("a", 4, "")]).unwrap();
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent()[2..], [("a", "0,2", 9), ("b", "0,2", 9)]);
    assert_eq!((node.runner.wakes_at(), node.stored.lock().unwrap().clone()), (None, Stored::default()));
}

#[test]
fn news_that_comes_while_others_are_under_way_is_told_once() {
    let mut node = Node::new(&EARLY, OnError::Fail);
    let keys: Vec<String> = (0..3_000).map(|key| format!("key-{key:04}")).collect();
    let records: Vec<Given> = keys.iter().map(|key| (key.clone().leak() as &str, 1, "")).collect();
    node.pass_to(1_003);
    node.records(&records).unwrap();
    // About a batch fires at once; then records come, by a clock that has gone on.
    node.pass_to(1_100);
    let mut out = Vec::new();
    assert_eq!(node.runner.wake(1_100, &mut out).unwrap(), Advanced::More);
    node.take(out);
    assert!(node.sent.len() <= 1_024);
    for now_ms in [1_105, 1_205] {
        node.pass_to(now_ms);
        node.records(&[("key-0000", 2, ""), ("key-2999", 2, "")]).unwrap();
    }
    node.wake(1_205);
    let of = |node: &Node, key: &str| {
        node.sent.iter().filter(|sent| sent.0 == key).map(|sent| sent.1.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&node, "key-2999"), ["0,3"]);
    node.wake(1_300);
    assert_eq!((of(&node, "key-0000"), of(&node, "key-2999")), (vec!["0,1".into(), "0,3".into()], vec!["0,3".into()]));
    assert_eq!(node.sent.len(), 3_001);
}

#[test]
fn a_session_fires_early_as_it_is_by_then() {
    let mut node = Node::new(&[("session", "10ms"), ("early-every", "100ms")], OnError::Skip);
    node.wake(1_000);
    node.records(&[("a", 1, ""), ("a", 18, "")]).unwrap();
    node.wake(1_100);
    assert_eq!(node.sent(), [("a", "1,1", 10), ("a", "18,1", 27)]);
    // The two become one, by a record of which nothing is made.
    node.records(&[("a", 9, "bad")]).unwrap();
    let mut node = node.again(Watermark::NONE);
    node.wake(1_200);
    assert_eq!(node.sent()[2..], [("a", "1,2", 27)]);
    node.records(&[("a", 20, "")]).unwrap();
    node.records(&[("a", 25, "")]).unwrap();
    node.wake(1_300);
    assert_eq!(node.sent()[3..], [("a", "1,4", 34)]);
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent()[4..], [("a", "1,4", 34)]);
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());
}

#[test]
fn windows_of_processing_time_fire_early_by_the_same_clock() {
    let mut node = Node::new(&[("tumbling", "1s"), ("time", "processing"), ("early-every", "300ms")], OnError::Fail);
    node.wake(1_000);
    node.records(&[("a", 7, "")]).unwrap();
    node.wake(1_200);
    node.records(&[("a", 7, "")]).unwrap();
    node.wake(1_950);
    node.records(&[("a", 7, "")]).unwrap();
    assert_eq!(node.sent(), [("a", "1000,1", 1_999), ("a", "1000,2", 1_999)]);
    node.wake(2_400);
    assert_eq!(node.sent()[2..], [("a", "1000,3", 1_999)]);
    assert_eq!((node.runner.wakes_at(), node.stored.lock().unwrap().clone()), (None, Stored::default()));
}

#[test]
fn an_early_firing_that_fails_is_named_or_left_out() {
    let mut node = Node::new(&EARLY, OnError::Skip);
    node.wake(1_000);
    node.records(&[("bad", 1, ""), ("a", 1, "bad"), ("b", 1, "")]).unwrap();
    node.wake(1_100);
    assert_eq!(node.sent(), [("b", "0,1", 9)]);
    assert_eq!(node.counters.skipped.load(Ordering::Relaxed), 2);
    let mut node = Node::new(&EARLY, OnError::DeadLetter);
    node.wake(1_000);
    node.records(&[("bad", 1, ""), ("b", 1, "")]).unwrap();
    let mut out = Vec::new();
    node.pass_to(1_100);
    assert_eq!(node.runner.wake(1_100, &mut out).unwrap(), Advanced::Changed);
    let letters = out.iter().filter(|(output, _)| *output == LETTERS).map(|(_, letters)| letters.frame.len());
    assert_eq!((letters.sum::<usize>(), node.runner.holds_letters()), (1, false), "in the epoch of the firing");
    let mut node = Node::new(&EARLY, OnError::Fail);
    node.wake(1_000);
    node.records(&[("bad", 1, "")]).unwrap();
    let error = node.runner.wake(1_100, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "operator \"o\" failed on the window of key \"bad\" from 0 ms to 10 ms");
}
