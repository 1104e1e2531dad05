//! A record as an object on one line: `{"key":"a","value":"1","timestamp":1700000000000,"headers":{"trace":"x"}}`.
//!
//! Bytes that are UTF-8 are a string, others `{"base64":".."}`, null is `null`. A value that is neither is taken as the
//! text that it is written with: `{"value":{"user":1}}` reads as the value `{"user":1}`. A header's name that occurs
//! twice stands there twice, in order; readers that keep one keep the last, which is Kafka's own rule.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::IgnoredAny;
use serde_json::Deserializer;

use weir_core::frame::{NO_TIMESTAMP, encode_headers};
use weir_core::ports::OWN_HEADERS;
use weir_core::{FrameWriter, RecordView};

const KNOWN: &str = "a line of format=json is {\"key\":..,\"value\":..,\"timestamp\":..,\"headers\":{..}}; \
                     format=value takes any line as a value";

/// Key or value: null, or these bytes.
type Bytes = Option<Vec<u8>>;

/// Adds the record that `line` is to `writer`.
pub(super) fn read(line: &[u8], source: u32, writer: &mut FrameWriter) -> Result<(), String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("JSON is UTF-8, and this is not: {error}"))?;
    let (mut key, mut value, mut timestamp, mut headers) = (None, None, None, None);
    for (name, raw) in members(text)? {
        let is_new = match name.as_str() {
            "key" => key.replace(bytes(raw)?).is_none(),
            "value" => value.replace(bytes(raw)?).is_none(),
            "timestamp" => timestamp.replace(time(raw)?).is_none(),
            "headers" => headers.replace(header_list(raw)?).is_none(),
            _ => return Err(format!("there is no {:?} in a record; {KNOWN}", clipped(&name))),
        };
        if !is_new {
            return Err(format!("it has {name:?} twice"));
        }
    }
    let value = value.ok_or_else(|| format!("it has no \"value\" (null is a tombstone); {KNOWN}"))?;
    let (key, timestamp_ms) = (key.flatten(), timestamp.unwrap_or(NO_TIMESTAMP));
    let headers = headers.unwrap_or_default();
    writer.push(RecordView { timestamp_ms, source, key: key.as_deref(), value: value.as_deref(), headers: &headers });
    Ok(())
}

/// Name and text of every member of the object that `text` is, in order.
fn members(text: &str) -> Result<Vec<(String, &str)>, String> {
    let mut rest = text.trim_ascii();
    let mut members = Vec::new();
    let inner = rest.strip_prefix('{').ok_or_else(|| format!("it is no object; {KNOWN}"))?;
    rest = inner.trim_ascii_start();
    if rest == "}" {
        return Ok(members);
    }
    loop {
        let (name, after) = next_value(rest)?;
        let name: String =
            serde_json::from_str(name).map_err(|_| format!("{} is no name: names are strings", clipped(name)))?;
        let after = after.strip_prefix(':').ok_or_else(|| format!("there is no ':' after {:?}", clipped(&name)))?;
        let (value, after) = next_value(after)?;
        members.push((name, value));
        rest = match after.strip_prefix(',') {
            Some(more) => more,
            None if after == "}" => return Ok(members),
            None => return Err(format!("it does not go on with ',' or end with '}}' after {}", clipped(value))),
        };
    }
}

/// The JSON value that `text` begins with, as it is written, and what follows it.
fn next_value(text: &str) -> Result<(&str, &str), String> {
    let mut values = Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => {
            let (value, rest) = text.split_at_checked(values.byte_offset()).unwrap_or((text, ""));
            Ok((value.trim_ascii(), rest.trim_ascii_start()))
        }
        Some(Err(error)) => Err(format!("it is no JSON: {error}")),
        None => Err("it is no JSON: it ends too early".to_owned()),
    }
}

/// What `raw`, a JSON value, means as bytes.
fn bytes(raw: &str) -> Result<Bytes, String> {
    match raw.as_bytes() {
        b"null" => Ok(None),
        [b'"', ..] => string(raw).map(|text| Some(text.into_bytes())),
        [b'{', ..] => match members(raw)?.as_slice() {
            [(name, encoded)] if name == "base64" => {
                let decoded = BASE64_STANDARD.decode(string(encoded)?);
                decoded.map(Some).map_err(|error| format!("{} is no base64: {error}", clipped(encoded)))
            }
            _ => Ok(Some(raw.as_bytes().to_vec())),
        },
        plain => Ok(Some(plain.to_vec())),
    }
}

fn string(raw: &str) -> Result<String, String> {
    serde_json::from_str(raw).map_err(|error| format!("{} is no text: {error}", clipped(raw)))
}

fn time(raw: &str) -> Result<i64, String> {
    match raw {
        "null" => Ok(NO_TIMESTAMP),
        // The number that stands for none in a frame is no time.
        raw => raw.parse().ok().filter(|time| *time != NO_TIMESTAMP).ok_or_else(|| {
            format!("its timestamp {} is not a whole number of milliseconds, or too early", clipped(raw))
        }),
    }
}

/// As much of `text` as an error needs.
fn clipped(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut chars = text.chars();
    let clipped: String = chars.by_ref().take(CHARS_MAX).collect();
    if chars.next().is_some() { clipped + ".." } else { clipped }
}

/// The headers of an object, as a frame has them.
fn header_list(raw: &str) -> Result<Vec<u8>, String> {
    let mut encoded = Vec::new();
    if raw != "null" {
        let members = members(raw).map_err(|error| format!("its headers: {error}"))?;
        let headers = members.into_iter().map(|(name, raw)| Ok((name, bytes(raw)?)));
        let headers: Vec<(String, Bytes)> = headers.collect::<Result<_, String>>()?;
        let given = headers.iter().filter(|(name, _)| !name.as_bytes().starts_with(OWN_HEADERS));
        encode_headers(given.map(|(name, value)| (name.as_bytes(), value.as_deref())), &mut encoded);
    }
    Ok(encoded)
}

/// Whether there is an object that `record` is: a name in it has no form for bytes that are no text.
pub(super) fn check(record: &RecordView<'_>) -> Result<(), String> {
    match record.headers().all(|(name, _)| std::str::from_utf8(name).is_ok()) {
        true => Ok(()),
        false => Err("the name of a header is not UTF-8".to_owned()),
    }
}

/// Appends the object that `record` is to `out`; only for one that passes [`check`].
pub(super) fn write(record: RecordView<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    write_bytes(record.key, out);
    out.extend_from_slice(b",\"value\":");
    write_bytes(record.value, out);
    if record.timestamp_ms != NO_TIMESTAMP {
        out.extend_from_slice(b",\"timestamp\":");
        out.extend_from_slice(record.timestamp_ms.to_string().as_bytes());
    }
    for (index, (name, value)) in record.headers().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"headers\":{" } else { b"," });
        write_text(&String::from_utf8_lossy(name), out);
        out.push(b':');
        write_bytes(value, out);
    }
    out.extend_from_slice(if record.headers.is_empty() { b"}" } else { b"}}" });
}

fn write_bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => out.extend_from_slice(b"null"),
        Some((_, Ok(text))) => write_text(text, out),
        Some((bytes, Err(_))) => {
            out.extend_from_slice(b"{\"base64\":\"");
            out.extend_from_slice(BASE64_STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a vector takes every text");
}
