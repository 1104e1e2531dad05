//! Spans as people write them, in whole milliseconds.

use std::time::Duration;

/// The longest span of any kind: ninety years. With it, no end of a window of a legal timestamp lies past what a calendar
/// can say.
pub(crate) const SPAN_MAX_MS: i64 = 90 * 365 * 24 * 3_600_000;

/// A span that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Not a duration.
    #[error("{0:?} is not a duration like 100ms, 15s or 2min")]
    Unknown(String),
    /// Finer than a millisecond.
    #[error("{0:?} is not a whole number of milliseconds")]
    Fine(String),
    /// Longer than anything can be.
    #[error("{0:?} is longer than 90 years")]
    Long(String),
}

/// The milliseconds of `text`; zero is a span.
pub(crate) fn millis(text: &str) -> Result<i64, SpanError> {
    let span = humantime::parse_duration(text.trim()).map_err(|_| SpanError::Unknown(text.to_owned()))?;
    if span.subsec_nanos() % 1_000_000 != 0 {
        return Err(SpanError::Fine(text.to_owned()));
    }
    let ms = i64::try_from(span.as_millis()).ok().filter(|ms| *ms <= SPAN_MAX_MS);
    ms.ok_or_else(|| SpanError::Long(text.to_owned()))
}

/// How a span is shown: as it may be written.
pub(crate) fn shown(ms: i64) -> impl std::fmt::Display {
    humantime::format_duration(Duration::from_millis(ms.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_milliseconds_and_bounded() {
        assert_eq!(millis("1h 5ms"), Ok(3_600_005));
        assert_eq!(millis("0s"), Ok(0));
        for wrong in ["", "5", "-5s", "soon", "1s,"] {
            assert_eq!(millis(wrong), Err(SpanError::Unknown(wrong.to_owned())));
        }
        assert_eq!(millis("5us"), Err(SpanError::Fine("5us".to_owned())));
        for wrong in ["91years", "500000000years"] {
            assert!(matches!(millis(wrong), Err(SpanError::Long(_) | SpanError::Unknown(_))), "{wrong}");
        }
    }
}
