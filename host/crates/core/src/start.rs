//! Where a first start begins and where a bounded read ends, as users write it: in a flag, in a file, the same words.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

/// Where the first start of a job begins. Later starts resume from the job's own state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Start {
    /// The oldest record that still exists.
    #[default]
    Earliest,
    /// After the newest record.
    Latest,
    /// Where another consumer group stands.
    Committed {
        /// Its name.
        group: String,
    },
    /// The first record at or after a moment.
    Timestamp {
        /// Milliseconds since 1970.
        ms: i64,
    },
    /// An offset for each partition.
    Offsets(BTreeMap<i32, i64>),
}

/// Where a bounded read ends. Resolved once to offsets, exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// After the newest record at the time of the first start.
    Latest,
    /// Before the first record at or after a moment.
    Timestamp {
        /// Milliseconds since 1970.
        ms: i64,
    },
    /// An exclusive offset for each partition.
    Offsets(BTreeMap<i32, i64>),
}

/// A start or an end that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not one of the known words.
    #[error("{text:?} is none of {known}")]
    Unknown {
        /// What was written.
        text: String,
        /// What may be written.
        known: &'static str,
    },
    /// `committed:` without a name.
    #[error("committed: needs the name of a consumer group, as in committed:my-group")]
    NoGroup,
    /// Neither a date nor a number of milliseconds.
    #[error("{0:?} is neither milliseconds since 1970 nor a date and time like 2026-01-31T12:00:00Z")]
    Timestamp(String),
    /// Not of the form PARTITION=OFFSET.
    #[error("{0:?} is not PARTITION=OFFSET with numbers from 0, as in offsets:0=100,1=250")]
    Offset(String),
    /// A partition given twice.
    #[error("partition {0} is given more than one offset")]
    Twice(i32),
}

const STARTS: &str = "earliest, latest, committed:GROUP, timestamp:TIME, offsets:PARTITION=OFFSET,..";
const UNTILS: &str = "latest, timestamp:TIME, offsets:PARTITION=OFFSET,..";

impl FromStr for Start {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(':') {
            None if text == "earliest" => Ok(Self::Earliest),
            None if text == "latest" => Ok(Self::Latest),
            Some(("committed", "")) => Err(ParseError::NoGroup),
            Some(("committed", group)) => Ok(Self::Committed { group: group.to_owned() }),
            Some(("timestamp", time)) => Ok(Self::Timestamp { ms: timestamp_ms(time)? }),
            Some(("offsets", list)) => Ok(Self::Offsets(offsets(list)?)),
            _ => Err(ParseError::Unknown { text: text.to_owned(), known: STARTS }),
        }
    }
}

impl FromStr for Until {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(':') {
            None if text == "latest" => Ok(Self::Latest),
            Some(("timestamp", time)) => Ok(Self::Timestamp { ms: timestamp_ms(time)? }),
            Some(("offsets", list)) => Ok(Self::Offsets(offsets(list)?)),
            _ => Err(ParseError::Unknown { text: text.to_owned(), known: UNTILS }),
        }
    }
}

fn timestamp_ms(text: &str) -> Result<i64, ParseError> {
    let refused = || ParseError::Timestamp(text.to_owned());
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_err(|_| refused());
    }
    let time = humantime::parse_rfc3339(text).map_err(|_| refused())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| refused())?;
    i64::try_from(since.as_millis()).map_err(|_| refused())
}

fn offsets(list: &str) -> Result<BTreeMap<i32, i64>, ParseError> {
    let mut offsets = BTreeMap::new();
    for text in list.split(',') {
        let refused = || ParseError::Offset(text.to_owned());
        let (partition, offset) = text.split_once('=').ok_or_else(refused)?;
        let partition: i32 = partition.trim().parse().map_err(|_| refused())?;
        let offset: i64 = offset.trim().parse().map_err(|_| refused())?;
        if partition < 0 || offset < 0 {
            return Err(refused());
        }
        if offsets.insert(partition, offset).is_some() {
            return Err(ParseError::Twice(partition));
        }
    }
    Ok(offsets)
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Committed { group } => write!(f, "committed:{group}"),
            Self::Timestamp { ms } => write!(f, "timestamp:{ms}"),
            Self::Offsets(offsets) => write_offsets(f, offsets),
        }
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Timestamp { ms } => write!(f, "timestamp:{ms}"),
            Self::Offsets(offsets) => write_offsets(f, offsets),
        }
    }
}

fn write_offsets(f: &mut fmt::Formatter<'_>, offsets: &BTreeMap<i32, i64>) -> fmt::Result {
    f.write_str("offsets:")?;
    for (i, (partition, offset)) in offsets.iter().enumerate() {
        write!(f, "{}{partition}={offset}", if i == 0 { "" } else { "," })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read() {
        for text in ["earliest", "latest", "committed:a:b", "timestamp:1700000000000", "offsets:0=5,1=0"] {
            assert_eq!(text.parse::<Start>().unwrap().to_string(), text);
        }
        for text in ["latest", "timestamp:5", "offsets:3=7"] {
            assert_eq!(text.parse::<Until>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_date_is_milliseconds() {
        let parsed = "timestamp:2023-11-14T22:13:20.5Z".parse::<Start>();
        assert_eq!(parsed, Ok(Start::Timestamp { ms: 1_700_000_000_500 }));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "Earliest",
            "earliest:",
            "committed",
            "committed:",
            "timestamp:",
            "timestamp:yesterday",
            "timestamp:-5",
            "timestamp:99999999999999999999",
            "timestamp:1969-12-31T00:00:00Z",
            "offsets:",
            "offsets:1",
            "offsets:0=-1",
            "offsets:-1=0",
            "offsets:a=1",
            "offsets:0=1,",
            "offsets:0=1,0=2",
        ] {
            assert!(text.parse::<Start>().is_err(), "{text:?}");
        }
        for text in ["earliest", "none", "committed:g"] {
            assert!(text.parse::<Until>().is_err(), "{text:?}");
        }
    }
}
