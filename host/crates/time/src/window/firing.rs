//! When a window fires, fires again, and is gone.
//!
//! ```text
//!        records            late ones within the allowed lateness         none any more
//! ───────────────────────┬───────────────────────────────────────────┬──────────────────▶ watermark
//!   early, every so often end: fires                                  end + lateness: dropped
//!                               each late record: fires again
//! ```
//! Early firings follow the clock and not the watermark: they are there for a watermark that stands still. A window that
//! has nothing new since it last fired does not fire early, nor again; at its end it always fires.

use weir_core::Watermark;

use super::Window;
use super::fixed::next_multiple;

/// How windows of an operator fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Firing {
    /// How long after its end a window still takes records, in milliseconds of watermark.
    pub lateness_ms: i64,
    /// How often it fires before its end, in milliseconds of the clock.
    pub early_every_ms: Option<i64>,
}

/// What a record is to its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The window has not fired at its end yet.
    OnTime,
    /// It has, and takes the record all the same: it fires again.
    Again,
    /// It is gone: the record goes to the side output `late`, or is counted.
    Late,
}

impl Firing {
    /// A record for `window`, which arrives when event time has come to `watermark`.
    ///
    /// ```
    /// use weir_time::window::{Window, firing::{Arrival, Firing}};
    /// use weir_time::Watermark;
    ///
    /// let firing = Firing { lateness_ms: 5, early_every_ms: None };
    /// let window = Window::new(0, 10);
    /// assert_eq!(firing.arrival(window, Watermark::at(9)), Arrival::OnTime);
    /// assert_eq!(firing.arrival(window, Watermark::at(10)), Arrival::Again);
    /// assert_eq!(firing.arrival(window, Watermark::at(15)), Arrival::Late);
    /// ```
    #[inline]
    pub fn arrival(&self, window: Window, watermark: Watermark) -> Arrival {
        if watermark.has_reached(self.expires_ms(window)) {
            Arrival::Late
        } else if watermark.has_reached(window.end_ms) {
            Arrival::Again
        } else {
            Arrival::OnTime
        }
    }

    /// The watermark at which a window is gone, and its accumulator with it.
    pub fn expires_ms(&self, window: Window) -> i64 {
        window.end_ms.saturating_add(self.lateness_ms)
    }

    /// When windows fire early next, where the clock says `now_ms`: at the same moments for all keys, so that they share a
    /// batch.
    pub fn next_early_ms(&self, now_ms: i64) -> Option<i64> {
        Some(next_multiple(now_ms, self.early_every_ms?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_lives_from_its_records_to_the_end_of_its_lateness() {
        let window = Window::new(0, 10);
        for (lateness_ms, watermark, expected) in [
            (0, Watermark::NONE, Arrival::OnTime),
            (0, Watermark::at(9), Arrival::OnTime),
            (0, Watermark::at(10), Arrival::Late),
            (1, Watermark::at(10), Arrival::Again),
            (1, Watermark::at(11), Arrival::Late),
            (i64::MAX, Watermark::at(i64::MAX), Arrival::Again),
            (i64::MAX, Watermark::END, Arrival::Late),
        ] {
            let firing = Firing { lateness_ms, early_every_ms: None };
            assert_eq!(firing.arrival(window, watermark), expected, "{lateness_ms} at {watermark}");
        }
        assert_eq!(Firing::default().arrival(Window::GLOBAL, Watermark::at(i64::MAX)), Arrival::OnTime);
    }

    #[test]
    fn early_firings_of_all_keys_fall_together() {
        let firing = Firing { early_every_ms: Some(1_000), ..Firing::default() };
        assert_eq!(firing.next_early_ms(5_000), Some(6_000));
        assert_eq!(firing.next_early_ms(5_999), Some(6_000));
        assert_eq!(Firing::default().next_early_ms(5), None);
    }
}
