//! The frame against hand-made and random bytes. The golden vectors of `wit/` are checked in `tests/`.
use super::*;

fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: &'a [u8]) -> RecordView<'a> {
    RecordView { timestamp_ms: -5, source: 7, key, value, headers }
}

fn frame(records: &[RecordView<'_>]) -> Frame {
    let mut writer = FrameWriter::new(Vec::new());
    records.iter().for_each(|r| writer.push(*r));
    writer.finish()
}

#[test]
fn what_is_written_is_read() {
    let mut headers = Vec::new();
    encode_headers([(&b"a"[..], Some(&b"1"[..])), (b"a", None)], &mut headers);
    let records =
        [record(None, Some(b""), &[]), record(Some(b""), None, &headers), record(Some(b"k"), Some(&[0xff, 0]), &[])];
    let made = frame(&records);
    let parsed = Frame::parse(made.as_bytes().to_vec()).unwrap();
    assert_eq!(parsed, made);
    assert_eq!(parsed.records().collect::<Vec<_>>(), records);
    let second = parsed.records().nth(1).unwrap();
    assert_eq!(second.headers().collect::<Vec<_>>(), [(&b"a"[..], Some(&b"1"[..])), (b"a", None)]);
    assert_eq!(second.header(b"a"), Some(None), "the last of a repeated name");
}

#[test]
fn every_cut_and_every_extra_byte_is_refused() {
    let mut headers = Vec::new();
    encode_headers([(&b"name"[..], Some(&b"value"[..]))], &mut headers);
    let bytes = frame(&[record(Some(b"key"), Some(b"value"), &headers), record(None, None, &[])]).into_bytes();
    for cut in 0..bytes.len() {
        assert!(Frame::parse(bytes[..cut].to_vec()).is_err(), "cut at {cut}");
    }
    let longer = [bytes, vec![0]].concat();
    assert_eq!(Frame::parse(longer), Err(FrameError::Trailing(1)));
}

#[test]
fn unknown_versions_flags_and_headers_are_refused() {
    let good = frame(&[]).into_bytes();
    for at in 0..4 {
        let mut bad = good.clone();
        bad[at] ^= 2;
        assert!(matches!(Frame::parse(bad), Err(FrameError::Unknown { .. })));
    }
    // An empty list of headers must be written as length 0.
    let bad = frame(&[record(None, None, &[0, 0, 0, 0])]).into_bytes();
    assert_eq!(Frame::parse(bad), Err(FrameError::Headers(0)));
    let bad = frame(&[record(None, None, &[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])]).into_bytes();
    assert_eq!(Frame::parse(bad), Err(FrameError::Headers(0)), "a null name");
}

#[test]
fn sources_are_renumbered() {
    let mut made = frame(&[record(Some(b"k"), None, &[]), record(None, Some(b"v"), &[])]);
    let mut before = Vec::new();
    made.number_sources(|r| before.push(r.source));
    assert_eq!(before, [7, 7]);
    assert_eq!(made.records().map(|r| r.source).collect::<Vec<_>>(), [0, 1]);
}

proptest::proptest! {
    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>) {
        if let Ok(frame) = Frame::parse(bytes) {
            for record in frame.records() {
                record.headers().count();
            }
        }
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0usize..120, bit in 0u8..8) {
        let mut headers = Vec::new();
        encode_headers([(&b"n"[..], None)], &mut headers);
        let mut bytes = frame(&[record(Some(b"key"), Some(b"value"), &headers); 2]).into_bytes();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
        if let Ok(frame) = Frame::parse(bytes) {
            frame.records().for_each(|r| assert!(r.headers().count() <= r.headers.len()));
        }
    }
}
