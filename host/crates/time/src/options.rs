//! What a user says of a source's time: `--watermark max-disorder=5s,idle-after=30s,timestamp=json:/ts` and, in the pipeline
//! file, `watermark = { max-disorder = "5s", idle-after = "30s", timestamp = "record", max-drift = "1min" }`. Both are words
//! with texts, and are read by the same code.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::future::{Future, OnFuture};
use crate::span::{self, SpanError};
use crate::timestamp::{self, TimestampSource, Unit};

/// A source's time, as a user wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `max-disorder`, default 5s (0s where timestamps are the clock's): how far behind the latest record of a split others of it may be, in milliseconds.
    pub max_disorder_ms: i64,
    /// `idle-after`, default 30s, `off` for never: how long a split is silent until nobody waits for it.
    pub idle_after: Option<Duration>,
    /// `max-drift`, default `off`: how far a split may run ahead of the slowest, in milliseconds.
    pub max_drift_ms: Option<i64>,
    /// `max-future`, default 1h, and `on-future`, default `keep`: timestamps ahead of the clock.
    pub future: Future,
    /// `timestamp`, default `record`: where a record's timestamp comes from.
    pub timestamp: TimestampSource,
    /// `timestamp-unit`, default `ms`: what numbers in headers and JSON count.
    pub unit: Unit,
}

/// Options that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not of the form WORD=TEXT.
    #[error("{0:?} is not of the form WORD=TEXT, as in max-disorder=5s,idle-after=30s")]
    Form(String),
    /// A word that means nothing here.
    #[error("{word:?} is none of {known}")]
    Word {
        /// What was written.
        word: String,
        /// What may be written.
        known: &'static str,
    },
    /// A word given twice.
    #[error("{0} is given more than once")]
    Twice(String),
    /// A span that cannot be used.
    #[error("{word}: {why}")]
    Span {
        /// Whose.
        word: &'static str,
        /// Why.
        why: SpanError,
    },
    /// `idle-after` of no length: every split would be idle between two records.
    #[error("idle-after must be longer than nothing; `off` means that no split is ever idle")]
    IdleAtOnce,
    /// Where timestamps come from cannot be understood.
    #[error("timestamp: {0}")]
    Timestamp(timestamp::ParseError),
    /// Another text that cannot be understood.
    #[error("{word}: {why}")]
    Text {
        /// Whose.
        word: &'static str,
        /// Why.
        why: String,
    },
}

const WORDS: &str = "max-disorder, idle-after, max-drift, max-future, on-future, timestamp, timestamp-unit";
/// What switches a span off.
const OFF: &str = "off";

impl Default for Options {
    fn default() -> Self {
        Self {
            max_disorder_ms: 5_000,
            idle_after: Some(Duration::from_secs(30)),
            max_drift_ms: None,
            future: Future { max_ms: 3_600_000, policy: OnFuture::default() },
            timestamp: TimestampSource::Record,
            unit: Unit::Milliseconds,
        }
    }
}

impl Options {
    /// The words of a table of the pipeline file, which says each at most once.
    pub fn from_table(table: &BTreeMap<String, String>) -> Result<Self, ParseError> {
        let mut options = Self::default();
        for (word, text) in table {
            options.set(word, text)?;
        }
        // A clock's timestamps come in order.
        if options.timestamp.is_clock() && !table.contains_key("max-disorder") {
            options.max_disorder_ms = 0;
        }
        Ok(options)
    }

    fn set(&mut self, word: &str, text: &str) -> Result<(), ParseError> {
        match word {
            "max-disorder" => self.max_disorder_ms = span("max-disorder", text)?,
            "idle-after" => self.idle_after = idle_after(text)?,
            "max-drift" => self.max_drift_ms = if text == OFF { None } else { Some(span("max-drift", text)?) },
            "max-future" => self.future.max_ms = if text == OFF { i64::MAX } else { span("max-future", text)? },
            "on-future" => {
                self.future.policy = text.parse().map_err(|why| ParseError::Text { word: "on-future", why })?;
            }
            "timestamp" => self.timestamp = text.parse().map_err(ParseError::Timestamp)?,
            "timestamp-unit" => {
                self.unit = text.parse().map_err(|why| ParseError::Text { word: "timestamp-unit", why })?;
            }
            _ => return Err(ParseError::Word { word: word.to_owned(), known: WORDS }),
        }
        Ok(())
    }
}

impl FromStr for Options {
    type Err = ParseError;

    /// The form of the flag, as [`words`] takes it.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_table(&words(text)?)
    }
}

/// The words of the flag, separated by commas (a JSON pointer with a comma in it needs the pipeline file), as a table of the
/// file has them. What they are is for [`Options::from_table`] to say.
pub fn words(text: &str) -> Result<BTreeMap<String, String>, ParseError> {
    let mut table = BTreeMap::new();
    for part in text.split(',') {
        let (word, text) = part.split_once('=').ok_or_else(|| ParseError::Form(part.to_owned()))?;
        if table.insert(word.trim().to_owned(), text.trim().to_owned()).is_some() {
            return Err(ParseError::Twice(word.trim().to_owned()));
        }
    }
    Ok(table)
}

/// As the flag has it, every word said.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let off_or = |ms: Option<i64>| ms.map_or_else(|| OFF.to_owned(), |ms| span::shown(ms).to_string());
        let idle_after = self.idle_after.and_then(|span| i64::try_from(span.as_millis()).ok());
        let max_future = Some(self.future.max_ms).filter(|ms| *ms != i64::MAX);
        write!(f, "max-disorder={},idle-after={},", off_or(Some(self.max_disorder_ms)), off_or(idle_after))?;
        write!(f, "max-drift={},max-future={},", off_or(self.max_drift_ms), off_or(max_future))?;
        write!(f, "on-future={},timestamp={},timestamp-unit={}", self.future.policy, self.timestamp, self.unit)
    }
}

fn span(word: &'static str, text: &str) -> Result<i64, ParseError> {
    span::millis(text).map_err(|why| ParseError::Span { word, why })
}

fn idle_after(text: &str) -> Result<Option<Duration>, ParseError> {
    if text == OFF {
        return Ok(None);
    }
    match span("idle-after", text)? {
        0 => Err(ParseError::IdleAtOnce),
        ms => Ok(Some(Duration::from_millis(ms.unsigned_abs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read() {
        let text = "max-disorder=1s, idle-after=2s,max-drift=1min,max-future=1day,on-future=clamp,timestamp=json:/ts,\
                    timestamp-unit=s";
        let expected = Options {
            max_disorder_ms: 1_000,
            idle_after: Some(Duration::from_secs(2)),
            max_drift_ms: Some(60_000),
            future: Future { max_ms: 86_400_000, policy: OnFuture::Clamp },
            timestamp: "json:/ts".parse().unwrap(),
            unit: Unit::Seconds,
        };
        assert_eq!(text.parse().as_ref(), Ok(&expected));
        for options in [&expected, &Options::default()] {
            assert_eq!(options.to_string().parse().as_ref(), Ok(options), "what is shown is read");
        }
        let off: Options = "idle-after=off,max-drift=off,max-future=off".parse().unwrap();
        assert_eq!("timestamp=ingestion".parse::<Options>().map(|options| options.max_disorder_ms), Ok(0));
        assert_eq!((off.idle_after, off.max_drift_ms, off.future.max_ms), (None, None, i64::MAX));
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        for (text, message) in [
            ("", "\"\" is not of the form WORD=TEXT, as in max-disorder=5s,idle-after=30s"),
            ("max-disorder", "\"max-disorder\" is not of the form WORD=TEXT, as in max-disorder=5s,idle-after=30s"),
            ("max-disorder=5", "max-disorder: \"5\" is not a duration like 100ms, 15s or 2min"),
            ("max-disorder=1s,max-disorder=2s", "max-disorder is given more than once"),
            ("idle-after=0s", "idle-after must be longer than nothing; `off` means that no split is ever idle"),
            ("on-future=drop", "on-future: \"drop\" is none of keep, clamp, fail"),
            ("timestamp-unit=m", "timestamp-unit: \"m\" is none of s, ms, us, ns"),
        ] {
            assert_eq!(text.parse::<Options>().map_err(|error| error.to_string()), Err(message.to_owned()));
        }
        assert!(matches!("disorder=1s".parse::<Options>(), Err(ParseError::Word { .. })));
    }
}
