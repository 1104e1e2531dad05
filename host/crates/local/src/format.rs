//! How a line and a record become each other.
//!
//! | format | a line is | a record without it | not in a line |
//! |---|---|---|---|
//! | value | the value | no key, time, headers; a tombstone is written as an empty line | key, time, headers |
//! | key-value | key, separator, value | null and empty look the same | time, headers |
//! | json | an object of key, value, timestamp, headers | `null`, or left out | nothing |
//!
//! `value` and `key-value` are for people and their tools; only `json` brings every record back as it was.

use weir_core::frame::NO_TIMESTAMP;
use weir_core::{FrameWriter, RecordView};

/// A record as an object on one line.
mod json;

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

    /// Appends the line that `record` is to `out`, without its end. What could not be told from another record is
    /// refused, but for null and empty, and for line ends in the format `value`.
    pub(crate) fn write(&self, record: RecordView<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Value => out.extend_from_slice(record.value.unwrap_or_default()),
            Self::KeyValue { separator } => {
                let (begin, key) = (out.len(), record.key.unwrap_or_default());
                for part in [key, separator, record.value.unwrap_or_default()] {
                    out.extend_from_slice(part);
                }
                let line = out.get(begin..).unwrap_or_default();
                if line.contains(&b'\n') {
                    return Err("key or value holds a line end; write format=json".to_owned());
                }
                if find(line, separator) != Some(key.len()) {
                    let separator = String::from_utf8_lossy(separator);
                    return Err(format!(
                        "the key holds the separator {separator:?}; name another one with separator=.., or write format=json"
                    ));
                }
            }
            Self::Json => json::write(record, out)?,
        }
        Ok(())
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
