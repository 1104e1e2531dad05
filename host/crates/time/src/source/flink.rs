//! The ways in which idle, paused and finished splits have lost records elsewhere, each with the number under which Flink
//! knows it. What all have in common: no record is late that a run of the same records in order keeps.

use std::time::Duration;

use crate::{Merge, Options, Progress, Reading, SourceTime, Watermark};

/// One source, and what its records meet: the watermark that was told before them.
struct World {
    time: SourceTime,
    watermark: Watermark,
    idle: bool,
}

impl World {
    fn new(options: &str, splits: usize) -> Self {
        let options: Options = options.parse().unwrap();
        let mut time = SourceTime::new(&options, Watermark::NONE);
        (0..splits).for_each(|_| {
            time.add(Watermark::NONE);
        });
        Self { time, watermark: Watermark::NONE, idle: false }
    }

    /// A record of `split`; whether it is on time.
    fn is_on_time(&mut self, split: usize, timestamp_ms: i64) -> bool {
        let around = self.time.records([(split, Some(timestamp_ms))]);
        self.told(around.before);
        assert!(!self.idle, "a source says that it wakes before it sends");
        let on_time = !self.watermark.has_reached(timestamp_ms + 1);
        self.told(around.after);
        on_time
    }

    /// How the splits are read; which are held back.
    fn note(&mut self, readings: &[Reading]) -> Vec<bool> {
        let noted = self.time.note(readings);
        self.told(noted.progress);
        noted.held
    }

    fn told(&mut self, progress: Option<Progress>) {
        if let Some(progress) = progress {
            assert!(progress.watermark >= self.watermark, "time never goes back");
            (self.watermark, self.idle) = (progress.watermark, progress.idle);
        }
    }
}

fn caught_up(seconds: u64) -> Reading {
    Reading::CaughtUp { at: Duration::from_secs(seconds) }
}

fn at(ms: i64, idle: bool) -> Progress {
    Progress { watermark: Watermark::at(ms), idle }
}

const FLOWING: Reading = Reading::Flowing;

#[test]
fn flink_38477_a_finished_input_says_nothing_about_idle_ones() {
    // Of three senders one has finished, the others are idle: the end of time is not theirs.
    let mut merge = Merge::new(3, Watermark::NONE);
    merge.set(0, Progress { watermark: Watermark::END, idle: false });
    merge.set(1, at(50, true));
    merge.set(2, at(40, true));
    assert_eq!(merge.step(), Some(at(50, true)));
    // One wakes up, and what it sends counts.
    merge.set(2, at(40, false));
    merge.step();
    merge.set(2, at(60, false));
    assert_eq!(merge.step(), Some(at(60, false)));

    // The same within a source: a file that has ended, and a split that was silent.
    let mut world = World::new("max-disorder=0s,idle-after=10s", 2);
    assert!(world.is_on_time(1, 50));
    world.note(&[Reading::Ended, caught_up(0)]);
    world.note(&[Reading::Ended, caught_up(20)]);
    assert_eq!((world.watermark, world.idle), (Watermark::at(50), true));
    assert!(world.is_on_time(1, 51));
}

#[test]
fn flink_38454_whichever_split_falls_silent_first_the_watermark_is_the_same() {
    for first in [0, 1] {
        let mut world = World::new("max-disorder=0s,idle-after=10s", 2);
        assert!(world.is_on_time(0, 5));
        assert!(world.is_on_time(1, 4));
        let mut readings = [FLOWING; 2];
        readings[first] = caught_up(0);
        world.note(&readings);
        readings[first] = caught_up(10);
        world.note(&readings);
        readings[1 - first] = caught_up(10);
        world.note(&readings);
        world.note(&[caught_up(20), caught_up(20)]);
        assert_eq!((world.watermark, world.idle), (Watermark::at(5), true), "split {first} first");
        // Both come back; in order these would be on time.
        assert!(world.is_on_time(1, 5), "split {first} first");
        assert!(world.is_on_time(0, 6), "split {first} first");
    }
}

#[test]
fn flink_35886_back_pressure_and_pauses_are_no_silence() {
    for busy in [FLOWING, Reading::Paused] {
        let mut world = World::new("max-disorder=0s,idle-after=10s", 2);
        assert!(world.is_on_time(0, 1_000));
        assert!(world.is_on_time(1, 100));
        // Split 1 was read to its end, then nothing of it got through for a minute: it waits behind a full queue, or is
        // held back. Split 0 goes on.
        world.note(&[FLOWING, caught_up(0)]);
        for second in 1..60 {
            world.note(&[FLOWING, busy]);
            assert!(world.is_on_time(0, 1_000 * second));
        }
        assert_eq!(world.watermark, Watermark::at(100), "{busy:?}");
        // Also when it is free again, its span of silence begins only then.
        world.note(&[FLOWING, caught_up(60)]);
        world.note(&[FLOWING, caught_up(69)]);
        assert!(world.is_on_time(1, 101), "{busy:?}");
    }
}

#[test]
fn flink_32496_an_idle_split_is_not_held_back_and_comes_back() {
    let mut world = World::new("max-disorder=0s,idle-after=10s,max-drift=1s", 2);
    assert!(world.is_on_time(0, 1_000));
    assert!(world.is_on_time(1, 90_000), "it is far ahead, and then silent");
    assert_eq!(world.note(&[FLOWING, caught_up(0)]), [false, true]);
    assert_eq!(world.note(&[FLOWING, caught_up(10)]), [false, false], "idle, so it is free to come back");
    assert_eq!(world.watermark, Watermark::at(1_000));
    assert!(world.is_on_time(0, 89_500));
    assert!(world.is_on_time(1, 90_100));
    assert_eq!(world.note(&[FLOWING, FLOWING]), [false, false]);
    assert!(world.is_on_time(0, 90_200));
    assert_eq!(world.watermark, Watermark::at(90_100), "it counts again");
}

#[test]
fn flink_40093_a_split_that_was_held_back_is_let_go() {
    let mut world = World::new("max-disorder=0s,idle-after=10s,max-drift=1s", 2);
    assert!(world.is_on_time(0, 0));
    assert!(world.is_on_time(1, 5_000));
    assert_eq!(world.note(&[FLOWING, FLOWING]), [false, true]);
    // However its reading is described while it is held, even as silence that was confirmed before the pause reached it:
    // it is let go as soon as the others are near, or as it is idle.
    for reading in [Reading::Paused, caught_up(0), caught_up(3), Reading::Paused, caught_up(5)] {
        assert_eq!(world.note(&[FLOWING, reading]), [false, true], "{reading:?}");
    }
    assert!(world.is_on_time(0, 4_500));
    for reading in [Reading::Paused, caught_up(6), caught_up(60), FLOWING] {
        assert_eq!(world.note(&[FLOWING, reading]), [false, false], "{reading:?}");
    }
    assert!(world.is_on_time(1, 5_001));
}

#[test]
fn flink_40234_a_slow_operator_does_not_make_its_own_source_idle() {
    let mut world = World::new("max-disorder=0s,idle-after=10s", 2);
    assert!(world.is_on_time(0, 1_000));
    assert!(world.is_on_time(1, 100));
    world.note(&[FLOWING, caught_up(0)]);
    // A window fires for a minute. The last confirmation is from before; records of split 1 have come meanwhile.
    world.note(&[FLOWING, caught_up(0)]);
    assert!(world.is_on_time(0, 60_000));
    world.note(&[FLOWING, FLOWING]);
    assert_eq!(world.watermark, Watermark::at(100));
    assert!(world.is_on_time(1, 101));
}

#[test]
fn flink_40503_a_silent_split_delays_by_its_span_and_no_more() {
    // Confirmations come every 500 ms, as Kafka answers an empty fetch.
    let mut world = World::new("max-disorder=0s,idle-after=30s", 2);
    assert!(world.is_on_time(0, 1_000));
    let idle_from = (0..100).map(|half| Duration::from_millis(half * 500)).find(|at| {
        world.note(&[FLOWING, Reading::CaughtUp { at: *at }]);
        world.watermark == Watermark::at(1_000)
    });
    assert!(idle_from.is_some_and(|at| at <= Duration::from_secs(31)), "{idle_from:?}");
}

#[test]
fn flink_22926_a_new_split_is_waited_for_at_once() {
    let mut world = World::new("max-disorder=0s,idle-after=10s", 1);
    assert!(world.is_on_time(0, 10));
    world.note(&[caught_up(0)]);
    world.note(&[caught_up(10)]);
    assert!(world.idle);
    let new = world.time.add(Watermark::NONE);
    world.note(&[caught_up(20), FLOWING]);
    assert!(!world.idle);
    assert!(world.is_on_time(0, 100));
    assert!(world.is_on_time(new, 11), "nothing has gone past it");
}
