//! HOT PATH. Producing and committing past rdkafka: a topic handle that is looked up once instead of a topic name per
//! record, delivery reports counted without a call per record, raw offset metadata, and commits with an error per
//! partition.

use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::bindings::rd_kafka_vtype_t::{
    RD_KAFKA_VTYPE_END, RD_KAFKA_VTYPE_HEADERS, RD_KAFKA_VTYPE_KEY, RD_KAFKA_VTYPE_MSGFLAGS, RD_KAFKA_VTYPE_OPAQUE,
    RD_KAFKA_VTYPE_PARTITION, RD_KAFKA_VTYPE_RKT, RD_KAFKA_VTYPE_TIMESTAMP, RD_KAFKA_VTYPE_VALUE,
};
use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{IsError, KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaType;
use weir_core::RecordView;
use weir_core::frame::NO_TIMESTAMP;

use super::epoch_zero::{self, Mark, PLACEHOLDER};
use crate::client::{Consumer, Context};

/// What the broker said about records that were produced.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// Records with a report, good or bad.
    pub(crate) count: u64,
    /// The first bad one, or one that is the cause of it.
    pub(crate) failed: Option<Failure>,
}

/// A record that was not written.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) topic: String,
    pub(crate) code: RDKafkaErrorCode,
    /// In the broker's words, where it has any, with topic and partition.
    pub(crate) said: String,
}

/// Any partition: the client chooses, by the key.
pub(crate) const BY_KEY: i32 = -1;

/// What is waited for at the end, so that the client can free what it gave up.
const LAST_REPORTS: Duration = Duration::from_millis(500);

/// A producer, its topics and its event queue; they live and die together.
pub(crate) struct NativeProducer {
    // Handles into `client`: destroyed in `drop`, before the client is.
    topics: Vec<NonNull<sys::rd_kafka_topic_t>>,
    events: NonNull<sys::rd_kafka_queue_t>,
    client: Client<Context>,
}

// SAFETY: librdkafka's handles may be used and destroyed on any thread.
unsafe impl Send for NativeProducer {}

impl NativeProducer {
    /// Makes a client and looks up `topics`, which are known by their index from here on.
    pub(crate) fn new<'a>(
        config: &ClientConfig,
        context: Context,
        topics: impl Iterator<Item = &'a str>,
    ) -> Result<Self, KafkaError> {
        let settings = config.create_native_config()?;
        let events = sys::RD_KAFKA_EVENT_DR
            | sys::RD_KAFKA_EVENT_STATS
            | sys::RD_KAFKA_EVENT_ERROR
            | sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH;
        // SAFETY: the settings are alive.
        unsafe { sys::rd_kafka_conf_set_events(settings.ptr(), events) };
        epoch_zero::enable(&settings).map_err(KafkaError::Global)?;
        let client = Client::new(config, settings, RDKafkaType::RD_KAFKA_PRODUCER, context)?;
        let native = client.native_ptr();
        // SAFETY: `native` is alive as long as `client`. The main queue of a client always exists.
        let events = unsafe { NonNull::new(sys::rd_kafka_queue_get_main(native)) }.expect("a client has a main queue");
        let mut this = Self { topics: Vec::new(), events, client };
        for name in topics {
            let name = CString::new(name)?;
            // SAFETY: `native` is alive, `name` is a C string; a null configuration means the client's default.
            let topic = unsafe { sys::rd_kafka_topic_new(native, name.as_ptr(), ptr::null_mut()) };
            // SAFETY: reads a thread-local of the call above.
            let topic = NonNull::new(topic)
                .ok_or_else(|| KafkaError::MessageProduction(unsafe { sys::rd_kafka_last_error() }.into()))?;
            this.topics.push(topic);
        }
        Ok(this)
    }

    /// The client, for everything that rdkafka does wrap.
    pub(crate) fn client(&self) -> &Client<Context> {
        &self.client
    }

    pub(super) fn native(&self) -> *mut sys::rd_kafka_t {
        self.client.native_ptr()
    }

    /// Hands one record to the client, which copies it; for `partition`, or the one that the client chooses ([`BY_KEY`]).
    #[inline]
    pub(crate) fn produce_to(
        &self,
        topic: usize,
        partition: i32,
        record: &RecordView<'_>,
    ) -> Result<(), RDKafkaErrorCode> {
        match record.timestamp_ms {
            // The client takes 0 for "now".
            NO_TIMESTAMP => self.hand_over(topic, partition, record, (0, ptr::null_mut())),
            0 => {
                let mut mark = Mark::default();
                let opaque = ptr::from_mut(&mut mark).cast();
                self.hand_over(topic, partition, record, (PLACEHOLDER, opaque))?;
                if mark.is_set { Ok(()) } else { Err(RDKafkaErrorCode::NotImplemented) }
            }
            ms => self.hand_over(topic, partition, record, (ms, ptr::null_mut())),
        }
    }

    /// `stamp`: the timestamp as the client takes it, and the opaque value.
    #[inline]
    fn hand_over(
        &self,
        topic: usize,
        partition: i32,
        record: &RecordView<'_>,
        (timestamp, opaque): (i64, *mut c_void),
    ) -> Result<(), RDKafkaErrorCode> {
        let Some(topic) = self.topics.get(topic) else { return Err(RDKafkaErrorCode::UnknownTopic) };
        let headers = native_headers(record);
        let (key, key_len) = parts(record.key);
        let (value, value_len) = parts(record.value);
        // SAFETY: client, topic and headers are alive; the list of arguments is typed as librdkafka documents each tag
        // and ends with END. Key and value are copied before the call returns (F_COPY; keys always are).
        let code = unsafe {
            sys::rd_kafka_producev(
                self.native(),
                RD_KAFKA_VTYPE_RKT,
                topic.as_ptr(),
                RD_KAFKA_VTYPE_PARTITION,
                partition,
                RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                RD_KAFKA_VTYPE_OPAQUE,
                opaque,
                RD_KAFKA_VTYPE_TIMESTAMP,
                timestamp,
                RD_KAFKA_VTYPE_HEADERS,
                headers,
                RD_KAFKA_VTYPE_END,
            )
        };
        if !code.is_error() {
            return Ok(());
        }
        if !headers.is_null() {
            // SAFETY: on failure the headers are still ours.
            unsafe { sys::rd_kafka_headers_destroy(headers) };
        }
        Err(code.into())
    }

    /// Takes what has been reported since the last call; never waits.
    pub(crate) fn poll(&self, reports: &mut Reports) {
        // SAFETY: the queue is alive; each event is used only until it is destroyed, once.
        while let Some(event) = NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.events.as_ptr(), 0) }) {
            let event = event.as_ptr();
            unsafe {
                match sys::rd_kafka_event_type(event) {
                    sys::RD_KAFKA_EVENT_DR => count_deliveries(event, reports),
                    _ => super::hear(event, self.client.context()),
                }
                sys::rd_kafka_event_destroy(event);
            }
        }
    }

    /// Waits until a broker is connected, at most `wait` twice; true if one is. A client connects to nothing before it
    /// must: the first question goes to a bootstrap address, the second to a broker of the cluster.
    pub(crate) fn connect(&self, wait: Duration) -> bool {
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let mut metadata = ptr::null();
        // SAFETY: the client is alive; metadata is written only on success and destroyed once.
        let ask = || unsafe {
            let native = self.native();
            let code = sys::rd_kafka_metadata(native, 0, ptr::null_mut(), &mut metadata, wait_ms);
            if !code.is_error() {
                sys::rd_kafka_metadata_destroy(metadata);
            }
            !code.is_error()
        };
        std::iter::repeat_with(ask).take(2).all(|connected| connected)
    }

    /// Gives up what was not sent or not answered.
    pub(crate) fn purge(&self) {
        // SAFETY: the client is alive. It refuses only flags that it does not know.
        unsafe { sys::rd_kafka_purge(self.native(), sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT) };
    }

    /// Asks the client to send what it holds back for fuller batches, and waits up to `wait` while it does.
    pub(crate) fn hurry(&self, wait: Duration) {
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client is alive. The result only says whether reports are still to come; `poll` counts them.
        unsafe { sys::rd_kafka_flush(self.native(), wait_ms) };
    }
}

impl Drop for NativeProducer {
    fn drop(&mut self) {
        self.purge();
        let (mut reports, began) = (Reports::default(), weir_machine::now());
        // SAFETY: the client is alive.
        while unsafe { sys::rd_kafka_outq_len(self.native()) } > 0 && weir_machine::since(began) < LAST_REPORTS {
            self.poll(&mut reports);
            weir_machine::sleep(Duration::from_millis(1));
        }
        // SAFETY: each handle is destroyed once and before the client, which is dropped after this.
        unsafe {
            for topic in self.topics.drain(..) {
                sys::rd_kafka_topic_destroy(topic.as_ptr());
            }
            sys::rd_kafka_queue_destroy(self.events.as_ptr());
        }
    }
}

/// Null is a null pointer; empty is any other.
#[inline]
fn parts(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |b| (b.as_ptr().cast(), b.len()))
}

/// The headers as the client wants them; null when there are none.
#[inline]
fn native_headers(record: &RecordView<'_>) -> *mut sys::rd_kafka_headers_t {
    if record.headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: name and value are copied; lengths are those of the slices; a null value keeps its null pointer. Adding to
    // a list that this function has made cannot be refused.
    unsafe {
        let list = sys::rd_kafka_headers_new(4);
        for (name, value) in record.headers() {
            let (bytes, len) = parts(value);
            sys::rd_kafka_header_add(list, name.as_ptr().cast(), name.len() as isize, bytes, len as isize);
        }
        list
    }
}

/// # Safety
/// `event` is a delivery report event that is alive.
unsafe fn count_deliveries(event: *mut sys::rd_kafka_event_t, reports: &mut Reports) {
    unsafe {
        while let Some(message) = sys::rd_kafka_event_message_next(event).as_ref() {
            reports.count += 1;
            // Records that share a batch with a bad one fail for its sake.
            let found = reports.failed.as_ref().is_some_and(|f| f.code != RDKafkaErrorCode::InvalidDifferentRecord);
            if message.err.is_error() && !found {
                reports.failed = Some(failure(message));
            }
        }
    }
}

/// # Safety
/// `message` is a delivery report that is alive.
#[cold]
unsafe fn failure(message: &sys::rd_kafka_message_t) -> Failure {
    unsafe {
        let topic = super::text(sys::rd_kafka_topic_name(message.rkt));
        let said = super::text(sys::rd_kafka_message_errstr(message));
        let said = format!("{topic}[{}]: {said}", message.partition);
        Failure { topic, code: message.err.into(), said }
    }
}

/// The metadata beside each offset of `list`, in its order, as the broker sent it (rdkafka's own reader panics on what
/// is not UTF-8, and anyone may write there).
pub(crate) fn offset_metadata(list: &TopicPartitionList) -> Vec<Vec<u8>> {
    // SAFETY: metadata is null or `metadata_size` bytes; they live as long as the list, which is borrowed.
    unsafe {
        let bytes = |e: &sys::rd_kafka_topic_partition_t| {
            let metadata = super::slice(e.metadata.cast::<u8>().cast_const(), e.metadata_size);
            metadata.unwrap_or_default().to_vec()
        };
        super::elements(list.ptr()).iter().map(bytes).collect()
    }
}

/// Commits `offsets` with their metadata for the consumer's group and waits for the answer at most `wait`. Unlike
/// `rd_kafka_commit`, an error of any single partition is an error.
pub(crate) fn commit_offsets(
    consumer: &Consumer,
    offsets: &TopicPartitionList,
    wait: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let native = consumer.client().native_ptr();
    let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: client and list are alive; the queue and the event are destroyed once, after their last use. An answer
    // that comes after the queue is gone is dropped by librdkafka.
    unsafe {
        let queue = sys::rd_kafka_queue_new(native);
        let sent = sys::rd_kafka_commit_queue(native, offsets.ptr(), queue, None, ptr::null_mut());
        let event = if sent.is_error() { ptr::null_mut() } else { sys::rd_kafka_queue_poll(queue, wait_ms) };
        let outcome = match (sent.is_error(), event.is_null()) {
            (true, _) => Err(sent.into()),
            (false, true) => Err(RDKafkaErrorCode::OperationTimedOut),
            (false, false) => commit_outcome(event),
        };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        outcome
    }
}

/// # Safety
/// `event` is an offset commit event that is alive.
unsafe fn commit_outcome(event: *mut sys::rd_kafka_event_t) -> Result<(), RDKafkaErrorCode> {
    unsafe {
        let whole = sys::rd_kafka_event_error(event);
        if whole.is_error() {
            return Err(whole.into());
        }
        let list = sys::rd_kafka_event_topic_partition_list(event);
        super::elements(list).iter().find(|e| e.err.is_error()).map_or(Ok(()), |e| Err(e.err.into()))
    }
}
