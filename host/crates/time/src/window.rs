//! Windows: which ones there are, which a record falls into, when they fire.
//!
//! | kind | a record falls into | what is kept for a key |
//! |---|---|---|
//! | tumbling | one window of fixed length, or of calendar days, weeks or months | an accumulator a window |
//! | sliding | every window that covers it | an accumulator a pane; windows are merged from them |
//! | session | one window, which ends when nothing came for the gap | an accumulator a session, and the list of them |
//! | count | one window, which is full after so many records | an accumulator, and how many it has |
//! | global | the one window of its key | an accumulator |
//!
//! Windows are half-open: a record at the end of one is in the next. One fires when the watermark reaches its end, and what
//! it sends carries the timestamp of its last millisecond, by which a later operator can window it again.

use serde::{Deserialize, Serialize};

use crate::timestamp::LEGAL_MS;

/// Which window a record is in.
pub mod assign;
/// Tumbling windows of calendar days, weeks and months, in a time zone.
pub mod calendar;
/// Windows that are full after so many records.
pub mod count;
/// When a window fires, fires again, and is gone.
pub mod firing;
/// Tumbling windows of a fixed length.
pub mod fixed;
/// Windows of all time, and of so many records.
pub mod global;
/// What a key has where a timestamp alone does not tell its windows.
pub mod list;
/// Windows of which a key has a list.
pub mod listed;
/// Sliding windows out of panes.
pub mod panes;
/// Windows that end with silence.
pub mod session;
/// Windows as users write them.
pub mod spec;

pub use assign::{Assign, Tumbling};
pub use calendar::Calendar;
pub use fixed::Fixed;
pub use global::Global;
pub use list::List;
pub use listed::Listed;
pub use panes::Panes;
pub use session::Sessions;
pub use spec::WindowSpec;

/// A half-open span of time: `start_ms <= timestamp < end_ms`. Ordered by start, then end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First millisecond.
    pub start_ms: i64,
    /// First millisecond after it.
    pub end_ms: i64,
}

impl Window {
    /// All of time: the window of the global kind.
    pub const GLOBAL: Self = Self { start_ms: i64::MIN, end_ms: i64::MAX };

    /// From `start_ms` to `end_ms`.
    pub const fn new(start_ms: i64, end_ms: i64) -> Self {
        Self { start_ms, end_ms }
    }

    /// Whether a record at `timestamp_ms` is in it.
    pub fn contains(self, timestamp_ms: i64) -> bool {
        self.start_ms <= timestamp_ms && timestamp_ms < self.end_ms
    }

    /// The timestamp of what it sends: its last millisecond.
    pub fn timestamp_ms(self) -> i64 {
        self.end_ms.saturating_sub(1)
    }
}

/// A window, or an option of one, that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A length of nothing.
    #[error("{0} must be longer than nothing")]
    Zero(&'static str),
    /// Longer than ninety years.
    #[error("{0} is longer than 90 years")]
    Long(&'static str),
    /// Windows that begin further apart than they are long.
    #[error("sliding windows that begin every {slide_ms} ms but are {size_ms} ms long leave records in no window")]
    Gaps {
        /// How long they are.
        size_ms: i64,
        /// How far apart they begin.
        slide_ms: i64,
    },
    /// Too many panes.
    #[error("a window of {panes} panes is more than {} can be; let it begin less often", panes::PANES_MAX)]
    Panes {
        /// How many it would have.
        panes: i64,
    },
    /// An offset that is no less than the length.
    #[error("an offset of {offset_ms} ms must be less than the {step_ms} ms between two windows")]
    Offset {
        /// The offset.
        offset_ms: i64,
        /// From one window's begin to the next.
        step_ms: i64,
    },
    /// A time zone that is not in the database that Weir carries.
    #[error("{0:?} is no time zone like Europe/Berlin or UTC")]
    Zone(String),
}

/// A timestamp that no record may have ([`crate::timestamp::LEGAL_MS`]), and so no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} ms lies outside of the years 1970 to 9899")]
pub struct OutOfRange(pub i64);

/// `timestamp_ms`, if records may have it.
pub(crate) fn legal(timestamp_ms: i64) -> Result<i64, OutOfRange> {
    if LEGAL_MS.contains(&timestamp_ms) { Ok(timestamp_ms) } else { Err(OutOfRange(timestamp_ms)) }
}

/// A length between nothing and ninety years.
pub(crate) fn length(what: &'static str, ms: i64) -> Result<i64, ShapeError> {
    match ms {
        ..=0 => Err(ShapeError::Zero(what)),
        ms if ms > crate::span::SPAN_MAX_MS => Err(ShapeError::Long(what)),
        ms => Ok(ms),
    }
}

/// An offset between two windows that begin `step_ms` apart.
pub(crate) fn offset(offset_ms: i64, step_ms: i64) -> Result<i64, ShapeError> {
    if (0..step_ms).contains(&offset_ms) { Ok(offset_ms) } else { Err(ShapeError::Offset { offset_ms, step_ms }) }
}

#[cfg(test)]
mod tests;
