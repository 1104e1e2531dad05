//! HOT PATH. What rdkafka does not wrap: taking many messages with one call, topic ids, offsets of many partitions with
//! one call. The only place of this crate with `unsafe`; everything it gives out is safe to use.
//!
//! Ownership: a `Queue` owns the messages it took until `release`, and keeps its client alive. Admin results are
//! copied out before their event is destroyed. librdkafka itself is thread safe.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use weir_core::SplitId;
use weir_core::frame::NO_TIMESTAMP;

use crate::client::{Consumer, Context};
use headers::Headers;

/// What can be configured.
pub(crate) mod conf;
/// Creating topics.
pub(crate) mod create;
/// The timestamp that librdkafka cannot be told.
mod epoch_zero;
/// What a group has committed.
pub(crate) mod group;
/// The headers of a message.
mod headers;
/// Producing, and what belongs to a commit.
pub(crate) mod produce;
/// What topics are.
pub(crate) mod topics;
/// The calls that make a transaction.
pub(crate) mod transaction;

/// While an answer is waited for: how often the client's own events are heard.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// A request's own time-out comes before the wait for it ends, unless the client hangs.
const GRACE: Duration = Duration::from_secs(1);
const OK: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;

/// A queue of messages, and the messages last taken from it.
pub(crate) struct Queue {
    queue: *mut sys::rd_kafka_queue_t,
    taken: Vec<*mut sys::rd_kafka_message_t>,
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka queues and messages may be used from any thread; `Queue` is not `Sync`, so from one at a time.
unsafe impl Send for Queue {}

impl Queue {
    /// The queue of all partitions that have none of their own. `None` for a client without a group.
    pub(crate) fn of_consumer(consumer: &Arc<Consumer>) -> Option<Self> {
        // SAFETY: the client is alive; a null result is handled.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        Self::own(queue, consumer)
    }

    /// A queue for one partition alone. To be called before the partition is assigned, so that nothing of it gets into
    /// the shared queue.
    pub(crate) fn of_partition(consumer: &Arc<Consumer>, split: &SplitId) -> Option<Self> {
        let topic = CString::new(&*split.topic).ok()?;
        // SAFETY: the client is alive, the name ends with NUL; a null result is handled.
        let queue = unsafe {
            sys::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), split.partition)
        };
        let own = Self::own(queue, consumer)?;
        // SAFETY: the queue was just made; null as destination ends forwarding.
        unsafe { sys::rd_kafka_queue_forward(own.queue, std::ptr::null_mut()) };
        Some(own)
    }

    fn own(queue: *mut sys::rd_kafka_queue_t, consumer: &Arc<Consumer>) -> Option<Self> {
        let consumer = Arc::clone(consumer);
        (!queue.is_null()).then_some(Self { queue, taken: Vec::new(), consumer })
    }

    /// Takes up to `max` messages, in addition to those taken and not yet released. Returns when there are `max`, or
    /// after `wait` with what there is. Returns how many.
    pub(crate) fn take(&mut self, max: usize, wait: Duration) -> usize {
        self.taken.reserve(max);
        let len = self.taken.len();
        // SAFETY: there is room for `max` pointers behind `len`; librdkafka writes at most that many and returns how
        // many it wrote, or -1.
        unsafe {
            let room = self.taken.as_mut_ptr().add(len);
            let got = sys::rd_kafka_consume_batch_queue(self.queue, milliseconds(wait), room, max);
            let got = usize::try_from(got).unwrap_or(0).min(max);
            self.taken.set_len(len + got);
            got
        }
    }

    /// The messages taken, in order.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        // SAFETY: the pointers are valid until `release`, which needs `&mut self`.
        self.taken.iter().map(|&message| Message { native: unsafe { &*message }, queue: PhantomData })
    }

    /// Gives the messages back to librdkafka.
    pub(crate) fn release(&mut self) {
        for message in self.taken.drain(..) {
            // SAFETY: each message was given to us to destroy, once.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }

    /// The client that the messages come from.
    pub(crate) fn consumer(&self) -> &Arc<Consumer> {
        &self.consumer
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.release();
        // SAFETY: made by us, destroyed once, before its client.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) };
    }
}

/// A message, or an error or end-of-partition event in its place.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    native: &'a sys::rd_kafka_message_t,
    queue: PhantomData<&'a Queue>,
}

impl<'a> Message<'a> {
    /// `Some` if this is no record.
    #[inline]
    pub(crate) fn error(&self) -> Option<RDKafkaErrorCode> {
        (self.native.err != OK).then(|| self.native.err.into())
    }

    /// What librdkafka says about [`Message::error`].
    pub(crate) fn error_text(&self) -> String {
        // SAFETY: valid for a live message; null is handled.
        unsafe { text(sys::rd_kafka_message_errstr(self.native)) }
    }

    /// Whether the client found that the log was cut below its position (KIP-320). It says so like any other reset, with
    /// the cause in the text alone.
    pub(crate) fn tells_truncation(&self) -> bool {
        // SAFETY: a static text for every code.
        let cause = unsafe { text(sys::rd_kafka_err2str(RDKafkaRespErr::RD_KAFKA_RESP_ERR__LOG_TRUNCATION)) };
        self.error_text().contains(&cause)
    }

    /// The same number for the same topic as long as the partition is assigned; 0 where there is none.
    #[inline]
    pub(crate) fn topic_handle(&self) -> usize {
        self.native.rkt as usize
    }

    /// Name of the topic; empty where there is none.
    pub(crate) fn topic(&self) -> String {
        if self.native.rkt.is_null() {
            return String::new();
        }
        // SAFETY: a live message keeps its topic alive.
        unsafe { text(sys::rd_kafka_topic_name(self.native.rkt)) }
    }

    #[inline]
    pub(crate) fn partition(&self) -> i32 {
        self.native.partition
    }

    #[inline]
    pub(crate) fn offset(&self) -> i64 {
        self.native.offset
    }

    /// The broker that it was fetched from; negative where that is not known.
    #[inline]
    pub(crate) fn broker(&self) -> i32 {
        // SAFETY: valid for a live message, also for one that stands for an event.
        unsafe { sys::rd_kafka_message_broker_id(self.native) }
    }

    /// The key; `None` is null.
    #[inline]
    pub(crate) fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: pointer and length belong together and live as long as the message.
        unsafe { slice(self.native.key.cast(), self.native.key_len) }
    }

    /// The value; `None` is a tombstone.
    #[inline]
    pub(crate) fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: as for the key.
        unsafe { slice(self.native.payload.cast(), self.native.len) }
    }

    /// Milliseconds since 1970, or `NO_TIMESTAMP`.
    #[inline]
    pub(crate) fn timestamp_ms(&self) -> i64 {
        // SAFETY: valid for a live message; the type of the timestamp is not asked for.
        match unsafe { sys::rd_kafka_message_timestamp(self.native, std::ptr::null_mut()) } {
            -1 => NO_TIMESTAMP,
            ms => ms,
        }
    }

    /// The headers, in order; `Err` where the client makes no sense of them, with what is wrong.
    #[inline]
    pub(crate) fn headers(&self) -> Result<Headers<'a>, &'static str> {
        Headers::of(self.native)
    }
}

/// Lets the client's own events (logs, errors) wait in a queue of their own, away from the messages. Those that came before,
/// warnings about its configuration mostly, are heard here: whoever takes messages would have them written to stderr, past
/// the log, and stand still where nobody reads that.
pub(crate) fn separate_events(consumer: &Consumer) {
    let client = consumer.client();
    // SAFETY: the client is alive; the references to its queues are destroyed again.
    unsafe {
        let main = sys::rd_kafka_queue_get_main(client.native_ptr());
        sys::rd_kafka_queue_forward(main, std::ptr::null_mut());
        sys::rd_kafka_queue_destroy(main);
        let messages = sys::rd_kafka_queue_get_consumer(client.native_ptr());
        if !messages.is_null() {
            serve_queue(messages, client.context());
            sys::rd_kafka_queue_destroy(messages);
        }
    }
}

/// Hands the client's waiting events to its context.
pub(crate) fn serve_events(consumer: &Consumer) {
    serve(consumer.client());
}

fn serve(client: &Client<Context>) {
    // SAFETY: the client is alive; the reference to its main queue is destroyed again.
    unsafe {
        let main = sys::rd_kafka_queue_get_main(client.native_ptr());
        serve_queue(main, client.context());
        sys::rd_kafka_queue_destroy(main);
    }
}

/// # Safety
/// `queue` is alive.
unsafe fn serve_queue(queue: *mut sys::rd_kafka_queue_t, context: &Context) {
    // SAFETY: each event is destroyed once, after its texts were used.
    unsafe {
        loop {
            let event = sys::rd_kafka_queue_poll(queue, 0);
            if event.is_null() {
                break;
            }
            hear(event, context);
            sys::rd_kafka_event_destroy(event);
        }
    }
}

/// Tells `context` what a client has to say: a line of its log, or an error.
///
/// # Safety
/// `event` is alive.
unsafe fn hear(event: *mut sys::rd_kafka_event_t, context: &Context) {
    // SAFETY: the texts live as long as the event.
    unsafe {
        match sys::rd_kafka_event_type(event) {
            sys::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut message, mut level) = (std::ptr::null(), std::ptr::null(), 0);
                if sys::rd_kafka_event_log(event, &mut facility, &mut message, &mut level) == 0 {
                    context.log(log_level(level), text(facility).trim(), text(message).trim());
                }
            }
            sys::RD_KAFKA_EVENT_ERROR => {
                let code = sys::rd_kafka_event_error(event).into();
                context.error(KafkaError::Global(code), text(sys::rd_kafka_event_error_string(event)).trim());
            }
            _ => {}
        }
    }
}

fn log_level(level: c_int) -> RDKafkaLogLevel {
    match level {
        0..=3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

/// A topic's or partition's own result.
pub(crate) type Each<T> = Vec<(T, RDKafkaErrorCode)>;

/// The settings of a topic, by name.
pub(crate) type Settings = BTreeMap<String, String>;

/// Those of `keys` that the configuration of topics has; each has its own error, or `NoError`. (rdkafka drops the error
/// and shows a configuration without entries.)
pub(crate) fn topic_config(
    consumer: &Consumer,
    names: &[String],
    keys: &[&str],
    timeout: Duration,
) -> Result<Each<(String, Settings)>, RDKafkaErrorCode> {
    let names: Vec<CString> = names
        .iter()
        .map(|n| CString::new(n.as_str()))
        .collect::<Result<_, _>>()
        .map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let request = Request::new(consumer.client(), sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout);
    let topic = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
    // SAFETY: the resources are ours; the call copies them; names outlive the call.
    let event = unsafe {
        let mut asked: Vec<_> = names.iter().map(|n| sys::rd_kafka_ConfigResource_new(topic, n.as_ptr())).collect();
        sys::rd_kafka_DescribeConfigs(request.client, asked.as_mut_ptr(), asked.len(), request.options, request.queue);
        asked.iter().for_each(|&resource| sys::rd_kafka_ConfigResource_destroy(resource));
        request.answer(timeout)?
    };
    let mut count = 0;
    // SAFETY: the result lives as long as the event; the type of the event is that of the request.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConfigs_result(event.0);
        let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
        let one = |i| {
            let resource = *resources.add(i);
            let name = text(sys::rd_kafka_ConfigResource_name(resource));
            let code = sys::rd_kafka_ConfigResource_error(resource).into();
            ((name, settings(resource, keys)), code)
        };
        Ok((0..count).map(one).collect())
    }
}

/// # Safety
/// `resource` must be a live result.
unsafe fn settings(resource: *const sys::rd_kafka_ConfigResource_t, keys: &[&str]) -> Settings {
    let mut count = 0;
    // SAFETY: entries live as long as the result.
    unsafe {
        let entries = sys::rd_kafka_ConfigResource_configs(resource, &mut count);
        let setting = |entry| {
            let name = text(sys::rd_kafka_ConfigEntry_name(entry));
            let value = sys::rd_kafka_ConfigEntry_value(entry);
            (keys.contains(&name.as_str()) && !value.is_null()).then(|| (name, text(value)))
        };
        (0..count).filter_map(|i| setting(*entries.add(i))).collect()
    }
}

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The first that exists.
    Earliest,
    /// The one after the last.
    Latest,
    /// The first at or after this moment; answered with -1 where there is none.
    At(i64),
}

/// Up to where a partition is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Up to the high watermark.
    Uncommitted,
    /// Up to the last stable offset.
    Committed,
}

/// Asks for one offset of each split; each has its own error, or `NoError`.
pub(crate) fn list_offsets(
    consumer: &Consumer,
    splits: &[(SplitId, Which)],
    isolation: Isolation,
    timeout: Duration,
) -> Result<Each<(SplitId, i64)>, RDKafkaErrorCode> {
    if splits.is_empty() {
        return Ok(Vec::new());
    }
    let request = Request::new(consumer.client(), sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout);
    let names: Vec<CString> = splits
        .iter()
        .map(|(s, _)| CString::new(&*s.topic))
        .collect::<Result<_, _>>()
        .map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    // SAFETY: the list is ours; the call copies it; names outlive the call.
    let event = unsafe {
        let list = sys::rd_kafka_topic_partition_list_new(c_int::try_from(splits.len()).unwrap_or(c_int::MAX));
        for ((split, which), name) in splits.iter().zip(&names) {
            let entry = sys::rd_kafka_topic_partition_list_add(list, name.as_ptr(), split.partition);
            (*entry).offset = match which {
                Which::Earliest => -2,
                Which::Latest => -1,
                Which::At(ms) => (*ms).max(0),
            };
        }
        request.set_isolation(isolation);
        sys::rd_kafka_ListOffsets(request.client, list, request.options, request.queue);
        sys::rd_kafka_topic_partition_list_destroy(list);
        request.answer(timeout)?
    };
    let mut count = 0;
    // SAFETY: the result lives as long as the event; the type of the event is that of the request.
    unsafe {
        let result = sys::rd_kafka_event_ListOffsets_result(event.0);
        let found = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
        let one = |i| {
            let entry = &*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*found.add(i));
            ((SplitId::new(text(entry.topic), entry.partition), entry.offset), entry.err.into())
        };
        Ok((0..count).map(one).collect())
    }
}

/// An admin request on its way: options and the queue for its answer. Any client can ask; a producer only before it has
/// written anything, since its reports would be taken for events.
struct Request<'a> {
    owner: &'a Client<Context>,
    client: *mut sys::rd_kafka_t,
    options: *mut sys::rd_kafka_AdminOptions_t,
    queue: *mut sys::rd_kafka_queue_t,
}

impl<'a> Request<'a> {
    fn new(owner: &'a Client<Context>, kind: sys::rd_kafka_admin_op_t, timeout: Duration) -> Self {
        let client = owner.native_ptr();
        // SAFETY: the client is alive and outlives the request, which borrows no longer than the caller does.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, kind);
            // A time-out out of librdkafka's range leaves its default.
            sys::rd_kafka_AdminOptions_set_request_timeout(options, milliseconds(timeout), std::ptr::null_mut(), 0);
            Self { owner, client, options, queue: sys::rd_kafka_queue_new(client) }
        }
    }

    fn set_isolation(&self, isolation: Isolation) {
        let level = match isolation {
            Isolation::Uncommitted => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
            Isolation::Committed => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        };
        // SAFETY: the options are alive; an error would be ours to destroy, and destroying null is allowed.
        unsafe { sys::rd_kafka_error_destroy(sys::rd_kafka_AdminOptions_set_isolation_level(self.options, level)) };
    }

    /// Asks this broker, and no other.
    fn set_broker(&self, broker: i32) {
        // SAFETY: the options are alive. A number out of range leaves the default; brokers have none.
        unsafe { sys::rd_kafka_AdminOptions_set_broker(self.options, broker, std::ptr::null_mut(), 0) };
    }

    /// Waits for the answer; the request's own time-out comes first unless the client hangs.
    fn answer(&self, timeout: Duration) -> Result<Event, RDKafkaErrorCode> {
        self.answer_by(Instant::now() + timeout + GRACE, || true)
    }

    /// Waits for the answer until then, and as long as it `is_wanted`. What the client has to say meanwhile is heard at
    /// once: why it waits, say.
    fn answer_by(&self, until: Instant, is_wanted: impl Fn() -> bool) -> Result<Event, RDKafkaErrorCode> {
        loop {
            let wait = until.saturating_duration_since(Instant::now()).min(LISTEN_EVERY);
            // SAFETY: the queue is alive; the event is owned by the result.
            let event = unsafe { sys::rd_kafka_queue_poll(self.queue, milliseconds(wait)) };
            if event.is_null() {
                serve(self.owner);
                if Instant::now() >= until || !is_wanted() {
                    return Err(RDKafkaErrorCode::OperationTimedOut);
                }
                continue;
            }
            let event = Event(event);
            // SAFETY: the event is alive.
            return match unsafe { sys::rd_kafka_event_error(event.0) } {
                OK => Ok(event),
                code => Err(code.into()),
            };
        }
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        // SAFETY: both made by `new`, destroyed once. A late answer is dropped with the queue.
        unsafe {
            sys::rd_kafka_AdminOptions_destroy(self.options);
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

struct Event(*mut sys::rd_kafka_event_t);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0) };
    }
}

fn milliseconds(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}

/// # Safety
/// `pointer` must be null, or valid for `len` bytes as long as the result is used.
#[inline]
unsafe fn slice<'a>(pointer: *const u8, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// # Safety
/// `pointer` must be null or a text that ends with NUL.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
