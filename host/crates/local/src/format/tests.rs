//! Every format there and back, and what each cannot hold.

use proptest::prelude::*;
use weir_core::frame::encode_headers;

use super::*;

/// A record with bytes of its own.
#[derive(Debug, Clone, PartialEq)]
struct Whole {
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn key_value(separator: &str) -> LineFormat {
    LineFormat::KeyValue { separator: separator.into() }
}

fn written(format: &LineFormat, record: &Whole) -> Result<Vec<u8>, String> {
    let mut headers = Vec::new();
    encode_headers(record.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())), &mut headers);
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    let mut line = Vec::new();
    let view = RecordView { timestamp_ms: record.timestamp_ms, source: 0, key, value, headers: &headers };
    let written = format.write(view, &mut line);
    // Whoever asks before must hear the same, or a record would end the job that a policy speaks of.
    assert_eq!(format.form().map_or(Ok(()), |form| form.check(&view)), written);
    assert!(written.is_ok() || line.is_empty(), "half a line");
    written.map(|()| line)
}

fn read(format: &LineFormat, line: &[u8]) -> Result<Whole, String> {
    let mut writer = FrameWriter::new(Vec::new());
    format.read(line, 0, &mut writer)?;
    // What a guest would be refused for is refused here, too.
    let frame = weir_core::Frame::parse(writer.finish().as_bytes().to_vec()).unwrap();
    let record = frame.records().next().unwrap();
    Ok(Whole {
        timestamp_ms: record.timestamp_ms,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: record.headers().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect(),
    })
}

/// Text and other bytes, with much of what a format might trip over.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        prop::collection::vec(prop::sample::select(b"\t\n\r:\"\\{}[],base64null \xc3\xa4".to_vec()), 0..12),
        any::<String>().prop_map(String::into_bytes),
    ]
}

fn records() -> impl Strategy<Value = Whole> {
    let time = prop_oneof![Just(NO_TIMESTAMP), any::<i64>()];
    let names = any::<String>().prop_map(String::into_bytes);
    let headers = prop::collection::vec((names, prop::option::of(bytes())), 0..4);
    (time, prop::option::of(bytes()), prop::option::of(bytes()), headers)
        .prop_map(|(timestamp_ms, key, value, headers)| Whole { timestamp_ms, key, value, headers })
}

proptest! {
    #[test]
    fn json_brings_every_record_back(record in records()) {
        let line = written(&LineFormat::Json, &record).unwrap();
        prop_assert!(!line.contains(&b'\n'));
        let _: serde_json::Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(read(&LineFormat::Json, &line).unwrap(), record);
    }

    #[test]
    fn key_value_brings_back_what_it_takes(
        key in bytes(),
        value in bytes(),
        separator in prop::sample::select(vec!["\t", ":", "::", "a4", "\u{e4}"]),
    ) {
        let record = Whole { timestamp_ms: NO_TIMESTAMP, key: Some(key), value: Some(value), headers: Vec::new() };
        let format = key_value(separator);
        if let Ok(line) = written(&format, &record) {
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(read(&format, &line).unwrap(), record);
        }
    }

    #[test]
    fn no_line_makes_a_reader_panic(line in bytes()) {
        for format in [LineFormat::Json, key_value("\t"), key_value("::")] {
            drop(read(&format, &line));
        }
    }
}

#[test]
fn what_only_weir_says_is_no_header_of_a_line() {
    let line = br#"{"value":"","headers":{"weir.route.topic":"secret","a":"1","weir.origin.topic":null,"Weir.x":"2"}}"#;
    let names: Vec<_> = read(&LineFormat::Json, line).unwrap().headers.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [b"a".to_vec(), b"Weir.x".to_vec()]);
}

#[test]
fn what_a_line_of_json_means() {
    for (line, key, value) in [
        (r#"{"value":"a"}"#, None, Some("a")),
        (r#" { "value" : null , "key" : "k" } "#, Some("k"), None),
        (r#"{"key":{"base64":"YQ=="},"value":{"base64":""}}"#, Some("a"), Some("")),
        (r#"{"value":{"user": 1, "x":[1.50]}}"#, None, Some(r#"{"user": 1, "x":[1.50]}"#)),
        (r#"{"value":12345678901234567890123}"#, None, Some("12345678901234567890123")),
        (r#"{"value":[ ],"key":true}"#, Some("true"), Some("[ ]")),
        (r#"{"value":{"base64":"YQ==","more":1}}"#, None, Some(r#"{"base64":"YQ==","more":1}"#)),
        (r#"{"value":"\u00e4\n","timestamp":null,"headers":null}"#, None, Some("\u{e4}\n")),
        (r#"{"value":{}}"#, None, Some("{}")),
    ] {
        let read = read(&LineFormat::Json, line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
        let wanted = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        assert_eq!((read.key, read.value), (wanted(key), wanted(value)), "{line}");
    }
    let read = read(&LineFormat::Json, br#"{"headers":{"a":"1","a":null,"b":2},"timestamp":-5,"value":""}"#).unwrap();
    let header = |name: &str, value: Option<&str>| (name.as_bytes().to_vec(), value.map(|v| v.as_bytes().to_vec()));
    assert_eq!(read.headers, [header("a", Some("1")), header("a", None), header("b", Some("2"))]);
    assert_eq!(read.timestamp_ms, -5);
}

#[test]
fn what_is_no_record_says_why() {
    for (line, wanted) in [
        ("", "it is no object"),
        ("a", "it is no object"),
        ("[1]", "it is no object"),
        ("{", "it ends too early"),
        ("{}", "it has no \"value\""),
        (r#"{"key":"a"}"#, "it has no \"value\" (null is a tombstone)"),
        (r#"{"user":1}"#, "there is no \"user\" in a record; a line of format=json is"),
        (r#"{"value":1,"value":2}"#, "it has \"value\" twice"),
        (r#"{"value":1} x"#, "it does not go on with ',' or end with '}'"),
        (r#"{"value":1,}"#, "it is no JSON"),
        (r#"{"value":01}"#, "it is no JSON"),
        (r#"{"value" 1}"#, "there is no ':' after \"value\""),
        (r#"{1:2}"#, "1 is no name"),
        (r#"{"value":"\ud800"}"#, "is no text"),
        (r#"{"value":{"base64":"?"}}"#, "is no base64"),
        (r#"{"value":1,"timestamp":1.5}"#, "its timestamp 1.5 is not a whole number"),
        (r#"{"value":1,"timestamp":"now"}"#, "is not a whole number of milliseconds"),
        (r#"{"value":1,"timestamp":-9223372036854775808}"#, "or too early"),
        (r#"{"value":1,"headers":[]}"#, "its headers: it is no object"),
    ] {
        let error = read(&LineFormat::Json, line.as_bytes()).unwrap_err();
        assert!(error.contains(wanted), "{line}: {error}");
    }
    assert!(read(&LineFormat::Json, b"{\"value\":\"\xff\"}").unwrap_err().contains("JSON is UTF-8"));
    let error = read(&key_value("\t"), b"a b").unwrap_err();
    assert!(error.contains(r#"format=key-value wants KEY"\t"VALUE"#), "{error}");
}

#[test]
fn what_key_value_cannot_hold_is_refused() {
    let record = |key: &str, value: &str| Whole {
        timestamp_ms: 5,
        key: Some(key.into()),
        value: Some(value.into()),
        headers: vec![(b"h".to_vec(), None)],
    };
    let tab = key_value("\t");
    assert_eq!(written(&tab, &record("k", "a\tb")).unwrap(), b"k\ta\tb", "the first separator counts");
    assert!(written(&tab, &record("k\t", "v")).unwrap_err().contains("the key holds the separator \"\\t\""));
    assert!(written(&key_value("::"), &record("k:", "v")).unwrap_err().contains("separator"));
    assert!(written(&key_value("::"), &record(":k", ":v")).is_ok());
    let named = Whole { headers: vec![(b"h".to_vec(), None), (b"\xff".to_vec(), None)], ..record("k", "v") };
    assert_eq!(written(&LineFormat::Json, &named).unwrap_err(), "the name of a header is not UTF-8");
    assert!(written(&tab, &named).is_ok() && LineFormat::Value.form().is_none());
    for (key, value) in [("a\nb", "v"), ("k", "a\nb")] {
        assert!(written(&tab, &record(key, value)).unwrap_err().contains("holds a line end; write format=json"));
    }
    let null = Whole { key: None, value: None, ..record("", "") };
    assert_eq!(written(&tab, &null).unwrap(), b"\t", "null and empty look the same");
    assert_eq!(written(&LineFormat::Value, &null).unwrap(), b"");
    assert_eq!(
        written(&LineFormat::Json, &null).unwrap(),
        br#"{"key":null,"value":null,"timestamp":5,"headers":{"h":null}}"#
    );
}

#[test]
fn what_no_line_has_is_said() {
    let key_value = LineFormat::KeyValue { separator: b":".to_vec() };
    let header = KeySpec::Header("h".into());
    assert!(LineFormat::Value.lacks(&KeySpec::Key).unwrap().starts_with("lines that are values have none"));
    for format in [&LineFormat::Value, &key_value] {
        assert_eq!(format.lacks(&header), Some("only lines of ?format=json have headers"));
    }
    assert_eq!(key_value.lacks(&KeySpec::Key), None);
    assert_eq!(LineFormat::Json.lacks(&header), None);
}
