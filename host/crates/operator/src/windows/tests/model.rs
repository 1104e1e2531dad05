//! Windows of event time against what they must send, computed one record after the other and each window by itself.

use super::*;

/// What happens to a node.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Record(&'static str, i64),
    /// Time goes on by so much.
    Advance(i64),
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = (prop::sample::select(vec!["a", "b", "cc"]), 0..300i64).prop_map(|(key, at)| Step::Record(key, at));
    prop::collection::vec(prop_oneof![8 => record, 1 => (1..40i64).prop_map(Step::Advance)], 0..120)
}

/// Windows of the tests: how they are written, and how long they last after their end.
type Spec = (&'static [(&'static str, &'static str)], i64);

const SPECS: [Spec; 6] = [
    (&[("tumbling", "10ms")], 0),
    (&[("tumbling", "10ms"), ("allowed-lateness", "15ms")], 15),
    (&[("sliding", "35ms/10ms")], 0),
    (&[("sliding", "64ms/4ms"), ("allowed-lateness", "15ms")], 15),
    (&[("session", "10ms")], 0),
    (&[("session", "10ms"), ("allowed-lateness", "15ms")], 15),
];

/// What each window of a key sent last, by its first and its last millisecond.
type Last = BTreeMap<(String, i64, i64), u64>;

/// Plays `steps` to the end of time, in batches of at most `batch` records, beginning anew after every `restart` steps.
pub(super) fn played(steps: &[Step], window: &[(&str, &str)], batch: usize, restart: usize) -> Node {
    let mut node = Node::new(window, OnError::Fail);
    let (mut now, mut waiting) = (Watermark::NONE, Vec::new());
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Record(key, timestamp_ms) => waiting.push((*key, *timestamp_ms, "")),
            Step::Advance(by) => {
                node.records(&std::mem::take(&mut waiting)).unwrap();
                now = Watermark::at(now.as_ms().unwrap_or(0) + by);
                node.advance(now).unwrap();
            }
        }
        if waiting.len() == batch || at % restart == 0 {
            node.records(&std::mem::take(&mut waiting)).unwrap();
        }
        if at % restart == 0 {
            node = node.again(now);
        }
    }
    node.records(&waiting).unwrap();
    node.advance(Watermark::END).unwrap();
    assert_eq!(*node.stored.lock().unwrap(), Stored::default(), "nothing is left");
    node
}

/// What each window sent last, and how many records were late.
fn run(steps: &[Step], (window, lateness_ms): Spec, batch: usize, restart: usize) -> (Last, usize) {
    let node = played(steps, window, batch, restart);
    let late = node.late();
    let sent = node.sent.into_iter().map(|(key, value, at)| {
        let (start, count) = value.split_once(',').unwrap();
        ((key, start.parse().unwrap(), at), count.parse().unwrap())
    });
    let sent: Vec<((String, i64, i64), u64)> = sent.collect();
    let last: Last = sent.iter().cloned().collect();
    assert!(lateness_ms > 0 || last.len() == sent.len(), "each fires once: {sent:?}");
    (valid(last, window), late)
}

/// Without what was sent of sessions that became part of others: whether it was depends on where batches end.
fn valid(last: Last, window: &[(&str, &str)]) -> Last {
    let is_part = |(key, start, end): &(String, i64, i64)| {
        let around = |other: &&(String, i64, i64)| other.0 == *key && other.1 <= *start && *end <= other.2;
        window[0].0 == "session" && last.keys().filter(around).count() > 1
    };
    last.iter().filter(|(name, _)| !is_part(name)).map(|(name, count)| (name.clone(), *count)).collect()
}

/// The same, computed from all that came, one record after the other and each window by itself: no panes, no lists, no timers.
fn model(steps: &[Step], (window, lateness_ms): Spec) -> (Last, usize) {
    let spec =
        WindowSpec::from_table(&window.iter().map(|(w, t)| ((*w).to_owned(), (*t).to_owned())).collect()).unwrap();
    let (mut all, mut late, mut now): (BTreeMap<(&str, Window), u64>, _, _) = (BTreeMap::new(), 0, i64::MIN);
    let mut sent = Last::new();
    let name = |(key, window): (&str, Window)| (key.to_owned(), window.start_ms, window.end_ms - 1);
    for step in steps {
        let is_kept = |window: Window, now: i64| now < window.end_ms + lateness_ms;
        match step {
            Step::Record(key, at) => {
                let mut windows = match &spec.kind {
                    Kind::Tumbling(fixed) => vec![fixed.window(*at).unwrap()],
                    Kind::Sliding(panes) => panes.windows(*at).unwrap().collect(),
                    Kind::Session { gap_ms } => {
                        let mut session = Window::new(*at, at + gap_ms);
                        // What it overlaps has not expired, and becomes part of it.
                        let touches = |(other, open): &(&str, Window)| {
                            other == key && open.start_ms < at + gap_ms && *at < open.end_ms && is_kept(*open, now)
                        };
                        for (_, open) in all.keys().filter(|open| touches(open)) {
                            session = Window::new(session.start_ms.min(open.start_ms), session.end_ms.max(open.end_ms));
                        }
                        vec![session]
                    }
                    other => panic!("{other:?}"),
                };
                windows.retain(|window| is_kept(*window, now));
                late += usize::from(windows.is_empty());
                for window in windows {
                    let mut count = 1;
                    if matches!(spec.kind, Kind::Session { .. }) {
                        let inside = |other: &str, open: Window| {
                            let is_within = window.start_ms <= open.start_ms && open.end_ms <= window.end_ms;
                            other == *key && is_within && is_kept(open, now)
                        };
                        count +=
                            all.iter().filter(|((other, open), _)| inside(other, *open)).map(|(_, n)| n).sum::<u64>();
                        all.retain(|(other, open), _| !inside(other, *open));
                    }
                    *all.entry((key, window)).or_default() += count;
                    if window.end_ms <= now {
                        sent.insert(name((key, window)), all[&(*key, window)]);
                    }
                }
            }
            Step::Advance(by) => {
                now = now.max(0) + by;
                let fired = all.iter().filter(|((_, window), _)| window.end_ms <= now);
                sent.extend(fired.map(|(window, count)| (name(*window), *count)));
            }
        }
    }
    sent.extend(all.iter().map(|(window, count)| (name(*window), *count)));
    (valid(sent, window), late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_same_is_sent_whatever_the_batches_and_wherever_it_begins_anew(
        steps in steps(),
        batch in 1..40usize,
        restart in 1..60usize,
        spec in prop::sample::select(&SPECS),
    ) {
        let expected = model(&steps, spec);
        prop_assert_eq!(&run(&steps, spec, batch, restart), &expected);
        prop_assert_eq!(&run(&steps, spec, 1, usize::MAX), &expected);
    }
}
