//! What a record, a window and a timer cost, on this machine and now: `cargo bench -p weir-time`. The aims of issue 10: a
//! million live timers in 200 MB, 300,000 fired a second. Memory is the growth of the process's resident set.
#![allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")]
#![expect(clippy::print_stdout, reason = "its output is its result")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use weir_core::RecordView;
use weir_core::frame::encode_headers;
use weir_time::timers::{Firing, Limits, Timers};
use weir_time::timestamp::Unit;
use weir_time::window::calendar::CalendarUnit;
use weir_time::window::{Calendar, Fixed, Panes, Sessions};
use weir_time::{Options, SourceTime, TimestampSource, Watermark};

const TIMERS: u64 = 1_000_000;
const RECORDS: u64 = 5_000_000;

fn main() {
    timers(TIMERS, Limits { near_max: usize::MAX, ..Limits::default() });
    watermarks();
    windows();
    timestamps();
}

/// A million timers of 16-byte keys within ten minutes, set in no order, fired in batches of 512.
fn timers(count: u64, limits: Limits) {
    let before = resident_bytes();
    let mut timers = Timers::new(limits);
    let set = timed(|| {
        for number in 0..count {
            let mixed = mix(number);
            let key = (u128::from(mixed) << 64 | u128::from(number)).to_be_bytes();
            let time_ms = i64::try_from(mixed % 600_000).unwrap_or(0);
            timers.set(time_ms, &key, 0).expect("no timer is set by a timer");
        }
    });
    let bytes = resident_bytes().saturating_sub(before);
    let estimate = timers.bytes();
    let mut fired = 0;
    let fire = timed(|| {
        for time_ms in (0..=600_000).step_by(1_000) {
            while let Firing::Now(due) = timers.due(time_ms, 512) {
                fired += due.len();
            }
        }
    });
    println!("timers        {count} live: {} MB resident, {} MB estimated", bytes / 1_000_000, estimate / 1_000_000);
    println!("timers        set {:.0} ns each, {:.0} a second", per(set, count), rate(set, count));
    println!("timers        fired {fired}: {:.0} ns each, {:.0} a second", per(fire, count), rate(fire, count));
}

/// Batches of 1,024 records of four splits.
fn watermarks() {
    let options: Options = "max-disorder=1s,max-drift=1min".parse().expect("options");
    let mut time = SourceTime::new(&options, Watermark::NONE);
    (0..4).for_each(|_| {
        time.add(Watermark::NONE);
    });
    let batches = RECORDS / 1_024;
    let spent = timed(|| {
        for batch in 0..batches {
            let record = |at: u64| (usize::from(at.to_le_bytes()[0] & 3), i64::try_from(batch * 1_024 + at).ok());
            black_box(time.records((0..1_024).map(record)));
        }
    });
    println!("watermarks    {:.1} ns a record", per(spent, batches * 1_024));
}

fn windows() {
    let each = |name: &str, count: u64, work: &mut dyn FnMut(i64)| {
        let at = |number: u64| 1_700_000_000_000 + i64::try_from(mix(number) % 3_600_000).unwrap_or(0);
        let spent = timed(|| (0..count).for_each(|number| work(black_box(at(number)))));
        println!("{name} {:.1} ns a record", per(spent, count));
    };
    let fixed = Fixed::new(10_000, 0).expect("a shape");
    each("tumbling     ", RECORDS, &mut |at| {
        black_box(fixed.window(at)).expect("a legal time");
    });
    let panes = Panes::new(600_000, 1_000, 0).expect("a shape");
    each("600 panes    ", RECORDS, &mut |at| {
        black_box(panes.pane(at)).expect("a legal time");
    });
    let days = Calendar::new(CalendarUnit::Day, 1, "Europe/Berlin", 0).expect("a zone");
    each("calendar day ", RECORDS / 10, &mut |at| {
        black_box(days.window(at)).expect("a legal time");
    });
    let mut sessions = Sessions::default();
    each("session      ", RECORDS / 10, &mut |at| {
        black_box(sessions.join(at, 30_000)).expect("a legal time");
    });
    let cover = timed(|| (0..100_000).for_each(|step| drop(black_box(panes.cover(panes.window_to(step * 1_000))))));
    let window = panes.window_to(1_700_000_000_000);
    println!("600 panes     {:.0} ns and {} blocks a window", per(cover, 100_000), panes.cover(window).len());
}

fn timestamps() {
    let value =
        br#"{"user": "u-42", "url": "/a/b/c?d=e", "event": {"kind": "click", "ts": 1700000000123}, "n": [1, 2, 3]}"#;
    let mut headers = Vec::new();
    encode_headers([(&b"created-at"[..], Some(&b"2023-11-14T22:13:20.123Z"[..]))], &mut headers);
    let record = RecordView { timestamp_ms: 5, source: 0, key: None, value: Some(value), headers: &headers };
    for source in ["record", "json:/event/ts", "header:created-at"] {
        let read: TimestampSource = source.parse().expect("a source");
        let spent = timed(|| {
            for _ in 0..RECORDS / 5 {
                black_box(read.read(black_box(&record), 7, Unit::Milliseconds)).expect("a time");
            }
        });
        println!("timestamps    {:.0} ns a record, {source}", per(spent, RECORDS / 5));
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn per(spent: Duration, count: u64) -> f64 {
    spent.as_secs_f64() * 1e9 / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn rate(spent: Duration, count: u64) -> f64 {
    1e9 / per(spent, count)
}

/// Numbers that look like none before them (splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Linux's word for it; 0 elsewhere.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    resident.unwrap_or(0) * 4_096
}
