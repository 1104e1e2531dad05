//! Frames against the golden vectors of `wit/`.
use serde::Deserialize;

use super::*;
use crate::record::{HeaderList, NO_TIMESTAMP};
use crate::testing::vectors::{Hex, read};

#[derive(Deserialize)]
struct Vectors {
    valid: Vec<Valid>,
    invalid: Vec<Invalid>,
}

#[derive(Deserialize)]
struct Valid {
    name: String,
    hex: Hex,
    records: Vec<Decoded>,
}

#[derive(Deserialize)]
struct Invalid {
    name: String,
    error: String,
    hex: Hex,
}

#[derive(Deserialize)]
struct Decoded {
    timestamp: Option<i64>,
    source: u32,
    key: Option<Hex>,
    value: Option<Hex>,
    headers: Vec<(Hex, Option<Hex>)>,
}

fn record<'a>(decoded: &'a Decoded, headers: &'a HeaderList) -> Record<'a> {
    let (key, value) = (decoded.key.as_deref(), decoded.value.as_deref());
    Record::new(key, value).with_timestamp(decoded.timestamp).with_headers(headers)
}

fn headers(decoded: &Decoded) -> HeaderList {
    decoded.headers.iter().map(|(name, value)| (&**name, value.as_deref())).collect()
}

#[test]
fn valid_frames_are_written_and_read_as_the_vectors_say() {
    for vector in read::<Vectors>("frames.json").valid {
        let mut writer = FrameWriter::default();
        let mut frame = Frame::new(&vector.hex).unwrap();
        for decoded in &vector.records {
            let headers = headers(decoded);
            let expected = record(decoded, &headers);
            assert_eq!(frame.next_with_source(), Ok(Some((decoded.source, expected))), "{}", vector.name);
            assert!(expected.headers().eq(decoded.headers.iter().map(|(n, v)| (&**n, v.as_deref()))));
            assert_eq!(expected.timestamp.eq(&NO_TIMESTAMP), decoded.timestamp.is_none());
            match expected.value {
                // Both ways to write a value must agree.
                Some(value) if writer.count % 2 == 0 => {
                    writer.push_with(&expected, decoded.source, |out| out.extend_from_slice(value));
                }
                _ => writer.push(&expected, decoded.source),
            }
        }
        assert_eq!(frame.next_with_source(), Ok(None), "{}", vector.name);
        if let Some(written) = writer.finish() {
            assert_eq!(written, &*vector.hex, "{}", vector.name);
        }
    }
}

#[test]
fn invalid_frames_are_refused() {
    // Headers are the host's to check: the SDK reads them only where somebody asks, and then within their bounds.
    for vector in read::<Vectors>("frames.json").invalid {
        let all = || -> Result<usize, Failure> {
            let mut frame = Frame::new(&vector.hex)?;
            let mut headers = 0;
            while let Some(record) = frame.next()? {
                headers += record.headers().count();
            }
            Ok(headers)
        };
        assert_eq!(all().is_ok(), vector.error == "headers", "{}: {:?}", vector.name, all());
    }
}

#[test]
fn a_writer_can_be_used_again() {
    let mut writer = FrameWriter::default();
    let push = |writer: &mut FrameWriter| writer.push(&Record::new(Some(b"k"), Some(b"v")), 0);
    push(&mut writer);
    push(&mut writer);
    let two = writer.finish().unwrap().to_vec();
    assert_eq!(writer.finish(), None);
    assert_eq!(writer.len(), 0);
    push(&mut writer);
    writer.clear();
    push(&mut writer);
    push(&mut writer);
    assert_eq!(writer.finish().unwrap(), two);
}
