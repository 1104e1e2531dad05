//! How a line and a record become each other.
//!
//! | format | a line is | a record without it | not in a line |
//! |---|---|---|---|
//! | value | the value | no key, time, headers; a tombstone is written as an empty line | key, time, headers |
//! | key-value | key, separator, value | null and empty look the same | time, headers |
//! | json | an object of key, value, timestamp, headers | `null`, or left out | nothing |
//!
//! `value` and `key-value` are for people and their tools; only `json` brings every record back as it was.

use std::sync::Arc;

use weir_core::frame::NO_TIMESTAMP;
use weir_core::ports::RecordForm;
use weir_core::{FrameWriter, KeySpec, RecordView};

/// A record as an object on one line.
mod json;
/// As a user writes it.
mod settings;

pub(crate) use settings::{FormatSpec, LinesSpec};

/// What stands between key and value unless something else is asked for.
pub const SEPARATOR: &[u8] = b"\t";

/// What a line says of a record. Lines are cut at `\n` before, so none is in them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LineFormat {
    /// The line is the value.
    #[default]
    Value,
    /// Key, separator, value: the first separator of the line counts.
    KeyValue {
        /// Not empty, without `\n`.
        separator: Vec<u8>,
    },
    /// An object with `key`, `value`, `timestamp` and `headers`.
    Json,
}

impl LineFormat {
    /// Adds the record that `line` is to `writer`; an error says what is wrong with it and what would be right.
    pub(crate) fn read(&self, line: &[u8], source: u32, writer: &mut FrameWriter) -> Result<(), String> {
        let record = RecordView { timestamp_ms: NO_TIMESTAMP, source, key: None, value: None, headers: &[] };
        match self {
            Self::Value => writer.push(RecordView { value: Some(line), ..record }),
            Self::KeyValue { separator } => {
                let Some(at) = find(line, separator) else {
                    let separator = String::from_utf8_lossy(separator);
                    return Err(format!(
                        "format=key-value wants KEY{separator:?}VALUE, and {separator:?} is not in it; \
                         separator=.. names another one, format=value reads lines without keys"
                    ));
                };
                let (key, value) = (line.get(..at), line.get(at + separator.len()..));
                writer.push(RecordView { key, value, ..record });
            }
            Self::Json => json::read(line, source, writer)?,
        }
        Ok(())
    }

    /// What is to be asked of each record before it is written; `None`: every record has a line.
    pub(crate) fn form(&self) -> Option<Arc<dyn RecordForm>> {
        match self {
            Self::Value => None,
            Self::KeyValue { .. } | Self::Json => Some(Arc::new(self.clone())),
        }
    }

    /// Appends the line that `record` is to `out`, without its end; nothing where it has none ([`RecordForm::check`]).
    pub(crate) fn write(&self, record: RecordView<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        self.check(&record)?;
        match self {
            Self::Value => out.extend_from_slice(record.value.unwrap_or_default()),
            Self::KeyValue { separator } => {
                for part in [record.key.unwrap_or_default(), separator, record.value.unwrap_or_default()] {
                    out.extend_from_slice(part);
                }
            }
            Self::Json => json::write(record, out),
        }
        Ok(())
    }
}

/// What connectors of lines say of them.
impl LineFormat {
    /// For a plan; the default goes without saying.
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Value => Vec::new(),
            Self::KeyValue { separator } => {
                let separator = String::from_utf8_lossy(separator);
                vec![("format", format!("key-value, separated by {separator:?}"))]
            }
            Self::Json => vec![("format", "json".to_owned())],
        }
    }

    /// Whether its records have all that a record can have.
    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::Json
    }

    /// The rest of "an operator keeps state by `key`, and ..", where no line has one.
    pub(crate) fn lacks(&self, key: &KeySpec) -> Option<&'static str> {
        match (self, key) {
            (Self::Json, _) | (Self::KeyValue { .. }, KeySpec::Key) => None,
            (Self::Value, KeySpec::Key) => Some(
                "lines that are values have none: read lines of KEY<TAB>VALUE with ?format=key-value behind the address, or \
                 of JSON with ?format=json",
            ),
            (Self::Value | Self::KeyValue { .. }, KeySpec::Header(_)) => {
                Some("only lines of ?format=json have headers")
            }
        }
    }
}

/// A line that could not be told from another record's is none, but for null and empty, and for line ends in the format
/// `value`.
impl RecordForm for LineFormat {
    fn check(&self, record: &RecordView<'_>) -> Result<(), String> {
        match self {
            Self::Value => Ok(()),
            Self::KeyValue { separator } => {
                let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
                if key.contains(&b'\n') || value.contains(&b'\n') {
                    return Err("key or value holds a line end; write format=json".to_owned());
                }
                if is_cut_early(key, separator) {
                    let separator = String::from_utf8_lossy(separator);
                    return Err(format!(
                        "the key holds the separator {separator:?}; name another one with separator=.., or write format=json"
                    ));
                }
                Ok(())
            }
            Self::Json => json::check(record),
        }
    }
}

/// Whether `separator` is found in the line before the end of `key`: in it, or half of it.
fn is_cut_early(key: &[u8], separator: &[u8]) -> bool {
    match separator {
        [byte] => key.contains(byte),
        separator => {
            let from = |at| key.iter().skip(at).chain(separator).take(separator.len());
            (0..key.len()).any(|at| from(at).eq(separator))
        }
    }
}

/// Where `part` first begins in `line`.
fn find(line: &[u8], part: &[u8]) -> Option<usize> {
    match part {
        [byte] => line.iter().position(|b| b == byte),
        part => line.windows(part.len().max(1)).position(|window| window == part),
    }
}

#[cfg(test)]
mod tests;
