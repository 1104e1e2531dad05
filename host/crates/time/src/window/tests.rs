//! What windows promise, whatever the order of arrival, the cut of batches, and the restarts in between.

use std::time::Duration;

use proptest::prelude::*;

use crate::{Options, Reading, SourceTime, Watermark, WindowSpec};

mod engine;

use engine::{Engine, Record, batch, sorted};

const SPLITS: usize = 3;
const DISORDER_MS: i64 = 40;
const LATENESS_MS: i64 = 60;

fn options(disorder_ms: i64) -> Options {
    format!("max-disorder={disorder_ms}ms,idle-after=10s").parse().unwrap()
}

fn source(disorder_ms: i64) -> SourceTime {
    let mut time = SourceTime::new(&options(disorder_ms), Watermark::NONE);
    (0..SPLITS).for_each(|_| {
        time.add(Watermark::NONE);
    });
    time
}

fn specs() -> impl Strategy<Value = WindowSpec> {
    let texts = [
        "tumbling:1ms",
        "tumbling:25ms",
        "sliding:100ms/10ms",
        "sliding:64ms/1ms",
        "sliding:35ms/10ms",
        "session:17ms",
        "tumbling:1day@Europe/Berlin",
    ];
    proptest::sample::select(Vec::from(texts)).prop_map(|text| text.parse().unwrap())
}

/// Records in an order of arrival in which none comes more than `delay_ms` behind the latest of its split: each arrives
/// when its timestamp plus a delay says so. The splits are interleaved at will.
fn arrivals(delay_ms: i64) -> impl Strategy<Value = Vec<Record>> {
    let record = (0..SPLITS, 0i64..600, 0u8..3, 0..=delay_ms, -50i64..50);
    proptest::collection::vec(record, 1..120).prop_map(|records| {
        // A constant shift of each split, other than its delays, lets splits run ahead of each other.
        let shift = |split: usize, skew: i64| skew * i64::from(split == 0) + 200 * i64::from(split == 1);
        let skew = records[0].4;
        let numbered = (0..).zip(records);
        let mut arriving: Vec<(i64, Record)> = numbered
            .map(|(value, (split, timestamp_ms, key, delay, _))| {
                (timestamp_ms + delay + shift(split, skew), Record { split, timestamp_ms, key, value })
            })
            .collect();
        arriving.sort_by_key(|(arrival, _)| *arrival);
        arriving.into_iter().map(|(_, record)| record).collect()
    })
}

/// Runs `records`, in batches of `size`, to the end of time.
fn run(spec: &WindowSpec, disorder_ms: i64, records: &[Record], size: usize) -> Engine {
    let mut time = source(disorder_ms);
    let mut engine = Engine::new(spec);
    records.chunks(size).for_each(|records| engine.batch(&mut time, records));
    engine.progress(time.end_all());
    engine
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_order_within_the_disorder_gives_the_windows_of_the_batch(
        spec in specs(),
        records in arrivals(DISORDER_MS),
        size in 1usize..9,
    ) {
        let engine = run(&spec, DISORDER_MS, &records, size);
        prop_assert_eq!(&engine.late, &vec![]);
        prop_assert_eq!(engine.kept(), 0, "nothing is kept past the end of time");
        let mut in_order = records.clone();
        in_order.sort_by_key(|record| record.timestamp_ms);
        let sent = sorted(engine.sent);
        prop_assert_eq!(&sent, &sorted(run(&spec, DISORDER_MS, &in_order, 1).sent));
        prop_assert_eq!(&sent, &sorted(batch(&spec, &records)));
    }

    #[test]
    fn what_comes_later_within_the_lateness_corrects_the_windows(
        spec in specs(),
        records in arrivals(DISORDER_MS + LATENESS_MS),
        size in 1usize..9,
    ) {
        let mut spec = spec;
        spec.firing.lateness_ms = LATENESS_MS;
        let engine = run(&spec, DISORDER_MS, &records, size);
        prop_assert_eq!(&engine.late, &vec![]);
        prop_assert_eq!(sorted(engine.sent), sorted(batch(&spec, &records)));
    }

    #[test]
    fn what_is_late_is_told_and_changes_nothing(records in arrivals(400), size in 1usize..9) {
        // Elsewhere a late record still counts in a later sliding window, or begins a session that an expired one was near.
        let spec: WindowSpec = "tumbling:25ms".parse().unwrap();
        let engine = run(&spec, 0, &records, size);
        let on_time: Vec<Record> =
            records.iter().copied().filter(|record| !engine.late.contains(record)).collect();
        prop_assert_eq!(sorted(engine.sent), sorted(batch(&spec, &on_time)));
    }

    #[test]
    fn watermarks_never_go_back_over_any_restarts(
        steps in proptest::collection::vec((0usize..6, 0..SPLITS, 0i64..1_000, 0u64..40), 0..80),
    ) {
        let mut time = source(DISORDER_MS);
        let mut last = time.progress().watermark;
        let mut now = 0;
        for (what, split, timestamp_ms, seconds) in steps {
            now += seconds;
            match what {
                0 => {
                    // A new start, perhaps with another disorder: it has what the epoch kept and nothing else.
                    let kept: Vec<Watermark> = time.splits().map(|progress| progress.watermark).collect();
                    let floor = time.progress().watermark;
                    time = SourceTime::new(&options(timestamp_ms), floor);
                    kept.into_iter().for_each(|watermark| {
                        time.add(watermark);
                    });
                }
                1 => drop(time.note(&[Reading::CaughtUp { at: Duration::from_secs(now) }; SPLITS])),
                2 => drop(time.note(&[Reading::Paused; SPLITS])),
                _ => drop(time.records([(split, Some(timestamp_ms))])),
            }
            prop_assert!(time.progress().watermark >= last);
            last = time.progress().watermark;
        }
    }
}

#[test]
fn a_record_is_folded_once_into_a_window_of_600_panes() {
    let spec: WindowSpec = "sliding:600s/1s".parse().unwrap();
    let records: Vec<Record> =
        (0..2_000).map(|value| Record { split: 0, timestamp_ms: i64::from(value) * 700, key: 0, value }).collect();
    let mut time = SourceTime::new(&options(0), Watermark::NONE);
    time.add(Watermark::NONE);
    let mut engine = Engine::new(&spec);
    records.chunks(50).for_each(|records| engine.batch(&mut time, records));
    engine.progress(time.end_all());
    assert_eq!(engine.folds, records.len());
    // Of each window some two dozen pieces instead of 600, however it slides.
    assert!(engine.merges < 2_000 * 30, "{} merges", engine.merges);
    assert_eq!(sorted(engine.sent), sorted(batch(&spec, &records)));
}
