//! HOT PATH. One producer and what it owes: records handed over against records the broker has answered for.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use weir_core::frame::{NO_SOURCE, NO_TIMESTAMP, encode_headers};
use weir_core::ports::{ROUTE_PREFIX, RouteTable};
use weir_core::{Frame, RecordView, SplitId};

use crate::Error;
use crate::client::{Context, producer_config};
use crate::error::is_refusal;
use crate::ffi::produce::{BY_KEY, Failure, NativeProducer, Reports};
use crate::ffi::transaction::{GroupMetadata, Outcome, TransactionError};
use crate::options::ClientOptions;
use crate::sink::resend::Backoff;
use crate::sink::topics::{OutputTopics, is_about_a_record};

/// Between two looks at a full or draining queue. (rdkafka's own wait spins to its deadline.)
const PAUSE: Duration = Duration::from_micros(200);
/// While a drain waits: how often to look for an error that no delivery report carries.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// Fewer, larger requests: what a batch may hold if the topics allow it.
const BATCH_BYTES: usize = 1_000_000;
/// Bounds of what waits in a client, in values' bytes and in records (whose overhead the first does not count).
const QUEUE_KBYTES: usize = 32 * 1024;
const QUEUE_RECORDS: usize = 100_000;
/// Outside transactions: how long a record may wait for its broker.
const PLAIN_TIMEOUT: Duration = Duration::from_secs(300);

/// The name of the header of a record that is written to be aborted.
const ABORTED: &[u8] = b"weir.aborted";
/// How long the records that abort what hangs may take, and then the abort.
const ABORT_BOUND: Duration = Duration::from_secs(10);

/// The transaction that a producer serves: its id, the broker's time-out, and the client's wait before a resend.
#[derive(Debug, Clone)]
pub(crate) struct Transactional {
    pub(crate) id: String,
    pub(crate) timeout: Duration,
    pub(crate) backoff: Backoff,
}

/// A producer for the topics of one job.
pub(crate) struct Producer {
    native: NativeProducer,
    options: ClientOptions,
    topics: Arc<OutputTopics>,
    transactional: Option<Transactional>,
    sent: u64,
    reports: Reports,
}

impl Producer {
    /// Connects in the background; a transactional one must be initialised before it is used.
    pub(crate) fn open(
        options: &ClientOptions,
        topics: Arc<OutputTopics>,
        transactional: Option<Transactional>,
    ) -> Result<Self, Error> {
        let config = config(options, &topics, transactional.as_ref());
        let names = topics.list().iter().map(|topic| topic.name.as_str());
        let native = NativeProducer::new(&config, Context::new(options), names)
            .map_err(|error| Error::client(error, &options.properties))?;
        Ok(Self { native, options: options.clone(), topics, transactional, sent: 0, reports: Reports::default() })
    }

    /// How long the client waits before it sends a request of a transaction again.
    pub(crate) fn backoff(&self) -> Backoff {
        self.transactional.as_ref().map_or_else(Backoff::default, |transactional| transactional.backoff)
    }

    /// The client, for the calls that make a transaction.
    pub(crate) fn native(&self) -> &NativeProducer {
        &self.native
    }

    /// Waits for the client's first connection; see [`NativeProducer::connect`].
    pub(crate) fn connect(&self, wait: Duration) -> bool {
        self.native.connect(wait)
    }

    /// Hands over every record of `frame` for topic number `topic`; waits while the client's queue is full.
    pub(crate) fn write(&mut self, topic: usize, frame: &Frame) -> Result<(), Error> {
        let topics = Arc::clone(&self.topics);
        let lasting = topics.list().get(topic).map(|topic| &topic.lasting);
        for record in frame.records() {
            lasting.map_or(Ok(()), |limit| limit.check(&record, 0))?;
            self.send(topic, BY_KEY, &record)?;
        }
        self.reap()
    }

    /// The same, each record for the topic (whose numbers are beside the routes) and the partition that it asks for.
    pub(crate) fn write_routed(
        &mut self,
        (routes, numbers): (&RouteTable, &[usize]),
        frame: &Frame,
    ) -> Result<(), Error> {
        let topics = Arc::clone(&self.topics);
        let mut headers = Vec::new();
        for mut record in frame.records() {
            // Nobody hands over what was not checked.
            let (at, partition) = routes.find(&record).map_err(Error::from)?;
            let topic = numbers.get(at).copied().unwrap_or(usize::MAX);
            if !record.headers.is_empty() {
                let others = record.headers().filter(|(name, _)| !name.starts_with(ROUTE_PREFIX));
                encode_headers(others, &mut headers);
                record.headers = &headers;
            }
            let lasting = topics.list().get(topic).map(|topic| &topic.lasting);
            lasting.map_or(Ok(()), |limit| limit.check(&record, 0))?;
            self.send(topic, partition.unwrap_or(BY_KEY), &record)?;
        }
        self.reap()
    }

    #[inline]
    fn send(&mut self, topic: usize, partition: i32, record: &RecordView<'_>) -> Result<(), Error> {
        loop {
            match self.native.produce_to(topic, partition, record) {
                Ok(()) => {
                    self.sent += 1;
                    return Ok(());
                }
                // Every record in the queue is reported within its time-out, good or bad: this wait ends.
                Err(RDKafkaErrorCode::QueueFull) => {
                    self.reap()?;
                    weir_machine::sleep(PAUSE);
                }
                Err(code) => {
                    self.probe()?;
                    return Err(self.failure(format!("write to topic {:?}", self.topic_name(topic)), code));
                }
            }
        }
    }

    /// Returns when the broker has answered for every record, well, or with the first error.
    pub(crate) fn drain(&mut self) -> Result<(), Error> {
        self.drain_within(self.transactional.as_ref().map_or(PLAIN_TIMEOUT, |t| t.timeout))
    }

    fn drain_within(&mut self, bound: Duration) -> Result<(), Error> {
        self.reap()?;
        if self.reports.count < self.sent {
            self.native.hurry(Duration::from_millis(1));
        }
        let started = weir_machine::now();
        let mut probed = started;
        loop {
            self.reap()?;
            if self.reports.count >= self.sent {
                self.native.client().context().works();
                return Ok(());
            }
            let now = weir_machine::now();
            if now.duration_since(started) > bound {
                let operation = format!("get {} records acknowledged", self.sent - self.reports.count);
                return Err(Error::Unresponsive { operation, waited: bound });
            }
            if now.duration_since(probed) > PROBE_INTERVAL {
                self.probe()?;
                self.native.hurry(Duration::ZERO);
                probed = now;
            }
            weir_machine::sleep(PAUSE);
        }
    }

    fn reap(&mut self) -> Result<(), Error> {
        self.native.poll(&mut self.reports);
        match self.reports.failed.take() {
            None => Ok(()),
            Some(Failure { code, said, .. }) if is_about_a_record(code) => {
                Err(self.topics.judge(&self.options, code, said))
            }
            Some(Failure { topic, code, .. }) => {
                // Records are purged because something else went wrong.
                if matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) {
                    self.probe()?;
                }
                Err(self.failure(format!("write to topic {topic:?}"), code))
            }
        }
    }

    /// Looks for an error that stops the client: a fatal one, or one that has doomed the transaction (a refused topic,
    /// say). Neither has a delivery report until the records time out.
    pub(crate) fn probe(&self) -> Result<(), Error> {
        if self.native.client().fatal_error().is_some() {
            return Err(self.failure("use the producer", RDKafkaErrorCode::Fatal));
        }
        if self.transactional.is_some() {
            // Within a transaction this changes nothing and answers "wrong state", or what doomed it.
            match self.native.begin_transaction() {
                Ok(()) => {}
                Err(error) if error.code == RDKafkaErrorCode::State => {}
                Err(error) if is_about_a_record(error.code) => {
                    return Err(self.topics.judge(&self.options, error.code, error.said));
                }
                Err(error) => return Err(self.failure("go on with the transaction", error.code)),
            }
        }
        Ok(())
    }

    /// The error of a call that failed with `code`; the fatal error behind it, if there is one, says more.
    pub(crate) fn failure(&self, operation: impl Into<String>, code: RDKafkaErrorCode) -> Error {
        use RDKafkaErrorCode as C;
        let operation = operation.into();
        let code = self.native.client().fatal_error().map_or(code, |(fatal, _)| fatal);
        let fenced = matches!(code, C::Fenced | C::ProducerFenced | C::InvalidProducerEpoch);
        match &self.transactional {
            Some(transactional) if fenced => Error::Fenced { id: transactional.id.clone(), operation },
            _ if is_refusal(code) => Error::call(operation, code),
            _ => self.native.client().context().explain(operation, code),
        }
    }

    fn topic_name(&self, topic: usize) -> String {
        self.topics.list().get(topic).map(|t| t.name.clone()).unwrap_or_default()
    }

    /// Writes a record to each of `splits` in a transaction that is aborted: its marker closes whatever this id has left
    /// open there.
    pub(crate) fn abort_on(&mut self, splits: &[SplitId]) -> Result<(), Error> {
        let operation = "abort a transaction that hangs";
        let mut headers = Vec::new();
        encode_headers([(ABORTED, None)], &mut headers);
        self.aborted(operation, |this| {
            for split in splits {
                let topic = this.topics.find(&split.stream).map_or(usize::MAX, |(topic, _)| topic);
                if let Err(code) = this.native.produce_to(topic, split.number, &aborted_record(&headers)) {
                    // What doomed the transaction says more than that it is in the wrong state.
                    this.probe()?;
                    return Err(this.failure(operation, code));
                }
                this.sent += 1;
            }
            // Only a partition that was written to gets the marker.
            this.drain_within(ABORT_BOUND)
        })
    }

    /// The same for the offsets of a group.
    pub(crate) fn abort_offsets(&mut self, offsets: &TopicPartitionList, group: &GroupMetadata) -> Result<(), Error> {
        let operation = "abort offsets that hang";
        self.aborted(operation, |this| {
            let sent = this.native.send_offsets(offsets, group, ABORT_BOUND);
            sent.map_err(|error| this.explain(operation, error))
        })
    }

    fn aborted(&mut self, operation: &str, work: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.native.begin_transaction().map_err(|error| self.explain(operation, error))?;
        work(self)?;
        self.native.abort_transaction(ABORT_BOUND).map_err(|error| self.explain(operation, error))
    }

    /// What an error of one of the client's calls means.
    pub(crate) fn explain(&self, operation: &str, error: TransactionError) -> Error {
        self.failure(operation, error.code)
    }

    /// Ends an open transaction now instead of at its time-out, so that readers of the topics do not wait for it.
    pub(crate) fn abort(&mut self, wait: Duration) -> Outcome {
        self.native.purge();
        self.native.poll(&mut self.reports);
        self.native.abort_transaction(wait)
    }
}

/// What is written to be aborted. It has a key, because a compacted topic takes no record without one, and a header that
/// tells those who read uncommitted records what it is.
fn aborted_record(headers: &[u8]) -> RecordView<'_> {
    let (key, value) = (Some(&b"weir"[..]), Some(&b""[..]));
    RecordView { timestamp_ms: NO_TIMESTAMP, source: NO_SOURCE, key, value, headers }
}

fn config(options: &ClientOptions, topics: &OutputTopics, transactional: Option<&Transactional>) -> ClientConfig {
    let limits = || topics.list().iter().map(|topic| topic.limits.message_bytes);
    let smallest = limits().min().unwrap_or(BATCH_BYTES);
    let largest = limits().max().unwrap_or(0).max(BATCH_BYTES);
    let chosen = |key: &str| options.properties.get(key).and_then(|v| v.parse::<usize>().ok());
    let mut config = producer_config(options);
    // A batch above the topic's limit would be refused as a whole, although each of its records is within it.
    config.set("batch.size", chosen("batch.size").unwrap_or(BATCH_BYTES).min(smallest).to_string());
    config.set("message.max.bytes", (largest + 1024).min(1_000_000_000).to_string());
    // A record that alone is over the queue's bound would wait for ever.
    let kbytes = chosen("queue.buffering.max.kbytes").unwrap_or(QUEUE_KBYTES).max(largest / 512);
    config.set("queue.buffering.max.kbytes", kbytes.to_string());
    for (key, value) in [("queue.buffering.max.messages", QUEUE_RECORDS.to_string()), ("linger.ms", "5".to_owned())] {
        if !options.properties.contains(key) {
            config.set(key, value);
        }
    }
    match transactional {
        Some(Transactional { id, timeout, backoff }) => {
            let timeout_ms = timeout.as_millis();
            config.set("transactional.id", id);
            config.set("retry.backoff.ms", backoff.ms().to_string());
            config.set("transaction.timeout.ms", timeout_ms.to_string());
            // A record is given up before its transaction is, so that the reason is the record's own.
            config.set("message.timeout.ms", (timeout_ms * 9 / 10).to_string());
        }
        None => {
            config.set("message.timeout.ms", PLAIN_TIMEOUT.as_millis().to_string());
        }
    }
    config
}
