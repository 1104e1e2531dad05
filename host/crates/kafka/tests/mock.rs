//! Every class of error that a broker may answer with, injected through librdkafka's mock cluster, and what the port
//! makes of it: retried within the call and unseen, or an error that says who must act and after which nothing more is
//! committed in this attempt, while a new attempt works. (The mock stores no offsets; what holds is judged elsewhere.)
#![allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails here fails as it should"
)]

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaApiKey::{
    self, AddOffsetsToTxn, EndTxn, FindCoordinator, InitProducerId, OffsetCommit, OffsetFetch, TxnOffsetCommit,
};
use rdkafka::types::RDKafkaRespErr::{self, *};
use weir_core::ports::{Commit, MarkerRead, Outputs, SinkConnector};
use weir_core::{Delivery, Epoch, Fault, JobName, PortError, ShardId, SplitId};
use weir_kafka::{ClientOptions, KafkaSink, Properties, SinkSideOptions};

type Mock = MockCluster<'static, DefaultProducerContext>;

/// What is to be made of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaction {
    /// The client tries again, and the call succeeds.
    Retried,
    /// The call fails, and this one must act.
    Fails(Fault),
}

use Reaction::{Fails, Retried};

type Row = (RDKafkaApiKey, RDKafkaRespErr, Reaction);

/// Two clusters at a time would be enough; the rows wait most of the time.
const AT_ONCE: usize = 8;

fn each(rows: &[Row], check: impl Fn(&Mock, &Row) + Sync) {
    let next = Mutex::new(rows.iter());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = { next.lock().unwrap().next() } {
                    let cluster = MockCluster::new(1).unwrap();
                    cluster.create_topic("in", 1, 1).unwrap();
                    check(&cluster, row);
                }
            });
        }
    });
}

fn sink(cluster: &Mock, delivery: Delivery) -> KafkaSink {
    let client = ClientOptions {
        brokers: cluster.bootstrap_servers(),
        properties: Properties::default(),
        job: JobName::new("mocked").unwrap(),
        shard: ShardId(0),
    };
    // Only offsets: the mock cannot tell a topic's limits, which a sink asks for.
    let options = SinkSideOptions { sinks: Vec::new(), delivery, transaction_timeout: Duration::from_secs(15) };
    KafkaSink::new(client, options).unwrap()
}

fn commit(outputs: &mut Outputs, epoch: u64) -> Result<(), PortError> {
    let positions = vec![(SplitId::new("in", 0), epoch as i64)];
    outputs.committer.commit(&Commit { epoch: Epoch(epoch), positions, marker: format!("marker {epoch}") })
}

/// Twice: what is retried is retried again.
fn inject(cluster: &Mock, (api, error, reaction): &Row) {
    let times = if *reaction == Retried { 2 } else { 1 };
    cluster.request_errors(*api, &vec![*error; times]);
}

fn expect<T>(outcome: Result<T, PortError>, row: &Row) {
    let made = match outcome {
        Ok(_) => Retried,
        Err(error) => Fails(error.fault()),
    };
    assert_eq!(made, row.2, "{row:?}");
}

#[test]
fn errors_of_a_commit() {
    let rows = [
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR__TRANSPORT, Retried),
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, Retried),
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Retried),
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Retried),
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, Retried),
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, Retried),
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, Fails(Fault::Transient)),
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR_UNKNOWN, Fails(Fault::Transient)),
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, Fails(Fault::Fenced)),
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, Fails(Fault::Fenced)),
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Fails(Fault::Denied)),
        (AddOffsetsToTxn, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, Fails(Fault::Denied)),
        (TxnOffsetCommit, RD_KAFKA_RESP_ERR__TRANSPORT, Retried),
        (TxnOffsetCommit, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Retried),
        (TxnOffsetCommit, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Retried),
        (TxnOffsetCommit, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, Retried),
        (TxnOffsetCommit, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, Fails(Fault::Transient)),
        (TxnOffsetCommit, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, Fails(Fault::Transient)),
        (TxnOffsetCommit, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, Fails(Fault::Transient)),
        (TxnOffsetCommit, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, Fails(Fault::Fenced)),
        (TxnOffsetCommit, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, Fails(Fault::Fenced)),
        (TxnOffsetCommit, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, Fails(Fault::Denied)),
        (TxnOffsetCommit, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Fails(Fault::Denied)),
        (EndTxn, RD_KAFKA_RESP_ERR__TRANSPORT, Retried),
        (EndTxn, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, Retried),
        (EndTxn, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Retried),
        (EndTxn, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Retried),
        (EndTxn, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, Retried),
        // The outcome is unknown: the next attempt reads the marker.
        (EndTxn, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, Fails(Fault::Transient)),
        (EndTxn, RD_KAFKA_RESP_ERR_UNKNOWN, Fails(Fault::Transient)),
        (EndTxn, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING, Fails(Fault::Transient)),
        (EndTxn, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, Fails(Fault::Transient)),
        (EndTxn, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, Fails(Fault::Fenced)),
        (EndTxn, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, Fails(Fault::Fenced)),
        (EndTxn, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Fails(Fault::Denied)),
    ];
    each(&rows, |cluster, row| {
        let sink = sink(cluster, Delivery::ExactlyOnce);
        sink.fence().unwrap();
        let mut outputs = sink.open().unwrap();
        commit(&mut outputs, 1).unwrap();
        inject(cluster, row);
        expect(commit(&mut outputs, 2), row);
        // The same attempt goes on exactly if nothing was seen of it.
        assert_eq!(commit(&mut outputs, 3).is_ok(), row.2 == Retried, "{row:?}: the epoch after it");
        drop(outputs);
        sink.fence().unwrap();
        commit(&mut sink.open().unwrap(), 4).unwrap();
    });
}

#[test]
fn errors_of_fencing() {
    let rows = [
        (InitProducerId, RD_KAFKA_RESP_ERR__TRANSPORT, Retried),
        (InitProducerId, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Retried),
        (InitProducerId, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, Retried),
        (InitProducerId, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Retried),
        (InitProducerId, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, Retried),
        (InitProducerId, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Fails(Fault::Denied)),
        (InitProducerId, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, Fails(Fault::Denied)),
        (InitProducerId, RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, Fails(Fault::Config)),
        (InitProducerId, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, Fails(Fault::Fenced)),
        (InitProducerId, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, Fails(Fault::Fenced)),
        (FindCoordinator, RD_KAFKA_RESP_ERR__TRANSPORT, Retried),
        (FindCoordinator, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, Retried),
        (FindCoordinator, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Fails(Fault::Denied)),
    ];
    each(&rows, |cluster, row| {
        let sink = sink(cluster, Delivery::ExactlyOnce);
        inject(cluster, row);
        expect(sink.fence(), row);
        sink.fence().unwrap();
        commit(&mut sink.open().unwrap(), 1).unwrap();
    });
}

#[test]
fn errors_of_reading_the_marker() {
    let rows = [
        (OffsetFetch, RD_KAFKA_RESP_ERR__TRANSPORT, Retried),
        (OffsetFetch, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Retried),
        (OffsetFetch, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Retried),
        (OffsetFetch, RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, Retried),
        (OffsetFetch, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, Fails(Fault::Denied)),
        (FindCoordinator, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, Retried),
    ];
    each(&rows, |cluster, row| {
        let sink = sink(cluster, Delivery::ExactlyOnce);
        inject(cluster, row);
        let splits = [SplitId::new("in", 0)];
        expect(sink.read_marker(&splits, MarkerRead::Stable), row);
        sink.read_marker(&splits, MarkerRead::Stable).unwrap();
    });
}

/// A coordinator that takes longer to be found than offsets may be pending, as after a broker's restart, is waited for:
/// nothing hangs, and nothing is aborted.
#[test]
fn a_coordinator_that_comes_late_is_no_hanging_offset() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("in", 1, 1).unwrap();
    let sink = sink(&cluster, Delivery::ExactlyOnce);
    sink.fence().unwrap();
    cluster.request_errors(FindCoordinator, &vec![RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE; 1_000]);
    // Whoever aborts offsets adds some first.
    cluster.request_errors(AddOffsetsToTxn, &[RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED]);
    thread::scope(|scope| {
        let read = scope.spawn(|| sink.read_marker(&[SplitId::new("in", 0)], MarkerRead::Stable));
        thread::sleep(Duration::from_secs(3));
        assert!(!read.is_finished(), "it did not wait for the coordinator");
        cluster.clear_request_errors(FindCoordinator);
        read.join().unwrap().unwrap();
    });
}

#[test]
fn errors_of_a_commit_without_transaction() {
    let rows = [
        (OffsetCommit, RD_KAFKA_RESP_ERR__TRANSPORT, Retried),
        (OffsetCommit, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Retried),
        (OffsetCommit, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, Retried),
        (OffsetCommit, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Retried),
        (OffsetCommit, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, Retried),
        (OffsetCommit, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, Fails(Fault::Transient)),
        (OffsetCommit, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, Fails(Fault::Transient)),
        (OffsetCommit, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, Fails(Fault::Denied)),
    ];
    each(&rows, |cluster, row| {
        let sink = sink(cluster, Delivery::AtLeastOnce);
        sink.fence().unwrap();
        let mut outputs = sink.open().unwrap();
        inject(cluster, row);
        expect(commit(&mut outputs, 1), row);
    });
}
