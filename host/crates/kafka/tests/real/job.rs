//! A job of its own on topics of its own, and what a reader finds there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use rdkafka::{Offset, TopicPartitionList};
use weir_core::frame::NO_SOURCE;
use weir_core::ports::{Commit, MarkerRead, SinkConnector};
use weir_core::{Batch, Delivery, Epoch, FrameWriter, JobName, Origin, RecordView, ShardId, SplitId};
use weir_kafka::admin::{NewTopic, ensure_topics};
use weir_kafka::{ClientOptions, KafkaSink, Properties, SinkSideOptions, TopicOptions};

/// A job of its own on topics of its own.
pub(crate) struct Job {
    pub(crate) client: ClientOptions,
    pub(crate) input: String,
    pub(crate) output: String,
}

impl Job {
    pub(crate) fn new(name: &str) -> Option<Self> {
        let brokers = std::env::var("KAFKA_BOOTSTRAP").ok()?;
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("{name}-{stamp}");
        let client = ClientOptions {
            brokers,
            properties: Properties::default(),
            job: JobName::new(name.as_str()).unwrap(),
            shard: ShardId(0),
        };
        let (input, output) = (format!("{name}-in"), format!("{name}-out"));
        let two = |name: &String| (name.clone(), NewTopic::of(2));
        ensure_topics(&client, &BTreeMap::from([two(&input), two(&output)])).unwrap();
        Some(Self { client, input, output })
    }

    pub(crate) fn sink(&self, delivery: Delivery) -> KafkaSink {
        self.sink_with(delivery, Duration::from_secs(15))
    }

    pub(crate) fn sink_with(&self, delivery: Delivery, transaction_timeout: Duration) -> KafkaSink {
        let options = SinkSideOptions { sinks: vec![TopicOptions::new(&self.output)], delivery, transaction_timeout };
        KafkaSink::new(self.client.clone(), options).unwrap()
    }

    pub(crate) fn splits(&self) -> Vec<SplitId> {
        (0..2).map(|p| SplitId::new(self.input.as_str(), p)).collect()
    }

    pub(crate) fn commit(&self, epoch: u64) -> Commit {
        let positions = self.splits().into_iter().map(|s| (s, epoch as i64 * 10)).collect();
        Commit { epoch: Epoch(epoch), positions, marker: marker(epoch) }
    }

    /// Positions and markers, as (position, text), one per split that has any.
    pub(crate) fn marker(&self, sink: &KafkaSink, read: MarkerRead) -> Vec<(i64, String)> {
        let committed = sink.read_marker(&self.splits(), read).unwrap();
        committed.into_iter().map(|c| (c.position, String::from_utf8(c.metadata).unwrap())).collect()
    }

    /// What a reader of committed records finds in the output, up to its end.
    pub(crate) fn output(&self) -> Vec<Record> {
        read(&self.client.brokers, &self.output, "read_committed")
    }
}

pub(crate) fn marker(epoch: u64) -> String {
    format!("1;job;0;{epoch};attempt")
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp_ms: i64,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

pub(crate) fn read(brokers: &str, topic: &str, isolation: &str) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..2 {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let (mut ends, mut records) = (0, Vec::new());
    let started = Instant::now();
    while ends < 2 {
        assert!(started.elapsed() < Duration::from_secs(30), "the topic's end was not reached");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ends += 1,
            Some(Err(error)) => panic!("{error}"),
            Some(Ok(message)) => records.push(Record {
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                headers: message.headers().map_or_else(Vec::new, |h| {
                    h.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect()
                }),
            }),
        }
    }
    records.sort();
    records
}

pub(crate) fn batch(records: &[RecordView<'_>]) -> Batch {
    let mut writer = FrameWriter::new(Vec::new());
    records.iter().for_each(|r| writer.push(*r));
    Batch { frame: writer.finish(), origins: vec![Origin::new(0, 0); records.len()] }
}

pub(crate) fn record<'a>(key: &'a str, value: &'a [u8]) -> RecordView<'a> {
    RecordView {
        timestamp_ms: 1_700_000_000_000,
        source: NO_SOURCE,
        key: Some(key.as_bytes()),
        value: Some(value),
        headers: &[],
    }
}
