//! Keys, values, headers, timestamps: as they came, null, empty, not UTF-8, large.

use anyhow::{Context as _, Result, ensure};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use weir_tests::machine;
use weir_tests::reader::{Record, read_all};
use weir_tests::topics::{self, Writer};

use crate::scene::Scene;

/// Key and value.
type Nullable<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// What `uppercase` must make of `record`, apart from where it is.
fn upper(record: &Record) -> Record {
    let value = record.value.as_ref().map(|value| value.to_ascii_uppercase());
    Record { partition: 0, offset: 0, value, ..record.clone() }
}

fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| record.timestamp);
    records
}

#[test]
fn a_record_keeps_its_key_headers_and_timestamp() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("records")?;
    let writer = Writer::new(scene.broker)?;
    let large = vec![b'x'; 1_000_000];
    let cases: [Nullable<'_>; 7] = [
        (Some(b"key"), Some(b"value")),
        (Some(b"\xff\x00\xfe"), Some(b"\xff\x80 not utf-8")),
        (Some(b"tombstone"), None),
        (Some(b""), Some(b"")),
        (None, Some(b"no key")),
        (None, None),
        (Some(b"large"), Some(&large)),
    ];
    for (number, (key, value)) in cases.iter().enumerate() {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "trace", value: Some("abc") })
            .insert(Header { key: "trace", value: Some("again") })
            .insert(Header { key: "nothing", value: None::<&str> });
        let mut record = BaseRecord::to(&scene.input).timestamp(1_700_000_000_000 + number as i64).headers(headers);
        record.key = *key;
        record.payload = *value;
        writer.send(record)?;
    }
    writer.flush()?;
    scene.run("uppercase", &[])?.expect(0)?;
    let expected = sorted(read_all(scene.broker, &scene.input)?.iter().map(upper).collect());
    let found = read_all(scene.broker, &scene.output)?;
    let found = sorted(found.into_iter().map(|record| Record { partition: 0, offset: 0, ..record }).collect());
    ensure!(expected.len() == cases.len(), "the input holds {} records", expected.len());
    for (expected, found) in expected.iter().zip(&found) {
        ensure!(expected == found, "{:?} became {:?}", brief(expected), brief(found));
    }
    ensure!(found.len() == expected.len(), "{} records came out", found.len());
    Ok(())
}

fn brief(record: &Record) -> String {
    let value = record.value.as_ref().map(|value| String::from_utf8_lossy(value.get(..50).unwrap_or(value)));
    format!("{:?} {:?} {:?} {:?}", record.timestamp, record.key, value, record.headers)
}

#[test]
fn keys_go_where_the_java_clients_would_send_them() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("murmur2")?;
    scene.fill(1_000, 100)?;
    scene.run("uppercase", &[])?.expect(0)?;
    // The writer uses murmur2, too: as many partitions, so the same partition for each key.
    let place = |records: Vec<Record>| {
        let mut places: Vec<_> = records.into_iter().map(|record| (record.key, record.partition)).collect();
        places.sort();
        places
    };
    let (from, to) = (read_all(scene.broker, &scene.input)?, read_all(scene.broker, &scene.output)?);
    ensure!(place(from) == place(to), "a key changed its partition");
    Ok(())
}

#[test]
fn clickstream_keeps_what_is_dear_enough() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("clicks")?;
    let writer = Writer::new(scene.broker)?;
    for number in 0..2_000_u32 {
        let click = serde_json::json!({
            "user_id": format!("u{}", number % 50), "price": f64::from(number % 100), "session": "s-1", "page": "/shop",
            "referrer": "https://example.org/", "agent": "Mozilla/5.0", "country": "DE", "currency": "EUR",
            "quantity": 3, "campaign": null, "tags": ["a", "b"], "ok": true,
        });
        writer.write(&scene.input, format!("k{}", number % 10).as_bytes(), click.to_string().as_bytes())?;
    }
    writer.flush()?;
    scene.run("clickstream", &["--config", "min-price=70"])?.expect(0)?;
    let found = read_all(scene.broker, &scene.output)?;
    ensure!(found.len() == 600, "{} of 600 records came out", found.len());
    for record in found {
        let value: serde_json::Value = serde_json::from_slice(&record.value.context("a null value")?)?;
        let object = value.as_object().context("no object")?;
        ensure!(object.len() == 2 && value["user_id"].is_string(), "{value}");
        ensure!(value["price"].as_f64().is_some_and(|price| price >= 70.0), "{value}");
    }
    Ok(())
}

#[test]
fn output_larger_than_the_topic_allows_is_refused_once_and_by_policy() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("oversize")?;
    let small = format!("{}.small", scene.job);
    topics::create(scene.broker, &small, 1, &[("max.message.bytes", "2000")])?;
    let writer = Writer::new(scene.broker)?;
    for (key, len) in [("a", 100), ("b", 5_000), ("c", 100)] {
        writer.write(&scene.input, key.as_bytes(), &vec![b'x'; len])?;
    }
    writer.flush()?;
    let scene = Scene { output: small, ..scene };
    scene.run("uppercase", &[])?.expect(1)?.says(&[&scene.output, "2000"])?;
    scene.run("uppercase", &["--on-error", "skip"])?.expect(0)?;
    let mut keys: Vec<_> = read_all(scene.broker, &scene.output)?.into_iter().map(|record| record.key).collect();
    keys.sort();
    ensure!(keys == [Some(b"a".to_vec()), Some(b"c".to_vec())], "{keys:?}");
    Ok(())
}
