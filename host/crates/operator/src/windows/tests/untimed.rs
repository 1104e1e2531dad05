//! Windows of all time and of so many records, and windows of processing time.

use std::collections::BTreeMap;

use super::model::{Step, played, steps};
use super::*;

#[test]
fn so_many_records_of_a_key_are_a_window_whatever_their_time() {
    let mut node = Node::new(&[("count", "3")], OnError::Skip);
    node.records(&[("a", 50, ""), ("b", 7, ""), ("a", 10, ""), ("", 1, ""), ("a", 20, ""), ("a", 5, "")]).unwrap();
    assert_eq!(node.sent(), [("a", "10,3", 50)]);
    node.advance(Watermark::at(1_000)).unwrap();
    let mut node = node.again(Watermark::at(1_000));
    // One without a timestamp counts, one of which the plugin makes nothing, too; one before 1970 does not.
    node.records(&[("a", i64::MIN, ""), ("b", 9, "bad"), ("a", -4, ""), ("b", 8, "")]).unwrap();
    assert_eq!(node.sent()[1..], [("b", "7,2", 9)]);
    assert_eq!((node.late(), node.counters.skipped.load(Ordering::Relaxed)), (0, 2));
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent()[2..], [("a", "5,2", 5)], "what is not full fires at the end of time");
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());
}

#[test]
fn a_window_of_which_nothing_is_left_sends_nothing() {
    let mut node = Node::new(&[("count", "2")], OnError::Skip);
    node.records(&[("a", 1, "bad"), ("a", 2, "bad"), ("a", 3, "")]).unwrap();
    assert_eq!(node.sent(), []);
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent(), [("a", "3,1", 3)]);
    let mut node = Node::new(&[("count", "1")], OnError::Fail);
    let error = node.records(&[("a", 1, ""), ("bad", 1, "")]).unwrap_err();
    assert_eq!(error.to_string(), "operator \"o\" failed on the window of key \"bad\"");
}

#[test]
fn the_window_of_all_time_fires_by_records_or_by_time_and_stays() {
    let mut node = Node::new(&[("global", "count=2")], OnError::Fail);
    node.records(&[("a", 5, ""), ("a", 3, ""), ("a", 9, ""), ("b", 1, "")]).unwrap();
    let mut node = node.again(Watermark::NONE);
    node.records(&[("a", 1, "")]).unwrap();
    assert_eq!(node.sent(), [("a", "3,2", 5), ("a", "1,4", 9)]);
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent()[2..], [("b", "1,1", 1)], "there is nothing new of the other");
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());

    let mut node = Node::new(&[("global", "every=10ms")], OnError::Fail);
    node.records(&[("a", 12, ""), ("b", 5, ""), ("a", 3, "")]).unwrap();
    node.advance(Watermark::at(19)).unwrap();
    assert_eq!(node.sent(), [("a", "3,2", 9), ("b", "5,1", 9)]);
    let mut node = node.again(Watermark::at(19));
    node.advance(Watermark::at(60)).unwrap();
    assert_eq!(node.sent().len(), 2, "without news there is nothing to say");
    node.records(&[("b", 61, "")]).unwrap();
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent()[2..], [("b", "5,2", 69)]);
    assert_eq!(*node.stored.lock().unwrap(), Stored::default());
}

#[test]
fn windows_of_processing_time_follow_the_clock_and_nothing_is_late() {
    let mut node = Node::new(&[("tumbling", "10ms"), ("time", "processing")], OnError::Fail);
    node.wake(1_003);
    node.records(&[("a", 5, ""), ("a", i64::MIN, "")]).unwrap();
    node.advance(Watermark::at(900)).unwrap();
    node.wake(1_009);
    node.records(&[("b", 1, "")]).unwrap();
    assert_eq!((node.sent(), node.runner.wakes_at()), (vec![], Some(1_010)));
    let mut node = node.again(Watermark::at(900));
    node.wake(1_010);
    assert_eq!(node.sent(), [("a", "1000,2", 1_009), ("b", "1000,1", 1_009)]);
    // What event time has passed would be late for whoever is behind.
    node.records(&[("a", 1, "")]).unwrap();
    node.advance(Watermark::at(5_000)).unwrap();
    node.wake(1_020);
    node.records(&[("a", 1, "")]).unwrap();
    node.advance(Watermark::END).unwrap();
    assert_eq!(node.sent()[2..], [("a", "1010,1", 5_000), ("a", "1020,1", 1_029)]);
    assert_eq!((node.late(), node.stored.lock().unwrap().clone()), (0, Stored::default()));
}

#[test]
fn sessions_and_sliding_windows_and_all_of_time_follow_the_clock() {
    for (window, wanted) in [
        (("session", "10ms"), &[("a", "1000,2", 1_014), ("a", "1030,1", 1_039)][..]),
        (
            ("sliding", "20ms/10ms"),
            &[("a", "990,2", 1_009), ("a", "1000,2", 1_019), ("a", "1020,1", 1_039), ("a", "1030,1", 1_049)],
        ),
        (("global", "every=10ms"), &[("a", "1000,2", 1_009), ("a", "1000,3", 1_039)]),
        (("count", "2"), &[("a", "1000,2", 1_005), ("a", "1030,1", 1_030)]),
    ] {
        let mut node = Node::new(&[window, ("time", "processing")], OnError::Fail);
        for now_ms in [1_000, 1_005, 1_030] {
            node.wake(now_ms);
            node.records(&[("a", 7, "")]).unwrap();
            node = node.again(Watermark::NONE);
        }
        node.wake(1_041);
        node.advance(Watermark::END).unwrap();
        assert_eq!(node.sent(), wanted, "{window:?}");
        assert_eq!(*node.stored.lock().unwrap(), Stored::default());
    }
}

const SPECS: [(&str, &str); 5] =
    [("count", "1"), ("count", "3"), ("global", "count=1"), ("global", "count=3"), ("global", "every=20ms")];

/// What windows send of these steps, one record after the other: no rounds, no timers.
fn model(steps: &[Step], (kind, length): (&str, &str)) -> Vec<Sent> {
    /// What a key has: its records in all, since it fired last, and the least and the greatest timestamp; when it is due.
    #[derive(Clone, Default)]
    struct Has {
        all: u64,
        new: u64,
        times: Option<(i64, i64)>,
        due: Option<i64>,
    }
    let number: i64 = length.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    let mut keys: BTreeMap<&str, Has> = BTreeMap::new();
    let (mut sent, mut now) = (Vec::new(), i64::MIN);
    let send = |key: &str, has: &mut Has, at: Option<i64>, sent: &mut Vec<Sent>| {
        let (first, last) = has.times.unwrap();
        sent.push((key.to_owned(), format!("{first},{}", has.all), at.map_or(last, |at| at - 1)));
        has.new = 0;
        if kind == "count" {
            *has = Has::default();
        }
    };
    for step in steps {
        match step {
            Step::Record(key, at) => {
                let has = keys.entry(key).or_default();
                has.all += 1;
                has.new += 1;
                has.times = Some(has.times.map_or((*at, *at), |(first, last)| (first.min(*at), last.max(*at))));
                if length.starts_with("every") {
                    let from = (*at).max(now);
                    let due = from + number - from.rem_euclid(number);
                    has.due = Some(has.due.map_or(due, |other| other.min(due)));
                } else if has.new == number as u64 {
                    send(key, has, None, &mut sent);
                }
            }
            Step::Advance(by) => {
                now = now.max(0) + by;
                let mut due: Vec<(i64, &str)> = keys.iter().filter_map(|(key, has)| Some((has.due?, *key))).collect();
                due.retain(|(at, _)| *at <= now);
                due.sort();
                for (at, key) in due {
                    let has = keys.get_mut(key).unwrap();
                    has.due = None;
                    send(key, has, Some(at), &mut sent);
                }
            }
        }
    }
    let mut rest: Vec<(i64, &str)> = keys.iter().map(|(key, has)| (has.due.unwrap_or(i64::MAX), *key)).collect();
    rest.sort();
    for (at, key) in rest {
        let has = keys.get_mut(key).unwrap();
        if has.new > 0 {
            send(key, has, (at < i64::MAX).then_some(at), &mut sent);
        }
    }
    sent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_same_is_sent_in_the_same_order_whatever_the_batches_and_wherever_it_begins_anew(
        steps in steps(),
        batch in 1..40usize,
        restart in 1..60usize,
        window in prop::sample::select(&SPECS),
    ) {
        let node = played(&steps, &[window], batch, restart);
        prop_assert_eq!(&node.sent, &model(&steps, window));
    }
}
