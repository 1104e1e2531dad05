//! `time`: event time. How far it has come (watermarks), where a record's time comes from (timestamps), which windows a
//! record falls into and when they fire, and which timers are due. Pure: no I/O, no clock, no thread; `now` is always an
//! argument, decisions are results. Knows neither Kafka, state nor plugins: what is kept is kept by the caller.
//!
//! # Words
//! | word | meaning |
//! |---|---|
//! | timestamp | milliseconds since 1970, of a record; legal ones are [`timestamp::LEGAL_MS`] |
//! | window | a half-open span of time, `start <= timestamp < end`; it fires when the watermark reaches `end` |
//! | late | a record whose windows have all expired: fired, and their allowed lateness is over |
//! | pane | the piece of a sliding window that a record is folded into, once |
//! | round | how many timers in a row set each other before this one, without the watermark moving |
//!
//! # Two kinds of clock
//! Timestamps, watermarks and windows are `i64` milliseconds since 1970. Spans of waiting are measured with a clock that
//! only grows, given as the [`std::time::Duration`] since some beginning that the caller chooses.

/// Which splits run ahead too far.
pub mod drift;
/// Timestamps from too far in the future.
pub mod future;
/// One watermark out of many inputs.
pub mod merge;
/// What a user says of a source's time: disorder, idleness, drift, timestamps.
pub mod options;
/// The time of one source: its splits, merged.
pub mod source;
/// The time of one split: bounded disorder, and when it is idle.
pub mod split;
/// What is to happen at a time.
pub mod timers;
/// Where a record's timestamp comes from.
pub mod timestamp;
/// Windows: which ones there are, which a record falls into, when they fire.
pub mod window;

mod span;

pub use merge::Merge;
pub use options::Options;
pub use source::SourceTime;
pub use timers::Timers;
pub use timestamp::TimestampSource;
pub use weir_core::{Progress, Reading, Watermark};
pub use window::{Window, WindowSpec};
