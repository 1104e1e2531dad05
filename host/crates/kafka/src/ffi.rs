//! HOT PATH. What rdkafka does not wrap: taking many messages with one call, topic ids, offsets of many partitions with
//! one call. The only place of this crate with `unsafe`; everything it gives out is safe to use.
//!
//! Ownership: a `Queue` owns the messages it took until `release`, and keeps its client alive. Admin results are
//! copied out before their event is destroyed. librdkafka itself is thread safe.

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use weir_core::SplitId;

use crate::client::{Consumer, Context};
use headers::Headers;

/// Settings and offsets of topics.
pub(crate) mod admin;
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
/// Admin requests.
mod request;
/// Where to go on reading, once the log is known to be the one that was read.
pub(crate) mod seek;
/// What topics are.
pub(crate) mod topics;
/// The calls that make a transaction.
pub(crate) mod transaction;

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
        let topic = CString::new(&*split.stream).ok()?;
        // SAFETY: the client is alive, the name ends with NUL; a null result is handled.
        let queue =
            unsafe { sys::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), split.number) };
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

    /// The term of the partition's leader in which it was written; `None` where that is not known.
    #[inline]
    pub(crate) fn term(&self) -> Option<i32> {
        // SAFETY: valid for a live message, also for one that stands for an event.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.native) };
        (epoch >= 0).then_some(epoch)
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

    /// Milliseconds since 1970, as it stands in the log: also -1, Kafka's word for none. As `NO_TIMESTAMP` it would be
    /// written as "now", and as another one when the record is read again.
    #[inline]
    pub(crate) fn timestamp_ms(&self) -> i64 {
        // SAFETY: valid for a live message; the type of the timestamp is not asked for.
        unsafe { sys::rd_kafka_message_timestamp(self.native, std::ptr::null_mut()) }
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

fn milliseconds(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}

/// What a list holds.
///
/// # Safety
/// `list` must be null, or alive and unchanged as long as the result is used.
unsafe fn elements<'a>(list: *const sys::rd_kafka_topic_partition_list_t) -> &'a [sys::rd_kafka_topic_partition_t] {
    // SAFETY: the caller's promise; a list holds `cnt` elements.
    unsafe {
        let Some(list) = list.as_ref() else { return &[] };
        match usize::try_from(list.cnt) {
            Ok(count) if count > 0 => std::slice::from_raw_parts(list.elems, count),
            _ => &[],
        }
    }
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
