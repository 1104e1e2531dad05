//! HOT PATH. The time of one split: its watermark with bounded disorder, and whether it is idle.
//!
//! A split is idle when it is read to its end **and** nothing of it is buffered **and** that was so, without a record, for
//! `idle-after`. No clock of ours measures this span: it lies between two confirmations that the split has nothing to read,
//! each given with the moment at which it was true. A task that was busy for a minute (a slow operator, a window that
//! fires, back-pressure) has no confirmations of that minute, so it never mistakes its own delay for the split's silence.

use std::time::Duration;

use weir_core::{Progress, Reading, Rising, Watermark};

/// The time of one split.
#[derive(Debug, Clone)]
pub struct SplitTime {
    time: Rising,
    quiet_since: Option<Duration>,
    idle: bool,
}

impl SplitTime {
    /// A split whose watermark the last epoch left at `watermark` ([`Watermark::NONE`] for a new one).
    pub fn new(watermark: Watermark) -> Self {
        Self { time: Rising::new(watermark), quiet_since: None, idle: false }
    }

    /// A record of this split, which others may follow with timestamps up to `disorder_ms` before it.
    #[inline]
    pub fn record(&mut self, timestamp_ms: i64, disorder_ms: i64) {
        self.time.raise(Watermark::behind(timestamp_ms, disorder_ms));
        self.wake();
    }

    /// A record whose timestamp says nothing about time: the split is alive all the same.
    #[inline]
    pub fn wake(&mut self) {
        self.quiet_since = None;
        self.idle = false;
    }

    /// How its reading stands. `idle_after`: how long silence lasts until the split is idle; `None`: it never is.
    pub fn note(&mut self, reading: Reading, idle_after: Option<Duration>) {
        let at = match reading {
            Reading::CaughtUp { at } => at,
            Reading::Ended => return self.end(),
            Reading::Flowing | Reading::Paused | Reading::Bound => return self.wake(),
        };
        let since = *self.quiet_since.get_or_insert(at);
        self.idle = idle_after.is_some_and(|span| at.saturating_sub(since) >= span);
    }

    /// Every later record of it has at least this timestamp, as where timestamps are a clock's.
    pub fn advance(&mut self, now_ms: i64) {
        self.time.raise(Watermark::at(now_ms));
    }

    /// Nothing will ever come of it ([`Reading::Ended`]).
    pub fn end(&mut self) {
        self.time.raise(Watermark::END);
        self.wake();
    }

    /// How far its time has come.
    pub fn watermark(&self) -> Watermark {
        self.time.get()
    }

    /// What an epoch keeps of it: never the end of time, or what is appended to it later would be late.
    pub fn floor(&self) -> Watermark {
        self.time.floor()
    }

    /// Whether it is idle.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// Both.
    pub fn progress(&self) -> Progress {
        Progress { watermark: self.time.get(), idle: self.idle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Option<Duration> = Some(Duration::from_secs(30));

    fn caught_up(at: u64) -> Reading {
        Reading::CaughtUp { at: Duration::from_secs(at) }
    }

    /// Notes `readings` in turn; whether the split is idle after each.
    fn idle_after(readings: &[Reading]) -> Vec<bool> {
        let mut split = SplitTime::new(Watermark::NONE);
        let note = |reading: &Reading| {
            split.note(*reading, AFTER);
            split.is_idle()
        };
        readings.iter().map(note).collect()
    }

    #[test]
    fn silence_is_measured_between_confirmations() {
        assert_eq!(idle_after(&[caught_up(1), caught_up(30), caught_up(31)]), [false, false, true]);
        // The same old confirmation, told again and again, is no silence.
        assert_eq!(idle_after(&[caught_up(1), caught_up(1), caught_up(1)]), [false, false, false]);
        // Whatever else is true in between begins the span anew.
        for other in [Reading::Flowing, Reading::Paused, Reading::Bound] {
            assert_eq!(idle_after(&[caught_up(1), other, caught_up(40), caught_up(69)]), [false; 4]);
            assert_eq!(idle_after(&[caught_up(1), caught_up(40), other]), [false, true, false]);
        }
    }

    #[test]
    fn a_record_ends_idleness_and_begins_the_span_anew() {
        let mut split = SplitTime::new(Watermark::NONE);
        split.note(caught_up(0), AFTER);
        split.note(caught_up(60), AFTER);
        assert!(split.is_idle());
        split.record(5, 0);
        assert!(!split.is_idle());
        split.note(caught_up(89), AFTER);
        assert!(!split.is_idle());
    }

    #[test]
    fn without_a_span_no_split_is_ever_idle() {
        let mut split = SplitTime::new(Watermark::NONE);
        split.note(caught_up(0), None);
        split.note(caught_up(1_000_000), None);
        assert!(!split.is_idle());
    }

    #[test]
    fn the_watermark_stays_behind_the_latest_record_and_never_goes_back() {
        let mut split = SplitTime::new(Watermark::at(50));
        for (timestamp, expected) in [(40, 50), (100, 90), (95, 90), (-5, 90), (101, 91)] {
            split.record(timestamp, 10);
            assert_eq!(split.watermark(), Watermark::at(expected), "after {timestamp}");
        }
        split.end();
        split.record(7, 10);
        assert_eq!(split.watermark(), Watermark::END);
    }
}
