//! How far event time has come, and how the reading of a split stands.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How far event time has come, in milliseconds since 1970: every record with a timestamp **before** it is taken to have
/// arrived. A record at the watermark itself is on time. As the manifest keeps it: a plain number.
///
/// ```
/// use weir_core::Watermark;
///
/// let watermark = Watermark::behind(10_000, 3_000);
/// assert_eq!(watermark, Watermark::at(7_000));
/// assert!(watermark.has_reached(7_000) && !watermark.has_reached(7_001));
/// assert!(Watermark::NONE < watermark && watermark < Watermark::END);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watermark(i64);

impl Watermark {
    /// Nothing is known yet.
    pub const NONE: Self = Self(i64::MIN);
    /// The end of time: nothing will ever come. The one way to say that an input has ended for good; it then has no say in
    /// the time of others. An input that ends with its run, and goes on at the next start, does not say it.
    pub const END: Self = Self(i64::MAX);

    /// At `ms`, which is neither [`Self::NONE`] nor [`Self::END`]: one millisecond is not a limit.
    pub fn at(ms: i64) -> Self {
        Self(ms.clamp(i64::MIN + 1, i64::MAX - 1))
    }

    /// After a record at `timestamp_ms`, where others may come up to `disorder_ms` behind it.
    pub fn behind(timestamp_ms: i64, disorder_ms: i64) -> Self {
        Self::at(timestamp_ms.saturating_sub(disorder_ms))
    }

    /// As a plain number, in which [`Self::NONE`] is the least and [`Self::END`] the greatest.
    pub fn number(self) -> i64 {
        self.0
    }

    /// The watermark of a [`Self::number`].
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// In milliseconds since 1970; `None` for [`Self::NONE`] and [`Self::END`].
    pub fn as_ms(self) -> Option<i64> {
        (self != Self::NONE && self != Self::END).then_some(self.0)
    }

    /// Whether everything before `time_ms` has arrived.
    pub fn has_reached(self, time_ms: i64) -> bool {
        self.0 >= time_ms
    }

    /// Later by `ms`. The end of time stays where it is, and so does a watermark that knows nothing.
    #[must_use]
    pub fn plus(self, ms: i64) -> Self {
        self.as_ms().map_or(self, |at| Self::at(at.saturating_add(ms)))
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.write_str("none"),
            Self::END => f.write_str("end"),
            Self(ms) => ms.fmt(f),
        }
    }
}

/// A watermark that never goes back, and remembers what stood before the end of time: an epoch keeps that, for what has
/// ended may be started again after all.
///
/// ```
/// use weir_core::{Rising, Watermark};
///
/// let mut time = Rising::new(Watermark::at(5));
/// time.raise(Watermark::at(7));
/// time.raise(Watermark::at(6));
/// time.raise(Watermark::END);
/// assert_eq!((time.get(), time.floor()), (Watermark::END, Watermark::at(7)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rising {
    now: Watermark,
    /// What stood before the end of time, once that is reached.
    floor: Watermark,
}

impl Rising {
    /// Where the last epoch left it.
    pub fn new(at: Watermark) -> Self {
        Self { now: at, floor: at }
    }

    /// To `to`, unless it is there.
    #[inline]
    pub fn raise(&mut self, to: Watermark) {
        if to == Watermark::END {
            self.floor = self.floor();
        }
        self.now = self.now.max(to);
    }

    /// Where it is.
    #[inline]
    pub fn get(&self) -> Watermark {
        self.now
    }

    /// Where it is; at the end of time what stood before.
    pub fn floor(&self) -> Watermark {
        if self.now == Watermark::END { self.floor } else { self.now }
    }
}

/// What travels between tasks, in order with records and barriers: how far the sender's time has come, and whether the
/// receiver should wait for it. A sender that is about to send records again after it was idle says so before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How far its time has come; never less than what it said before.
    pub watermark: Watermark,
    /// True while it has nothing to send: nobody should wait for its watermark.
    pub idle: bool,
}

impl Progress {
    /// Of a sender that has said nothing yet: it is waited for.
    pub const NONE: Self = Self { watermark: Watermark::NONE, idle: false };
}

/// How the reading of one split stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Records of it wait to be processed, or it is not known to be read to its end.
    Flowing,
    /// Nothing of it is buffered and its position was its end, as confirmed by whoever holds the split (Kafka's answer to a
    /// question for its end, an empty pipe).
    CaughtUp {
        /// When that was confirmed, by a clock that only grows.
        at: Duration,
    },
    /// It is held back: by the user, a rate limit or alignment. Paused is not idle, however long it takes.
    Paused,
    /// It has reached the bound of a bounded read. The next start goes on behind it, so it holds the watermark as a split
    /// that is waited for, and is never idle; the run ends without it.
    Bound,
    /// Nothing will ever come of it: a file read to its end, a generator that has counted to its last, a closed pipe.
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_time_are_reached_by_nothing_else() {
        assert_eq!(Watermark::behind(i64::MIN, i64::MAX), Watermark::at(i64::MIN + 1));
        assert_ne!(Watermark::at(i64::MAX), Watermark::END);
        assert_eq!(Watermark::at(i64::MAX).plus(5), Watermark::at(i64::MAX - 1));
        assert_eq!(Watermark::NONE.plus(5), Watermark::NONE);
        assert_eq!(Watermark::END.plus(-5), Watermark::END);
        assert!(Watermark::END.has_reached(i64::MAX) && !Watermark::at(i64::MAX).has_reached(i64::MAX));
    }

    #[test]
    fn a_watermark_is_kept_as_a_number() {
        for watermark in [Watermark::NONE, Watermark::at(-5), Watermark::at(0), Watermark::END] {
            let text = serde_json::to_string(&watermark).unwrap();
            assert_eq!(serde_json::from_str::<Watermark>(&text).unwrap(), watermark);
        }
        assert_eq!(serde_json::to_string(&Watermark::at(7)).unwrap(), "7");
    }
}
