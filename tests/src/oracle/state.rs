//! The exported state: `host inspect STATE-DIR --entries`, one JSON line per entry. Keys and values are text, or
//! `{"base64":..}` where they are not UTF-8; the oracle's values are u64, and shown as numbers.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::facts::Entry;

#[derive(Debug, Deserialize)]
struct Line {
    operator: String,
    table: String,
    key: Bytes,
    value: Bytes,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Number(u64),
    Text(String),
    Encoded { base64: String },
}

impl Bytes {
    fn decode(self) -> Result<Vec<u8>> {
        match self {
            Self::Number(number) => Ok(number.to_le_bytes().to_vec()),
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Encoded { base64 } => decode(&base64).with_context(|| format!("{base64:?} is no base64")),
        }
    }
}

/// What the program `host` exports of the directory `state`, which must not be in use.
pub fn export(host: &Path, state: &Path) -> Result<Vec<Entry>> {
    let output = Command::new(host).arg("inspect").arg(state).arg("--entries").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "host inspect {} --entries: {}: {said}", state.display(), output.status);
    parse(std::str::from_utf8(&output.stdout)?)
}

/// Reads what was exported.
pub fn parse(text: &str) -> Result<Vec<Entry>> {
    text.lines().map(|line| entry(line).with_context(|| format!("in the exported state: {line}"))).collect()
}

fn entry(line: &str) -> Result<Entry> {
    let Line { operator, table, key, value } = serde_json::from_str(line)?;
    Ok(Entry { operator, table, key: key.decode()?, value: value.decode()? })
}

/// Standard alphabet, padding or none; `None` for anything else.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            bits = (bits << 6) | u32::from(value_of(*digit)?);
        }
        // Two digits make one byte, three make two, four make three.
        let made = group.len().checked_sub(1).filter(|made| *made > 0)?;
        bits <<= 6 * (4 - group.len()) + 8;
        bytes.extend(bits.to_be_bytes().iter().take(made));
    }
    Some(bytes)
}

fn value_of(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_text_and_base64_are_read() {
        let text = r#"{"operator":"oracle","table":"seen","key":"key-1","value":"\u0007\u0000"}
{"operator":"oracle","table":"hash","key":{"base64":"/w=="},"value":{"base64":"AP8Q"}}
{"operator":"oracle","table":"seen","key":"key-2","value":258}"#;
        let entries = parse(text).unwrap();
        assert_eq!((entries[0].key.as_slice(), entries[0].value.as_slice()), (&b"key-1"[..], &[7, 0][..]));
        assert_eq!(entries[2].value, [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!((entries[1].key.as_slice(), entries[1].value.as_slice()), (&[255][..], &[0, 255, 16][..]));
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for (text, bytes) in [("", Some(vec![])), ("TQ==", Some(b"M".to_vec())), ("TWE=", Some(b"Ma".to_vec()))] {
            assert_eq!(decode(text), bytes, "{text:?}");
        }
        for text in ["A", "AA*A", "AAAAA"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
