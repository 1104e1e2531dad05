//! The sink side against a real Kafka: `KAFKA_BOOTSTRAP=HOST:PORT cargo test -p weir-kafka --test real`. Without the
//! variable there is no broker to test against, and each test ends at once.
#![allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails here fails as it should"
)]

/// A job of its own.
mod job;
/// What a topic takes.
mod limits;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use weir_core::frame::{NO_TIMESTAMP, encode_headers};
use weir_core::ports::{Commit, MarkerRead, RecordCheck, SinkConnector};
use weir_core::{Delivery, Fault, JobName, RecordView, ShardId};
use weir_kafka::admin::{NewTopic, describe_topics, ensure_topics};
use weir_kafka::{ClientOptions, KafkaSink, Properties, SinkSideOptions, TopicOptions};

use job::{Job, Record, batch, marker, read, record};

#[test]
fn a_transaction_is_seen_whole_with_its_marker_or_not_at_all() {
    let Some(job) = Job::new("whole") else { return };
    let sink = job.sink(Delivery::ExactlyOnce);
    assert_eq!(job.marker(&sink, MarkerRead::Glance), []);
    sink.fence().unwrap();
    assert_eq!(job.marker(&sink, MarkerRead::Stable), []);
    let mut outputs = sink.open().unwrap();
    // An attempt's first epoch is empty.
    outputs.committer.commit(&job.commit(1)).unwrap();
    assert_eq!(job.marker(&sink, MarkerRead::Stable), [(10, marker(1)), (10, marker(1))]);
    for epoch in 2..=4 {
        outputs.sinks[0].write(&batch(&[record("a", b"x"), record("b", b"y")])).unwrap();
        outputs.sinks[0].flush().unwrap();
        assert_eq!(job.output().len(), (epoch as usize - 2) * 2, "nothing of an open transaction is seen");
        outputs.committer.commit(&job.commit(epoch)).unwrap();
        assert_eq!(job.marker(&sink, MarkerRead::Stable)[0], (epoch as i64 * 10, marker(epoch)));
    }
    assert_eq!(job.output().len(), 6);
    // Written, never committed: gone with the attempt.
    outputs.sinks[0].write(&batch(&[record("c", b"z")])).unwrap();
    outputs.sinks[0].flush().unwrap();
    drop(outputs);
    sink.fence().unwrap();
    assert_eq!(job.output().len(), 6);
    assert_eq!(job.marker(&sink, MarkerRead::Stable)[1], (40, marker(4)));
}

#[test]
fn a_record_arrives_as_it_was() {
    let Some(job) = Job::new("as-it-was") else { return };
    let sink = job.sink(Delivery::ExactlyOnce);
    sink.fence().unwrap();
    let mut outputs = sink.open().unwrap();
    let mut headers = Vec::new();
    let (name, null): (&[u8], Option<&[u8]>) = (b"n", None);
    encode_headers([(name, null), (b"e", Some(b"")), (b"v", Some(&[0, 255]))], &mut headers);
    let plain = record("k", b"v");
    let sent = [
        plain,
        RecordView { key: None, ..plain },
        RecordView { key: Some(&[]), value: Some(&[]), ..plain },
        RecordView { value: None, headers: &headers, ..plain },
        RecordView { key: Some(&[0xff, 0]), value: Some(&[0xfe]), timestamp_ms: NO_TIMESTAMP, ..plain },
    ];
    outputs.sinks[0].write(&batch(&sent)).unwrap();
    outputs.committer.commit(&job.commit(1)).unwrap();
    let mut expected: Vec<Record> = sent
        .iter()
        .map(|r| Record {
            key: r.key.map(<[u8]>::to_vec),
            value: r.value.map(<[u8]>::to_vec),
            timestamp_ms: r.timestamp_ms,
            headers: r
                .headers()
                .map(|(n, v)| (String::from_utf8(n.to_vec()).unwrap(), v.map(<[u8]>::to_vec)))
                .collect(),
        })
        .collect();
    expected.sort();
    let mut found = job.output();
    // No timestamp means now.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    for record in found.iter_mut().filter(|r| r.value.as_deref() == Some(&[0xfe])) {
        assert!((now - record.timestamp_ms).abs() < 60_000);
        record.timestamp_ms = NO_TIMESTAMP;
    }
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn many_records_in_many_transactions_all_arrive_once() {
    let Some(job) = Job::new("many") else { return };
    let sink = job.sink(Delivery::ExactlyOnce);
    sink.fence().unwrap();
    let mut outputs = sink.open().unwrap();
    let value = [7; 100];
    let mut sent = 0;
    for epoch in 1..=20 {
        for _ in 0..20 {
            let keys: Vec<String> = (0..500).map(|i| format!("{:016}", sent + i)).collect();
            outputs.sinks[0].write(&batch(&keys.iter().map(|k| record(k, &value)).collect::<Vec<_>>())).unwrap();
            sent += keys.len();
        }
        outputs.committer.commit(&job.commit(epoch)).unwrap();
    }
    let keys: Vec<Vec<u8>> = job.output().into_iter().filter_map(|r| r.key).collect();
    let expected: Vec<Vec<u8>> = (0..sent).map(|i| format!("{i:016}").into_bytes()).collect();
    assert_eq!(keys.len(), expected.len());
    assert!(keys == expected, "each key once");
}

#[test]
fn a_rival_fences_and_sees_what_holds() {
    let Some(job) = Job::new("rival") else { return };
    let first = job.sink(Delivery::ExactlyOnce);
    first.fence().unwrap();
    let mut outputs = first.open().unwrap();
    outputs.committer.commit(&job.commit(1)).unwrap();
    outputs.sinks[0].write(&batch(&[record("a", b"zombie")])).unwrap();
    outputs.sinks[0].flush().unwrap();

    let second = job.sink(Delivery::ExactlyOnce);
    assert_eq!(job.marker(&second, MarkerRead::Glance)[0], (10, marker(1)), "a glance fences nobody");
    second.fence().unwrap();
    assert_eq!(job.marker(&second, MarkerRead::Stable)[0], (10, marker(1)));
    let mut winner = second.open().unwrap();
    winner.committer.commit(&job.commit(2)).unwrap();

    let error = outputs.committer.commit(&job.commit(9)).unwrap_err();
    assert_eq!(error.fault(), Fault::Fenced, "{error}");
    assert!(outputs.sinks[0].write(&batch(&[record("a", b"zombie")])).is_err());
    winner.sinks[0].write(&batch(&[record("a", b"winner")])).unwrap();
    winner.committer.commit(&job.commit(3)).unwrap();
    assert_eq!(job.marker(&second, MarkerRead::Stable), [(30, marker(3)), (30, marker(3))]);
    let values: Vec<_> = job.output().into_iter().map(|r| r.value.unwrap()).collect();
    assert_eq!(values, [b"winner"]);
}

#[test]
fn the_brokers_time_out_is_an_error_and_loses_nothing_committed() {
    let Some(job) = Job::new("timeout") else { return };
    let sink = job.sink_with(Delivery::ExactlyOnce, Duration::from_secs(2));
    sink.fence().unwrap();
    let mut outputs = sink.open().unwrap();
    outputs.committer.commit(&job.commit(1)).unwrap();
    outputs.sinks[0].write(&batch(&[record("a", b"late")])).unwrap();
    outputs.sinks[0].flush().unwrap();
    std::thread::sleep(Duration::from_secs(5));
    let error = outputs.committer.commit(&job.commit(2)).unwrap_err();
    assert!(matches!(error.fault(), Fault::Fenced | Fault::Transient), "{error}");
    drop(outputs);
    sink.stretch(2);
    sink.fence().unwrap();
    assert_eq!(job.marker(&sink, MarkerRead::Stable)[0], (10, marker(1)));
    let mut outputs = sink.open().unwrap();
    outputs.committer.commit(&job.commit(1)).unwrap();
    outputs.sinks[0].write(&batch(&[record("a", b"again")])).unwrap();
    outputs.committer.commit(&job.commit(2)).unwrap();
    assert_eq!(job.output().len(), 1);
}

#[test]
fn a_glance_does_not_wait_for_pending_offsets() {
    let Some(job) = Job::new("glance") else { return };
    let sink = job.sink(Delivery::ExactlyOnce);
    sink.fence().unwrap();
    let mut outputs = sink.open().unwrap();
    outputs.committer.commit(&job.commit(1)).unwrap();
    // Somebody else's transaction, with offsets of this group pending.
    let rival: rdkafka::producer::BaseProducer<_> = ClientConfig::new()
        .set("bootstrap.servers", &job.client.brokers)
        .set("transactional.id", format!("{}-other", job.client.job))
        .set("transaction.timeout.ms", "3000")
        .create()
        .unwrap();
    pending_offsets(&rival, &job);
    let started = Instant::now();
    assert_eq!(job.marker(&sink, MarkerRead::Glance)[0], (10, marker(1)));
    let glanced = started.elapsed();
    // Ends when the broker aborts the rival's transaction.
    assert_eq!(job.marker(&sink, MarkerRead::Stable)[0], (10, marker(1)));
    assert!(glanced < Duration::from_secs(2), "{glanced:?}");
    assert!(started.elapsed() > Duration::from_secs(2), "{:?}", started.elapsed());
}

fn pending_offsets(rival: &rdkafka::producer::BaseProducer<rdkafka::producer::DefaultProducerContext>, job: &Job) {
    use rdkafka::producer::Producer;
    let member: BaseConsumer<DefaultConsumer> = ClientConfig::new()
        .set("bootstrap.servers", &job.client.brokers)
        .set("group.id", job.client.group())
        .create()
        .unwrap();
    rival.init_transactions(Duration::from_secs(20)).unwrap();
    rival.begin_transaction().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&job.input, 0, Offset::Offset(77)).unwrap();
    rival.send_offsets_to_transaction(&offsets, &member.group_metadata().unwrap(), Duration::from_secs(10)).unwrap();
}

type DefaultConsumer = rdkafka::consumer::DefaultConsumerContext;

#[test]
fn missing_topics_and_wrong_time_outs_are_named() {
    let Some(job) = Job::new("named") else { return };
    for delivery in [Delivery::ExactlyOnce, Delivery::AtLeastOnce] {
        let options = SinkSideOptions {
            sinks: vec![TopicOptions::new("weir-no-such-topic")],
            delivery,
            transaction_timeout: Duration::from_secs(15),
        };
        let sink = KafkaSink::new(job.client.clone(), options).unwrap();
        let error = sink.fence().and_then(|()| sink.open().map(drop)).unwrap_err();
        assert_eq!(error.fault(), Fault::Config, "{error}");
        assert!(error.to_string().contains("weir-no-such-topic") && error.to_string().contains("--create-topics"));
    }
    let error = job.sink_with(Delivery::ExactlyOnce, Duration::from_secs(3600)).fence().unwrap_err();
    assert_eq!(error.fault(), Fault::Config, "{error}");
    assert!(error.to_string().contains("transaction.max.timeout.ms"), "{error}");
}

#[test]
fn plain_commits_carry_the_marker_too() {
    for delivery in [Delivery::AtLeastOnce, Delivery::None] {
        let Some(job) = Job::new("plain") else { return };
        let sink = job.sink(delivery);
        sink.fence().unwrap();
        let mut outputs = sink.open().unwrap();
        outputs.committer.commit(&job.commit(1)).unwrap();
        outputs.sinks[0].write(&batch(&[record("a", b"x")])).unwrap();
        outputs.sinks[0].flush().unwrap();
        assert_eq!(job.output().len(), 1);
        outputs.committer.commit(&job.commit(2)).unwrap();
        assert_eq!(job.marker(&sink, MarkerRead::Stable), [(20, marker(2)), (20, marker(2))]);
    }
}

#[test]
fn an_attempt_that_was_given_up_does_not_disturb_the_next() {
    for delivery in [Delivery::ExactlyOnce, Delivery::AtLeastOnce, Delivery::None] {
        let Some(job) = Job::new("given-up") else { return };
        let sink = job.sink(delivery);
        sink.fence().unwrap();
        let mut abandoned = sink.open().unwrap();
        abandoned.committer.commit(&job.commit(1)).unwrap();
        sink.fence().unwrap();
        let mut outputs = sink.open().unwrap();
        outputs.committer.commit(&job.commit(2)).unwrap();
        let error = abandoned.committer.commit(&job.commit(1)).unwrap_err();
        assert_eq!(error.fault(), Fault::Transient, "{error}");
        assert!(error.to_string().contains("a later attempt"), "{error}");
        drop(abandoned);
        assert_eq!(job.marker(&sink, MarkerRead::Stable), [(20, marker(2)), (20, marker(2))]);
        outputs.committer.commit(&job.commit(3)).unwrap();
        assert_eq!(job.marker(&sink, MarkerRead::Stable), [(30, marker(3)), (30, marker(3))]);
    }
}

#[test]
fn a_source_topic_that_is_gone_is_for_the_next_attempt_to_judge() {
    let Some(job) = Job::new("gone") else { return };
    let sink = job.sink(Delivery::AtLeastOnce);
    sink.fence().unwrap();
    let mut outputs = sink.open().unwrap();
    outputs.committer.commit(&job.commit(1)).unwrap();
    let admin: rdkafka::admin::AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &job.client.brokers).create().unwrap();
    // The request is sent when it is made; its answer is awaited by looking.
    let _answer = admin.delete_topics(&[&job.input], &rdkafka::admin::AdminOptions::new());
    let started = Instant::now();
    while !describe_topics(&job.client, std::slice::from_ref(&job.input)).unwrap().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(50));
    }
    let error = outputs.committer.commit(&job.commit(2)).unwrap_err();
    assert_eq!(error.fault(), Fault::Transient, "{error}");
    assert!(error.to_string().contains("does not know a topic"), "{error}");
}

#[test]
fn offsets_alone_are_a_transaction_too() {
    let Some(job) = Job::new("offsets") else { return };
    let options = SinkSideOptions {
        sinks: Vec::new(),
        delivery: Delivery::ExactlyOnce,
        transaction_timeout: Duration::from_secs(15),
    };
    let sink = KafkaSink::new(job.client.clone(), options).unwrap();
    sink.fence().unwrap();
    let mut outputs = sink.open().unwrap();
    assert!(outputs.sinks.is_empty());
    for epoch in 1..=3 {
        outputs.committer.commit(&job.commit(epoch)).unwrap();
    }
    assert_eq!(job.marker(&sink, MarkerRead::Stable), [(30, marker(3)), (30, marker(3))]);
}

#[test]
fn a_record_goes_where_it_asks_to_and_says_nothing_of_it() {
    let Some(job) = Job::new("routes") else { return };
    let side = format!("{}-side", job.output);
    ensure_topics(&job.client, &BTreeMap::from([(side.clone(), NewTopic::of(2))])).unwrap();
    for delivery in [Delivery::ExactlyOnce, Delivery::AtLeastOnce] {
        let options = SinkSideOptions {
            sinks: vec![TopicOptions { topic: job.output.clone(), routes: vec![side.clone()] }],
            delivery,
            transaction_timeout: Duration::from_secs(15),
        };
        let sink = KafkaSink::new(job.client.clone(), options).unwrap();
        sink.fence().unwrap();
        let mut outputs = sink.open().unwrap();
        let headers = |own: &[(&str, &str)]| {
            let all = own.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
            let mut encoded = Vec::new();
            encode_headers(all.chain([(&b"kept"[..], Some(&b"1"[..]))]), &mut encoded);
            encoded
        };
        let stays = headers(&[]);
        let goes = headers(&[("weir.route.topic", side.as_str()), ("weir.route.partition", "1")]);
        let strays = headers(&[("weir.route.topic", "elsewhere")]);
        let with = |key, headers| RecordView { headers, ..record(key, b"v") };
        let Some(RecordCheck::Routes(routes)) = outputs.sinks[0].record_check() else { panic!("no routes") };
        assert_eq!(routes.find(&with("b", &goes)), Ok((1, Some(1))));
        let refused = outputs.sinks[0].record_check().unwrap().check(&with("c", &strays), 0).unwrap_err().to_string();
        assert!(refused.contains("\"elsewhere\""), "{refused}");
        outputs.sinks[0].write(&batch(&[with("a", &stays), with("b", &goes), record("c", b"v")])).unwrap();
        outputs.sinks[0].flush().unwrap();
        outputs.committer.commit(&job.commit(if delivery == Delivery::ExactlyOnce { 1 } else { 2 })).unwrap();
    }
    let found = |topic: &str| -> Vec<(String, usize)> {
        let text = |record: Record| (String::from_utf8(record.key.unwrap()).unwrap(), record.headers.len());
        read(&job.client.brokers, topic, "read_committed").into_iter().map(text).collect()
    };
    let twice = |all: &[(&str, usize)]| -> Vec<(String, usize)> {
        all.iter().flat_map(|(key, headers)| [((*key).to_owned(), *headers), ((*key).to_owned(), *headers)]).collect()
    };
    assert_eq!(found(&job.output), twice(&[("a", 1), ("c", 0)]));
    assert_eq!(found(&side), twice(&[("b", 1)]));
}

#[test]
fn an_epoch_that_could_hold_nowhere_is_a_bug() {
    let Some(job) = Job::new("nowhere") else { return };
    let sink = job.sink(Delivery::ExactlyOnce);
    sink.fence().unwrap();
    let mut outputs = sink.open().unwrap();
    for commit in [
        Commit { positions: Vec::new(), ..job.commit(1) },
        Commit { marker: "x".repeat(512), ..job.commit(1) },
        Commit { positions: vec![(job.splits()[0].clone(), -1)], ..job.commit(1) },
    ] {
        assert_eq!(outputs.committer.commit(&commit).unwrap_err().fault(), Fault::Bug);
    }
}

#[test]
fn a_broker_that_is_not_there_is_named_in_bounded_time() {
    let client = ClientOptions {
        brokers: "127.0.0.1:9".to_owned(),
        properties: Properties::default(),
        job: JobName::new("nobody").unwrap(),
        shard: ShardId(0),
    };
    let options = SinkSideOptions {
        sinks: vec![TopicOptions::new("any")],
        delivery: Delivery::ExactlyOnce,
        transaction_timeout: Duration::from_secs(15),
    };
    let sink = KafkaSink::new(client, options).unwrap();
    let error = sink.fence().unwrap_err();
    assert_eq!(error.fault(), Fault::Transient);
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
}
