//! Keys, values, headers, timestamps: as they came, null, empty, not UTF-8, large.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use weir_tests::reader::{Record, read_all};
use weir_tests::topics::{self, Writer};
use weir_tests::{host, machine};

use crate::scene::{PATIENCE, Scene};

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

/// librdkafka takes 100,000 headers; more came out as none at all.
#[test]
fn a_record_whose_headers_cannot_be_read_is_named_and_goes_by_policy() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("many-headers")?;
    let writer = Writer::new(scene.broker)?;
    let write = |value: &'static [u8], headers: usize| {
        let headers = (0..headers).fold(OwnedHeaders::new(), |all, _| all.insert(Header { key: "h", value: Some("") }));
        writer.send(BaseRecord::to(&scene.input).partition(0).key(&b"k"[..]).payload(value).headers(headers))?;
        writer.flush()
    };
    write(b"before", 2)?;
    write(b"too many", 100_001)?;
    write(b"after", 0)?;
    let record = format!("{}[0] offset 1", scene.input);
    scene.run("uppercase", &[])?.expect(1)?.says(&[&record, "headers"])?;
    ensure!(read_all(scene.broker, &scene.output)?.len() <= 1, "it went on");
    scene.run("uppercase", &["--on-error", "skip"])?.expect(0)?.says(&[&record, "dropped"])?;
    let found = read_all(scene.broker, &scene.output)?;
    let values: Vec<_> = found.iter().map(|record| (record.value.as_deref(), record.headers.len())).collect();
    ensure!(values == [(Some(&b"BEFORE"[..]), 2), (Some(&b"AFTER"[..]), 0)], "{values:?}");
    Ok(())
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

/// Also -1, Kafka's word for none. (What is not tried here is 0: the writer cannot say it.)
#[test]
fn every_timestamp_comes_out_as_it_came() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("timestamps")?;
    let writer = Writer::new(scene.broker)?;
    for number in [-1, 1, -5, -1, 1_700_000_000_000_i64] {
        let value = number.to_string();
        writer.send(BaseRecord::to(&scene.input).timestamp(number).key(&b"k"[..]).payload(value.as_bytes()))?;
    }
    writer.flush()?;
    scene.run("uppercase", &[])?.expect(0)?;
    let stamps = |topic: &str| -> Result<Vec<_>> {
        Ok(read_all(scene.broker, topic)?.into_iter().map(|record| (record.value, record.timestamp)).collect())
    };
    let (given, found) = (stamps(&scene.input)?, stamps(&scene.output)?);
    ensure!(given.iter().filter(|(_, stamp)| stamp.is_none()).count() == 2, "{given:?} has other timestamps");
    ensure!(given == found, "{given:?} became {found:?}");
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

/// Timestamps as they come, and an hour and a bit ahead: in microseconds, say.
const ANY_TIME: (&str, &str) = ("message.timestamp.after.max.ms", "9223372036854775807");

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

/// What a broker refuses is the record's own failure, found before it is sent: no restart, and `skip` leaves out this
/// record alone, whatever is promised.
#[test]
fn a_record_that_the_broker_would_refuse_is_left_out_alone() -> Result<()> {
    let _machine = machine::shared();
    let now = now_ms()?;
    let bad = [("key", None, now, "compacted"), ("time", Some(&b"b"[..]), now * 1_000, "after.max.ms")];
    for ((name, key, timestamp, word), delivery) in bad.into_iter().zip(["exactly-once", "at-least-once"]) {
        let scene = Scene::new(&format!("refused-{name}"))?;
        let (input, output) = (format!("{}.any", scene.job), format!("{}.strict", scene.job));
        topics::create(scene.broker, &input, 1, &[ANY_TIME])?;
        let policy = if name == "key" { "compact" } else { "delete" };
        topics::create(scene.broker, &output, 4, &[("cleanup.policy", policy)])?;
        let scene = Scene { input, output, ..scene };
        let writer = Writer::new(scene.broker)?;
        let good = |number: u32| (Some(format!("k{number}").into_bytes()), now, &b"good"[..]);
        let records = (0..200).map(good).chain([(key.map(<[u8]>::to_vec), timestamp, &b"bad"[..])]).chain([good(200)]);
        for (key, timestamp, value) in records {
            let mut record = BaseRecord::to(&scene.input).timestamp(timestamp).payload(value);
            record.key = key.as_deref();
            writer.send(record)?;
        }
        writer.flush()?;
        let failed = scene.run("uppercase", &["--delivery", delivery])?.expect(1)?;
        let failed = failed.says(&[&scene.output, word, &format!("{}[0] offset 200", scene.input)])?;
        ensure!(!failed.stderr.contains("recovering"), "{}", failed.stderr);
        let scene = Scene { job: format!("{}-skip", scene.job), state: tempfile::TempDir::new()?, ..scene };
        let before = read_all(scene.broker, &scene.output)?.len();
        let skipped = scene.run("uppercase", &["--on-error", "skip", "--delivery", delivery])?.expect(0)?;
        ensure!(!skipped.stderr.contains("recovering"), "{}", skipped.stderr);
        let found = read_all(scene.broker, &scene.output)?;
        ensure!(found.len() - before == 201, "{} records came out", found.len() - before);
        ensure!(found.iter().all(|record| record.value.as_deref() == Some(b"GOOD")), "the bad one came out");
    }
    Ok(())
}

/// Without an operator there is no policy: the job ends and names the record.
#[test]
fn a_pipeline_without_operator_names_the_record_that_its_topic_refuses() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("refused-plain")?;
    let output = format!("{}.compact", scene.job);
    topics::create(scene.broker, &output, 1, &[("cleanup.policy", "compact")])?;
    let writer = Writer::new(scene.broker)?;
    writer.send(BaseRecord::to(&scene.input).partition(2).payload(&b"no key"[..]))?;
    writer.flush()?;
    let file = scene.state_dir().join("pipeline.toml");
    let text = format!(
        "version = 1\njob = {:?}\napi = \"off\"\n[kafka]\nbrokers = {:?}\n[sources.s]\nkafka = {{ topic = {:?} }}\n\
         until = \"latest\"\n[sinks.k]\ninputs = [\"s\"]\nkafka = {{ topic = {output:?} }}\n[state]\ndir = \"state\"\n",
        scene.job,
        scene.broker.bootstrap(),
        scene.input
    );
    std::fs::write(&file, text)?;
    let ended = host::run(&["run", &file.display().to_string()], PATIENCE)?.expect(1)?;
    ended.says(&[&format!("{}[2] offset 0", scene.input), &output, "compacted"])?;
    Ok(())
}
