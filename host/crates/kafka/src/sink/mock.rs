//! What becomes of the errors that a broker answers a write with, injected through librdkafka's mock cluster. Below the
//! port, because the mock does not tell a topic's limits, which the port asks for; `tests/mock.rs` has the others.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaApiKey::{self, AddPartitionsToTxn, InitProducerId, Produce};
use rdkafka::types::RDKafkaRespErr::{self, *};
use weir_core::ports::MarkerRead;
use weir_core::{Fault, FrameWriter, JobName, RecordView, ShardId};

use super::marker::Group;
use super::pool::{Background, INIT_BOUND, Pool, Slot, Tenure, Unfinished};
use super::producer::Producer;
use super::resend::{Ends, rotate};
use super::topics::OutputTopics;
use super::transactor::{Fenced, Transactor};
use crate::Error;
use crate::limits::TopicLimits;
use crate::options::ClientOptions;
use crate::properties::Properties;

type Mock = MockCluster<'static, DefaultProducerContext>;

/// The answer to a request, and who must act on it; `None`: it is retried, unseen.
type Row = (RDKafkaApiKey, RDKafkaRespErr, Option<Fault>);

const ROWS: [Row; 18] = [
    (AddPartitionsToTxn, RD_KAFKA_RESP_ERR__TRANSPORT, None),
    (AddPartitionsToTxn, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, None),
    (AddPartitionsToTxn, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, None),
    (AddPartitionsToTxn, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, None),
    (AddPartitionsToTxn, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, Some(Fault::Transient)),
    (AddPartitionsToTxn, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, Some(Fault::Fenced)),
    (AddPartitionsToTxn, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, Some(Fault::Fenced)),
    (AddPartitionsToTxn, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Some(Fault::Denied)),
    (AddPartitionsToTxn, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Some(Fault::Denied)),
    (Produce, RD_KAFKA_RESP_ERR__TRANSPORT, None),
    (Produce, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, None),
    (Produce, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, None),
    (Produce, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, None),
    (Produce, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, Some(Fault::Transient)),
    (Produce, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, Some(Fault::Transient)),
    (Produce, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, Some(Fault::Fenced)),
    (Produce, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Some(Fault::Denied)),
    // The mock does not tell its topics' limits: whether they were changed shows at the next attempt.
    (Produce, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, Some(Fault::Transient)),
];

/// The pool of an attempt, beside what earlier ones left unfinished.
fn pool(options: &ClientOptions, bound: Duration, unfinished: Unfinished) -> Pool {
    let limits = TopicLimits { message_bytes: 1_000_000, needs_key: false, timestamps: None };
    let topics = Arc::new(OutputTopics::of("out", limits));
    let (options, timeout) = (options.clone(), Duration::from_secs(15));
    Pool { options, topics, timeout, bound, tenure: Tenure::default(), unfinished, ends: Ends::default() }
}

fn transactor(options: &ClientOptions) -> Transactor {
    let pool = Arc::new(pool(options, INIT_BOUND, Unfinished::default()));
    let initialise = |slot| pool.initialise(slot, None).map_err(|failed| failed.error).unwrap();
    let fenced = Fenced { first: initialise(Slot::First), second: initialise(Slot::Second) };
    Transactor::new(Arc::clone(&pool), Background::default(), fenced, rotate)
}

/// Writes a record and commits it, with a position.
fn epoch(transactor: &mut Transactor, options: &ClientOptions) -> Result<(), Error> {
    let mut writer = FrameWriter::new(Vec::new());
    let (key, value) = (Some(&b"key"[..]), Some(&b"value"[..]));
    writer.push(RecordView { timestamp_ms: 1_700_000_000_000, source: 0, key, value, headers: &[] });
    transactor.producer()?.write(0, &writer.finish())?;
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("in", 0, rdkafka::Offset::Offset(1)).unwrap();
    let group = Group::open(options, MarkerRead::Glance)?;
    transactor.commit(&offsets, &group.metadata()?)
}

fn cluster() -> (Mock, ClientOptions) {
    let cluster = MockCluster::new(1).unwrap();
    for topic in ["in", "out"] {
        cluster.create_topic(topic, 1, 1).unwrap();
    }
    let (brokers, properties) = (cluster.bootstrap_servers(), Properties::default());
    let options = ClientOptions { brokers, properties, job: JobName::new("mocked").unwrap(), shard: ShardId(0) };
    (cluster, options)
}

fn check(&(api, error, fault): &Row) {
    let (cluster, options) = cluster();
    let mut first = transactor(&options);
    epoch(&mut first, &options).unwrap();
    cluster.request_errors(api, &vec![error; if fault.is_none() { 2 } else { 1 }]);
    let outcome = epoch(&mut first, &options);
    assert_eq!(outcome.as_ref().err().map(Error::fault), fault, "{api:?} {error:?}: {outcome:?}");
    if outcome.is_err() {
        first.fail();
    }
    assert_eq!(epoch(&mut first, &options).is_ok(), fault.is_none(), "{api:?} {error:?}: the epoch after it");
    first.close();
    epoch(&mut transactor(&options), &options).unwrap();
}

/// Dropped, the client could still be at it, and fence whoever comes next: that one goes on with it.
#[test]
fn a_client_on_which_an_initialisation_still_runs_is_kept_for_the_next_attempt() {
    let (cluster, options) = cluster();
    let unfinished = Unfinished::default();
    let attempt = |bound| pool(&options, bound, unfinished.clone());
    let native = |producer: &Producer| producer.native().client().native_ptr();
    // The broker has another transaction of this id to complete first.
    cluster.request_errors(InitProducerId, &vec![RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS; 1_000]);
    for slot in [Slot::First, Slot::Second] {
        let given_up = attempt(Duration::from_millis(200)).initialise_or_keep(slot, None);
        assert_eq!(given_up.err().map(|error| error.fault()), Some(Fault::Transient));
    }
    let kept = unfinished.take();
    assert!(unfinished.take().iter().all(Option::is_none), "each is taken once");
    cluster.clear_request_errors(InitProducerId);
    for (slot, kept) in [Slot::First, Slot::Second].into_iter().zip(kept) {
        let running = kept.as_ref().map(native).expect("the client is kept");
        let initialised = attempt(INIT_BOUND).initialise_or_keep(slot, kept).map_err(|error| error.to_string());
        assert_eq!(native(&initialised.unwrap()), running);
    }
    assert!(unfinished.take().iter().all(Option::is_none), "nothing runs any more");
}

#[test]
fn errors_of_a_write() {
    weir_machine::scope(|scope| {
        for part in ROWS.chunks(ROWS.len().div_ceil(8)) {
            scope.spawn(move || part.iter().for_each(check));
        }
    });
}
