//! An admin request on its way, and its answer.

use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;

use super::admin::Isolation;
use super::{OK, milliseconds, serve};
use crate::client::Context;

/// While an answer is waited for: how often the client's own events are heard.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// A request's own time-out comes before the wait for it ends, unless the client hangs.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// An admin request on its way: options and the queue for its answer. Any client can ask; a producer only before it has
/// written anything, since its reports would be taken for events.
pub(super) struct Request<'a> {
    owner: &'a Client<Context>,
    pub(super) client: *mut sys::rd_kafka_t,
    pub(super) options: *mut sys::rd_kafka_AdminOptions_t,
    pub(super) queue: *mut sys::rd_kafka_queue_t,
}

impl<'a> Request<'a> {
    pub(super) fn new(owner: &'a Client<Context>, kind: sys::rd_kafka_admin_op_t, timeout: Duration) -> Self {
        let client = owner.native_ptr();
        // SAFETY: the client is alive and outlives the request, which borrows no longer than the caller does.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, kind);
            // A time-out out of librdkafka's range leaves its default.
            sys::rd_kafka_AdminOptions_set_request_timeout(options, milliseconds(timeout), std::ptr::null_mut(), 0);
            Self { owner, client, options, queue: sys::rd_kafka_queue_new(client) }
        }
    }

    pub(super) fn set_isolation(&self, isolation: Isolation) {
        let level = match isolation {
            Isolation::Uncommitted => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
            Isolation::Committed => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        };
        // SAFETY: the options are alive; an error would be ours to destroy, and destroying null is allowed.
        unsafe { sys::rd_kafka_error_destroy(sys::rd_kafka_AdminOptions_set_isolation_level(self.options, level)) };
    }

    /// Asks this broker, and no other.
    pub(super) fn set_broker(&self, broker: i32) {
        // SAFETY: the options are alive. A number out of range leaves the default; brokers have none.
        unsafe { sys::rd_kafka_AdminOptions_set_broker(self.options, broker, std::ptr::null_mut(), 0) };
    }

    /// Waits for the answer; the request's own time-out comes first unless the client hangs.
    pub(super) fn answer(&self, timeout: Duration) -> Result<Event, RDKafkaErrorCode> {
        self.answer_by(weir_machine::now() + timeout + GRACE, || true)
    }

    /// Waits for the answer until then, and as long as it `is_wanted`. What the client has to say meanwhile is heard at
    /// once: why it waits, say.
    pub(super) fn answer_by(&self, until: Instant, is_wanted: impl Fn() -> bool) -> Result<Event, RDKafkaErrorCode> {
        loop {
            let wait = until.saturating_duration_since(weir_machine::now()).min(LISTEN_EVERY);
            // SAFETY: the queue is alive; the event is owned by the result.
            let event = unsafe { sys::rd_kafka_queue_poll(self.queue, milliseconds(wait)) };
            if event.is_null() {
                serve(self.owner);
                if weir_machine::now() >= until || !is_wanted() {
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

/// An answer, alive as long as what is read of it.
pub(super) struct Event(pub(super) *mut sys::rd_kafka_event_t);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0) };
    }
}
