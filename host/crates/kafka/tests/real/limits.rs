//! What a topic takes, and what becomes of a record that it does not take.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use weir_core::frame::NO_TIMESTAMP;
use weir_core::ports::{Outputs, RecordCheck, RecordLimit, SinkConnector};
use weir_core::{Delivery, Fault, RecordView};
use weir_kafka::limits::{TopicLimits, topic_limits};

use crate::job::{Job, batch, record};

fn record_limit(outputs: &Outputs) -> RecordLimit {
    match outputs.sinks[0].record_check() {
        Some(RecordCheck::Limit(limit)) => limit,
        other => panic!("a topic has limits, not {other:?}"),
    }
}

#[test]
fn too_large_records_are_the_users_and_never_sent() {
    let Some(job) = Job::new("oversize") else { return };
    let sink = job.sink(Delivery::ExactlyOnce);
    sink.fence().unwrap();
    let mut outputs = sink.open().unwrap();
    let largest = record_limit(&outputs).bytes - 1;
    for bytes in [largest - 1, largest] {
        outputs.sinks[0].write(&batch(&[record("k", &vec![1; bytes])])).unwrap();
    }
    outputs.committer.commit(&job.commit(1)).unwrap();
    // From the first byte that is too many up to one that the broker would see, too.
    for bytes in [largest + 1, 1_048_588 - 71, 1_048_588 - 70, 1_048_588] {
        let error = outputs.sinks[0].write(&batch(&[record("k", &vec![1; bytes])])).unwrap_err();
        assert_eq!(error.fault(), Fault::User);
        assert!(error.to_string().contains(&job.output) && error.to_string().contains("1048588"), "{error}");
        drop(outputs);
        sink.fence().unwrap();
        outputs = sink.open().unwrap();
    }
    assert_eq!(job.output().len(), 2);
}

/// What the broker says of records that the sink would have found unfit, had it known: it does not, because the limit
/// came after it was opened. Once it knows, the record is found before it is sent.
#[test]
fn a_record_that_the_broker_refuses_costs_a_recovery_and_is_then_known() {
    let late = 1_000_000_000_000;
    let cases = [
        ("cleanup.policy", "compact", RecordView { key: None, ..record("", b"v") }),
        ("message.timestamp.after.max.ms", "1000", RecordView { timestamp_ms: now_ms() + late, ..record("k", b"v") }),
        ("message.timestamp.before.max.ms", "1000", RecordView { timestamp_ms: now_ms() - late, ..record("k", b"v") }),
    ];
    for (delivery, (key, value, bad)) in
        [Delivery::ExactlyOnce, Delivery::AtLeastOnce].into_iter().flat_map(|d| cases.map(|case| (d, case)))
    {
        let Some(job) = Job::new("refused") else { return };
        set_topic(&job, "message.timestamp.after.max.ms", "9223372036854775807");
        let sink = job.sink(delivery);
        sink.fence().unwrap();
        let mut outputs = sink.open().unwrap();
        outputs.committer.commit(&job.commit(1)).unwrap();
        assert!(record_limit(&outputs).check(&bad, now_ms()).is_ok());
        set_topic(&job, key, value);
        let good = RecordView { timestamp_ms: now_ms(), ..record("k", b"good") };
        let records = [good, bad, good];
        let refused = outputs.sinks[0].write(&batch(&records)).and_then(|()| outputs.sinks[0].flush()).unwrap_err();
        assert_eq!(refused.fault(), Fault::Transient, "{delivery} {key}: {refused}");
        assert!(refused.to_string().contains(&job.output), "{refused}");
        drop(outputs);
        sink.fence().unwrap();
        let outputs = sink.open().unwrap();
        let limit = record_limit(&outputs);
        let unfit = limit.check(&bad, now_ms()).unwrap_err().to_string();
        assert!(unfit.contains(&job.output), "{unfit}");
        limit.check(&good, now_ms()).unwrap();
    }
}

/// librdkafka takes 0 for "now".
#[test]
fn every_timestamp_comes_out_as_it_is() {
    let stamps = [0, 1, -1, -5, 1_700_000_000_000, now_ms(), -1, 0];
    for delivery in [Delivery::ExactlyOnce, Delivery::AtLeastOnce] {
        let Some(job) = Job::new("stamps") else { return };
        let sink = job.sink(delivery);
        sink.fence().unwrap();
        let mut outputs = sink.open().unwrap();
        // Also in the middle of a batch, and first in one.
        let records = stamps.map(|timestamp_ms| RecordView { timestamp_ms, ..record("k", b"v") });
        outputs.sinks[0].write(&batch(&records)).unwrap();
        outputs.sinks[0].flush().unwrap();
        let began = now_ms();
        outputs.sinks[0].write(&batch(&[RecordView { timestamp_ms: NO_TIMESTAMP, ..records[0] }])).unwrap();
        outputs.committer.commit(&job.commit(1)).unwrap();
        let mut found: Vec<_> = job.output().into_iter().map(|record| record.timestamp_ms).collect();
        assert!(found.pop().unwrap() >= began - 1, "a record without a timestamp gets the clock's");
        let mut wanted = stamps.to_vec();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{delivery}");
    }
}

/// Kafka's word for none is compared with no clock.
#[test]
fn a_record_without_a_timestamp_is_within_every_limit() {
    let Some(job) = Job::new("unstamped") else { return };
    set_topic(&job, "message.timestamp.before.max.ms", "1000");
    let sink = job.sink(Delivery::ExactlyOnce);
    sink.fence().unwrap();
    let mut outputs = sink.open().unwrap();
    let unstamped = RecordView { timestamp_ms: -1, ..record("k", b"v") };
    record_limit(&outputs).check(&unstamped, now_ms()).unwrap();
    outputs.sinks[0].write(&batch(&[unstamped])).unwrap();
    outputs.committer.commit(&job.commit(1)).unwrap();
    let found: Vec<_> = job.output().into_iter().map(|record| record.timestamp_ms).collect();
    assert_eq!(found, [-1]);
}

#[test]
fn a_clock_that_goes_wrong_costs_one_recovery() {
    let Some(job) = Job::new("skewed") else { return };
    assert_eq!(limits(&job).timestamps.unwrap().ahead_ms, 3_600_000, "Kafka 4's default");
    let sink = job.sink(Delivery::ExactlyOnce);
    // By its own clock the record is good; by the broker's it is not.
    let ahead = RecordView { timestamp_ms: now_ms() + 3_600_000 + 30_000, ..record("k", b"v") };
    let refuse = || {
        sink.fence().unwrap();
        let mut outputs = sink.open().unwrap();
        let limit = record_limit(&outputs);
        let refused = outputs.sinks[0].write(&batch(&[ahead])).and_then(|()| outputs.sinks[0].flush()).unwrap_err();
        (limit.check(&ahead, now_ms() + 40_000).is_ok(), refused)
    };
    let (fits, refused) = refuse();
    assert!(fits && refused.fault() == Fault::Transient, "{refused}");
    assert!(refused.to_string().contains("timestamp"), "{refused}");
    let (fits, refused) = refuse();
    assert!(!fits && refused.fault() == Fault::User, "{refused}");
    assert!(refused.to_string().contains(&job.output), "{refused}");
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn a_lowered_limit_costs_a_recovery_and_no_loop() {
    let Some(job) = Job::new("lowered") else { return };
    let sink = job.sink(Delivery::ExactlyOnce);
    sink.fence().unwrap();
    let mut outputs = sink.open().unwrap();
    outputs.committer.commit(&job.commit(1)).unwrap();
    set_limit(&job, "20000");
    let value = vec![1; 3_000];
    let records: Vec<_> = (0..200).map(|_| record("k", &value)).collect();
    let refused = outputs.sinks[0].write(&batch(&records)).and_then(|()| outputs.sinks[0].flush()).unwrap_err();
    assert_eq!(refused.fault(), Fault::Transient, "{refused}");
    drop(outputs);
    sink.fence().unwrap();
    let mut outputs = sink.open().unwrap();
    outputs.sinks[0].write(&batch(&records)).unwrap();
    outputs.committer.commit(&job.commit(2)).unwrap();
    assert_eq!(job.output().len(), 200);
    let error = outputs.sinks[0].write(&batch(&[record("k", &vec![1; 30_000])])).unwrap_err();
    assert_eq!(error.fault(), Fault::User, "{error}");
}

fn set_limit(job: &Job, bytes: &str) {
    set_topic(job, "max.message.bytes", bytes);
}

/// Sets one setting of the output topic; the others are the broker's defaults again.
fn set_topic(job: &Job, key: &str, value: &str) {
    use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &job.client.brokers).create().unwrap();
    let changes = [AlterConfig::new(ResourceSpecifier::Topic(&job.output)).set(key, value)];
    let options = AdminOptions::new();
    let before = limits(job);
    // The request is sent when it is made; its answer is awaited by looking.
    let _answer = admin.alter_configs(&changes, &options);
    let started = Instant::now();
    while limits(job) == before {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn limits(job: &Job) -> TopicLimits {
    topic_limits(&job.client, std::slice::from_ref(&job.output)).unwrap()[&job.output].clone()
}
