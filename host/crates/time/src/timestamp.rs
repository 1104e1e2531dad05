//! HOT PATH. Where a record's timestamp comes from, and how it is read.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use weir_core::RecordView;
use weir_core::frame::NO_TIMESTAMP;

/// JSON pointers, followed without building the document.
pub mod pointer;
/// Numbers and dates as milliseconds.
pub mod value;

pub use pointer::Pointer;
pub use value::Unit;

/// Timestamps that records may have: from 1970 (no broker takes earlier ones) to the end of the year 9899.
pub const LEGAL_MS: RangeInclusive<i64> = 0..=250_246_627_199_999;

/// Where a record's timestamp comes from. Written as `record`, `ingestion`, `processing`, `plugin:FILE.wasm`, `header:NAME` or
/// `json:/POINTER` (RFC 6901, into the value).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampSource {
    /// The record's own: Kafka's create or append time, `timestamp` of a line of JSON.
    Record,
    /// The clock when the source reads it.
    Ingestion,
    /// The clock when an operator processes it: there is no event time, and nothing is ever late.
    Processing,
    /// What the function `timestamps` of the plugin in this file has made of it, which stands in the record by then.
    Plugin(PathBuf),
    /// The last header of this name, as text.
    Header(String),
    /// A place in the value, which is JSON: a number or a text.
    Json(Pointer),
}

/// A timestamp's source that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not one of the known words.
    #[error("{0:?} is none of record, ingestion, processing, plugin:FILE.wasm, header:NAME, json:/POINTER")]
    Unknown(String),
    /// `plugin` without a file.
    #[error("which plugin? Name its file, as in plugin:timestamps.wasm")]
    NoPlugin,
    /// `header:` without a name.
    #[error("header: needs the name of a header, as in header:created-at")]
    NoHeader,
    /// A JSON pointer that is none.
    #[error("{0:?} is not a JSON pointer like /ts or /event/time")]
    Pointer(String),
}

/// Why a record has no timestamp that can be used. The record is bad input: its policy decides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none where it should be.
    #[error("there is no timestamp: {0}")]
    Missing(&'static str),
    /// There is something else.
    #[error("{0:?} is neither a number nor a date and time like 2026-01-31T12:00:00Z")]
    Unparsable(String),
    /// The value is not JSON up to where the timestamp stands.
    #[error("the value is not JSON: {0}")]
    NotJson(String),
    /// Before 1970, or in a year that no calendar here reaches.
    #[error("{0} ms lies outside of the years 1970 to 9899")]
    OutOfRange(i128),
}

impl TimestampSource {
    /// The timestamp of `record` in milliseconds since 1970, which arrived when the clock said `arrived_ms`. `unit` is what
    /// numbers in headers and values count.
    ///
    /// ```
    /// use weir_core::RecordView;
    /// use weir_time::{TimestampSource, timestamp::Unit};
    ///
    /// let value = br#"{"event": {"at": "2026-01-31T12:00:00.5+01:00"}}"#;
    /// let record = RecordView { timestamp_ms: 5, source: 0, key: None, value: Some(value), headers: &[] };
    /// let source: TimestampSource = "json:/event/at".parse()?;
    /// assert_eq!(source.read(&record, 7, Unit::Milliseconds), Ok(1_769_857_200_500));
    /// # Ok::<(), weir_time::timestamp::ParseError>(())
    /// ```
    pub fn read(&self, record: &RecordView<'_>, arrived_ms: i64, unit: Unit) -> Result<i64, Error> {
        match self {
            Self::Record | Self::Plugin(_) if record.timestamp_ms == NO_TIMESTAMP => {
                Err(Error::Missing("the record has none"))
            }
            Self::Record | Self::Plugin(_) => legal(i128::from(record.timestamp_ms)),
            Self::Ingestion | Self::Processing => legal(i128::from(arrived_ms)),
            Self::Header(name) => {
                let text = record.header(name.as_bytes()).flatten().ok_or(Error::Missing("the header is missing"))?;
                value::from_text(text, unit)
            }
            Self::Json(pointer) => {
                let json = record.value.ok_or(Error::Missing("the value is null"))?;
                pointer.read(json, unit)
            }
        }
    }

    /// Whether timestamps are the clock's, and not a property of the record.
    pub fn is_clock(&self) -> bool {
        matches!(self, Self::Ingestion | Self::Processing)
    }
}

/// `ms`, if records may have it.
pub(crate) fn legal(ms: i128) -> Result<i64, Error> {
    i64::try_from(ms).ok().filter(|ms| LEGAL_MS.contains(ms)).ok_or(Error::OutOfRange(ms))
}

impl FromStr for TimestampSource {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(':') {
            None if text == "record" => Ok(Self::Record),
            None if text == "ingestion" => Ok(Self::Ingestion),
            None if text == "processing" => Ok(Self::Processing),
            None if text == "plugin" => Err(ParseError::NoPlugin),
            Some(("plugin", "")) => Err(ParseError::NoPlugin),
            Some(("plugin", file)) => Ok(Self::Plugin(file.into())),
            Some(("header", "")) => Err(ParseError::NoHeader),
            Some(("header", name)) => Ok(Self::Header(name.to_owned())),
            Some(("json", pointer)) => pointer.parse().map(Self::Json),
            _ => Err(ParseError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for TimestampSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record => f.write_str("record"),
            Self::Ingestion => f.write_str("ingestion"),
            Self::Processing => f.write_str("processing"),
            Self::Plugin(file) => write!(f, "plugin:{}", file.display()),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_core::frame::encode_headers;

    use super::*;

    #[test]
    fn what_is_shown_is_read() {
        for text in ["record", "ingestion", "processing", "plugin:a/b:c.wasm", "header:a:b", "json:", "json:/a~1b/~0/0"]
        {
            assert_eq!(text.parse::<TimestampSource>().unwrap().to_string(), text);
        }
        for text in ["", "Record", "plugin", "plugin:", "header", "header:", "json", "json:ts", "json:/a~2", "record:x"]
        {
            assert!(text.parse::<TimestampSource>().is_err(), "{text:?}");
        }
    }

    fn record<'a>(timestamp_ms: i64, value: Option<&'a [u8]>, headers: &'a [u8]) -> RecordView<'a> {
        RecordView { timestamp_ms, source: 0, key: None, value, headers }
    }

    #[test]
    fn each_source_reads_its_own_place() {
        let mut headers = Vec::new();
        encode_headers([(&b"at"[..], Some(&b"19"[..])), (b"at", Some(b"20"))], &mut headers);
        let record = record(10, Some(br#"{"ts": 30}"#), &headers);
        let read = |text: &str| text.parse::<TimestampSource>().unwrap().read(&record, 40, Unit::Milliseconds);
        assert_eq!(read("record"), Ok(10));
        assert_eq!(read("plugin:a.wasm"), Ok(10));
        assert_eq!(read("header:at"), Ok(20));
        assert_eq!(read("json:/ts"), Ok(30));
        assert_eq!(read("ingestion"), Ok(40));
        assert_eq!(read("processing"), Ok(40));
        assert_eq!(read("header:ta"), Err(Error::Missing("the header is missing")));
    }

    #[test]
    fn a_record_without_a_time_says_what_is_missing() {
        let mut headers = Vec::new();
        encode_headers([(&b"at"[..], None)], &mut headers);
        let record = record(NO_TIMESTAMP, None, &headers);
        for source in ["record", "plugin:a.wasm", "header:at", "json:/ts"] {
            let read = source.parse::<TimestampSource>().unwrap().read(&record, 40, Unit::Milliseconds);
            assert!(matches!(read, Err(Error::Missing(_))), "{source}: {read:?}");
        }
    }

    #[test]
    fn only_legal_years_are_times() {
        for (timestamp_ms, is_legal) in [(-1, false), (0, true), (*LEGAL_MS.end(), true), (i64::MAX, false)] {
            let read = TimestampSource::Record.read(&record(timestamp_ms, None, &[]), 0, Unit::Milliseconds);
            assert_eq!(read.is_ok(), is_legal, "{timestamp_ms}");
        }
    }
}
