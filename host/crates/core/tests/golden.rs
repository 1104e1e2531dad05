//! The frame against the golden vectors of `wit/`, which every SDK is tested against too.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails here fails as it should")]

use serde::Deserialize;
use weir_core::frame::{FrameError, NO_TIMESTAMP, encode_headers};
use weir_core::{Frame, FrameWriter, RecordView};

#[derive(Deserialize)]
struct Vectors {
    valid: Vec<Valid>,
    invalid: Vec<Invalid>,
}

#[derive(Deserialize)]
struct Valid {
    name: String,
    hex: String,
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Invalid {
    name: String,
    error: String,
    hex: String,
}

#[derive(Deserialize)]
struct Record {
    timestamp: Option<i64>,
    source: u32,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../../wit/golden/frames.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Writes the decoded form of a vector.
fn write(records: &[Record]) -> Frame {
    let mut writer = FrameWriter::new(Vec::new());
    for record in records {
        let some = |hex: &Option<String>| hex.as_deref().map(bytes);
        let (key, value) = (some(&record.key), some(&record.value));
        let list: Vec<_> = record.headers.iter().map(|(name, value)| (bytes(name), some(value))).collect();
        let mut headers = Vec::new();
        encode_headers(list.iter().map(|(n, v)| (n.as_slice(), v.as_deref())), &mut headers);
        writer.push(RecordView {
            timestamp_ms: record.timestamp.unwrap_or(NO_TIMESTAMP),
            source: record.source,
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &headers,
        });
    }
    writer.finish()
}

#[test]
fn valid_frames_are_written_and_read_as_the_vectors_say() {
    for vector in vectors().valid {
        let written = write(&vector.records);
        assert_eq!(written.as_bytes(), bytes(&vector.hex), "{}", vector.name);
        let read = Frame::parse(bytes(&vector.hex)).unwrap_or_else(|e| panic!("{}: {e}", vector.name));
        assert!(read.records().eq(written.records()), "{}", vector.name);
        assert_eq!(read.len(), vector.records.len(), "{}", vector.name);
        for (seen, expected) in read.records().zip(&vector.records) {
            let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
            let headers: Vec<_> = seen.headers().map(|(n, v)| (hex(n), v.map(hex))).collect();
            assert_eq!(headers, expected.headers, "{}", vector.name);
            assert_eq!((seen.key.map(hex), seen.value.map(hex)), (expected.key.clone(), expected.value.clone()));
            assert_eq!((seen.timestamp_ms, seen.source), (expected.timestamp.unwrap_or(NO_TIMESTAMP), expected.source));
        }
    }
}

#[test]
fn invalid_frames_are_refused_for_the_reason_the_vectors_give() {
    for vector in vectors().invalid {
        let kind = match Frame::parse(bytes(&vector.hex)) {
            Ok(_) => "accepted",
            Err(FrameError::Truncated { .. }) => "truncated",
            Err(FrameError::Trailing(_)) => "trailing",
            Err(FrameError::Unknown { .. }) => "unknown",
            Err(FrameError::Headers(_)) => "headers",
        };
        assert_eq!(kind, vector.error, "{}", vector.name);
    }
}
