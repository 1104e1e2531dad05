//! Which splits run ahead too far, and are held back until the others have come closer: windows stay few, and so does the
//! state of a join, where one split is read much faster than another.

use weir_core::{Reading, Watermark};

/// How one split stands, to be aligned with others: of one source, or of several.
#[derive(Debug, Clone, Copy)]
pub struct Aligned {
    /// How far its time has come.
    pub watermark: Watermark,
    /// Whether it is idle.
    pub idle: bool,
    /// How its reading stands.
    pub reading: Reading,
}

impl Aligned {
    /// Its watermark, if others have to wait for it: it is known, may still move, and moves by being read.
    fn pace_ms(&self) -> Option<i64> {
        let moves = !self.idle && self.reading != Reading::Bound;
        self.watermark.as_ms().filter(|_| moves)
    }
}

/// The watermark past which a split is held back: `max_drift_ms` ahead of the slowest that others wait for. `None`: nobody
/// is held back. The slowest itself never is, so there is always one that moves on, or becomes idle. A split that has shown
/// no record yet is not waited for: nobody knows where it stands.
///
/// ```
/// use weir_time::{Reading, Watermark, drift};
///
/// let at = |ms| drift::Aligned { watermark: Watermark::at(ms), idle: false, reading: Reading::Flowing };
/// let limit = drift::limit([at(1_000), at(90_000)], 60_000);
/// assert!(drift::is_ahead(Watermark::at(90_000), limit) && !drift::is_ahead(Watermark::at(61_000), limit));
/// ```
pub fn limit(splits: impl IntoIterator<Item = Aligned>, max_drift_ms: i64) -> Option<Watermark> {
    let slowest = splits.into_iter().filter_map(|split| split.pace_ms()).min()?;
    Some(Watermark::at(slowest.saturating_add(max_drift_ms)))
}

/// Whether a split at `watermark` is to be held back by `limit`. One that has ended for good has nothing to hold.
pub fn is_ahead(watermark: Watermark, limit: Option<Watermark>) -> bool {
    watermark != Watermark::END && limit.is_some_and(|limit| watermark > limit)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FLOWING: Aligned = Aligned { watermark: Watermark::NONE, idle: false, reading: Reading::Flowing };

    fn at(ms: i64) -> Aligned {
        Aligned { watermark: Watermark::at(ms), ..FLOWING }
    }

    #[test]
    fn only_splits_that_will_move_are_waited_for() {
        let idle = Aligned { idle: true, reading: Reading::CaughtUp { at: Duration::ZERO }, ..at(1) };
        let bound = Aligned { reading: Reading::Bound, ..at(1) };
        let ended = Aligned { watermark: Watermark::END, ..FLOWING };
        for slow in [idle, bound, ended, FLOWING] {
            assert_eq!(limit([slow, at(50)], 10), Some(Watermark::at(60)), "{slow:?}");
            assert_eq!(limit([slow], 10), None, "{slow:?}");
        }
        // One that is paused, by a rate limit perhaps, is waited for: it will move.
        assert_eq!(limit([Aligned { reading: Reading::Paused, ..at(1) }, at(50)], 10), Some(Watermark::at(11)));
    }

    #[test]
    fn a_drift_past_the_end_of_time_holds_nobody() {
        let limit = limit([at(5), at(i64::MAX)], i64::MAX);
        assert!(!is_ahead(Watermark::at(i64::MAX), limit));
        assert!(!is_ahead(Watermark::END, Some(Watermark::at(0))));
    }
}
