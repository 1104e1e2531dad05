//! Timers against a model: a table that holds all of them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn limits(near_max: usize, rounds_max: u32) -> Limits {
    Limits { near_max, rounds_max }
}

fn timer(time_ms: i64, key: &[u8]) -> Timer {
    Timer { time_ms, key: key.into() }
}

/// Timers with their table, as the caller keeps both.
struct Kept {
    timers: Timers,
    table: BTreeSet<Timer>,
}

impl Kept {
    fn new(limits: Limits) -> Self {
        Self { timers: Timers::new(limits), table: BTreeSet::new() }
    }

    fn set(&mut self, time_ms: i64, key: &[u8], round: u32) -> Result<(), Storm> {
        self.table.insert(timer(time_ms, key));
        self.timers.set(time_ms, key, round)
    }

    fn cancel(&mut self, time_ms: i64, key: &[u8]) {
        self.table.remove(&timer(time_ms, key));
        self.timers.cancel(time_ms, key);
    }

    /// The next batch that is due, loading what has to be loaded.
    fn due(&mut self, time_ms: i64, count: usize) -> Vec<Due> {
        loop {
            match self.timers.due(time_ms, count) {
                Firing::Now(due) => {
                    due.iter().for_each(|due| assert!(self.table.remove(&due.timer), "{due:?} was not set"));
                    return due;
                }
                Firing::Load(load) => {
                    let all = self.table.iter().filter(|timer| load.from.as_ref().is_none_or(|from| *timer >= from));
                    let found: Vec<Timer> = all.take(load.count).cloned().collect();
                    self.timers.load(found, &load);
                }
                Firing::Nothing => return Vec::new(),
            }
        }
    }

    fn all_due(&mut self, time_ms: i64, count: usize) -> Vec<Timer> {
        let batches = std::iter::from_fn(|| Some(self.due(time_ms, count)).filter(|due| !due.is_empty()));
        batches.flatten().map(|due| due.timer).collect()
    }
}

#[test]
fn timers_fire_in_order_of_time_once_and_in_batches() {
    let mut kept = Kept::new(Limits::default());
    for (time_ms, key) in [(30, b"a"), (10, b"b"), (10, b"a"), (10, b"b"), (40, b"a")] {
        kept.set(time_ms, key, 0).unwrap();
    }
    kept.cancel(40, b"a");
    kept.cancel(99, b"z");
    assert_eq!(kept.timers.next_ms(), Some(10));
    let first = kept.due(30, 2);
    assert_eq!(first.iter().map(|due| &due.timer).collect::<Vec<_>>(), [&timer(10, b"a"), &timer(10, b"b")]);
    assert_eq!(kept.all_due(30, 2), [timer(30, b"a")]);
    assert_eq!((kept.all_due(i64::MAX, 2), kept.timers.next_ms()), (vec![], None));
    assert_eq!(kept.timers.bytes(), 0);
}

#[test]
fn a_timer_in_the_past_is_due_at_once_and_before_later_ones() {
    let mut kept = Kept::new(Limits::default());
    kept.set(100, b"a", 0).unwrap();
    kept.set(50, b"a", 0).unwrap();
    assert_eq!(kept.due(100, 1)[0].timer.time_ms, 50);
    kept.set(20, b"a", 1).unwrap();
    assert_eq!(kept.all_due(100, 1), [timer(20, b"a"), timer(100, b"a")]);
}

#[test]
fn a_key_fires_once_before_it_is_asked_again() {
    let mut kept = Kept::new(Limits::default());
    for (time_ms, key) in [(10, b"a"), (20, b"b"), (30, b"a"), (40, b"c")] {
        kept.set(time_ms, key, 0).unwrap();
    }
    let first = kept.due(40, 9);
    assert_eq!(first.iter().map(|due| &due.timer).collect::<Vec<_>>(), [&timer(10, b"a"), &timer(20, b"b")]);
    // The first one sets another before the second, and cancels that.
    kept.set(15, b"a", 1).unwrap();
    kept.cancel(30, b"a");
    assert_eq!(kept.all_due(40, 9), [timer(15, b"a"), timer(40, b"c")]);
}

#[test]
fn many_timers_at_one_moment_fire_from_a_bounded_memory() {
    let mut kept = Kept::new(limits(100, 10));
    for key in 0..5_000_u32 {
        kept.set(7, &key.to_be_bytes(), 0).unwrap();
        assert!(kept.timers.near() <= 100);
    }
    let mut fired = Vec::new();
    loop {
        let due = kept.due(7, 64);
        if due.is_empty() {
            break;
        }
        assert!(kept.timers.near() <= 100);
        fired.extend(due.into_iter().map(|due| due.timer));
    }
    assert_eq!(fired.len(), 5_000);
    assert!(fired.is_sorted());
}

#[test]
fn after_a_restart_the_table_is_asked() {
    let mut kept = Kept::new(Limits::default());
    kept.set(10, b"a", 0).unwrap();
    kept.set(20, b"a", 0).unwrap();
    kept.timers = Timers::restored(Limits::default());
    assert_eq!(kept.timers.next_ms(), Some(i64::MIN), "nobody knows yet");
    kept.set(5, b"b", 0).unwrap();
    assert_eq!(kept.all_due(10, 9), [timer(5, b"b"), timer(10, b"a")]);
    assert_eq!(kept.timers.next_ms(), Some(20));
}

/// Fires at `time_ms` a plugin that sets its timer `later_ms` after the one that fired, until nothing is due or it storms.
fn rearm(kept: &mut Kept, time_ms: i64, later_ms: i64) -> Result<usize, Storm> {
    let mut fired = 0;
    loop {
        let due = kept.due(time_ms, 128);
        if due.is_empty() {
            return Ok(fired);
        }
        for Due { timer, next_round } in due {
            fired += 1;
            assert!(fired < 1_000_000, "nothing stops it");
            kept.set(timer.time_ms.saturating_add(later_ms), &timer.key, next_round)?;
        }
    }
}

#[test]
fn a_plugin_that_sets_its_timer_for_ever_is_a_storm() {
    for (later_ms, time_ms) in [(0, 10), (-5, 10), (1, i64::MAX)] {
        let mut kept = Kept::new(limits(1_000, 50));
        kept.set(10, b"a", 0).unwrap();
        let storm = rearm(&mut kept, time_ms, later_ms).unwrap_err();
        assert_eq!(storm.rounds, 51, "{later_ms}");
        assert!(storm.to_string().contains("timer storm"));
    }
    // Also where its timers come back from the table in between.
    let mut kept = Kept::new(limits(1, 50));
    kept.set(10, b"a", 0).unwrap();
    kept.set(10, b"b", 0).unwrap();
    assert!(rearm(&mut kept, i64::MAX, 1).is_err());
}

#[test]
fn many_keys_that_catch_up_are_no_storm() {
    let mut kept = Kept::new(limits(10_000, 50));
    for key in 0..1_000_u32 {
        kept.set(0, &key.to_be_bytes(), 0).unwrap();
    }
    // 49 more of each are due by then; the next watermark begins to count anew.
    assert_eq!(rearm(&mut kept, 490, 10), Ok(50_000));
    assert_eq!(rearm(&mut kept, 990, 10), Ok(50_000));
    // Nor where each comes back from the table.
    let mut kept = Kept::new(limits(2, 50));
    kept.set(0, b"a", 0).unwrap();
    kept.set(0, b"b", 0).unwrap();
    kept.timers = Timers::restored(limits(2, 50));
    for time_ms in [190, 390, 590] {
        assert_eq!(rearm(&mut kept, time_ms, 10), Ok(40));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Set(i64, u8),
    Cancel(i64, u8),
    Advance(i64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (-5i64..60, 0u8..5).prop_map(|(time, key)| Step::Set(time, key)),
        2 => (-5i64..60, 0u8..5).prop_map(|(time, key)| Step::Cancel(time, key)),
        2 => (0i64..20).prop_map(Step::Advance),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn whatever_is_in_memory_what_fires_is_what_the_table_says(
        steps in steps(),
        near_max in 1usize..12,
        count in 1usize..5,
    ) {
        let limits = limits(near_max, 10);
        let mut kept = Kept::new(limits);
        let mut model = BTreeSet::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Set(time, key) => {
                    model.insert(timer(time, &[key]));
                    kept.set(time, &[key], 0).unwrap();
                }
                Step::Cancel(time, key) => {
                    model.remove(&timer(time, &[key]));
                    kept.cancel(time, &[key]);
                }
                Step::Advance(by) => {
                    now += by;
                    let later = model.split_off(&timer(now + 1, &[]));
                    let due = std::mem::replace(&mut model, later);
                    prop_assert_eq!(kept.all_due(now, count), due.into_iter().collect::<Vec<_>>());
                    if let Some(next) = kept.timers.next_ms() {
                        prop_assert!(model.first().is_none_or(|first| next <= first.time_ms));
                    }
                }
                Step::Restart => kept.timers = Timers::restored(limits),
            }
            prop_assert!(kept.timers.near() <= near_max);
            let mut bytes = BTreeMap::new();
            kept.timers.near.keys().for_each(|timer| *bytes.entry(()).or_default() += timer.key.len());
            prop_assert_eq!(kept.timers.key_bytes, bytes.remove(&()).unwrap_or(0));
        }
        prop_assert_eq!(&kept.table, &model);
    }
}
