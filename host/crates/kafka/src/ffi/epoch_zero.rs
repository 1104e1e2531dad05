//! The one timestamp that librdkafka cannot be told: 0, the first millisecond of 1970, which it takes for "now".
//!
//! A record that is to have it is handed over with another timestamp that no record has, and marked by its opaque value.
//! An interceptor, which librdkafka calls within the same call to produce, then sets the timestamp. The public type of a
//! message does not show it: it lies behind, in `rd_kafka_msg_t` (`rdkafka_msg.h` of the librdkafka that is built in). So
//! the place is checked before it is written, against what the public interface says, and the result after it.

use std::ffi::{c_char, c_int, c_void};
use std::mem::size_of;
use std::ptr;

use rdkafka::bindings as sys;
use rdkafka::config::NativeClientConfig;
use rdkafka::error::{IsError, RDKafkaErrorCode};

use super::OK;

/// What such a record is handed over with.
pub(crate) const PLACEHOLDER: i64 = i64::MIN + 0x5EED_57A3_9000_0001;
const NAME: *const c_char = c"weir-epoch-zero".as_ptr();
/// Where the timestamp lies: behind the public part, the links of a queue, the flags and the type of the timestamp.
const TIMESTAMP_AT: usize =
    size_of::<sys::rd_kafka_message_t>() + 2 * size_of::<*mut c_void>() + 2 * size_of::<c_int>();

/// The opaque value of a record that is to have the timestamp 0. Nobody reads it after the call to produce.
#[derive(Default)]
pub(crate) struct Mark {
    /// The record has it now.
    pub(crate) is_set: bool,
}

/// Lets a client that is made of `config` set timestamps to 0.
pub(crate) fn enable(config: &NativeClientConfig) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: the configuration is alive; the name is static, and the functions outlive every client.
    let added = unsafe { sys::rd_kafka_conf_interceptor_add_on_new(config.ptr(), NAME, Some(on_new), ptr::null_mut()) };
    if added.is_error() { Err(added.into()) } else { Ok(()) }
}

unsafe extern "C" fn on_new(
    client: *mut sys::rd_kafka_t,
    _: *const sys::rd_kafka_conf_t,
    _: *mut c_void,
    _: *mut c_char,
    _: usize,
) -> sys::rd_kafka_resp_err_t {
    // SAFETY: librdkafka calls this with a client that is being made: only now may interceptors be added.
    unsafe { sys::rd_kafka_interceptor_add_on_send(client, NAME, Some(on_send), ptr::null_mut()) }
}

/// Called for each record, before it can be seen by another thread.
unsafe extern "C" fn on_send(
    _: *mut sys::rd_kafka_t,
    message: *mut sys::rd_kafka_message_t,
    _: *mut c_void,
) -> sys::rd_kafka_resp_err_t {
    // SAFETY: the message is alive and not yet shared. Only `NativeProducer::produce` sets opaque values: null, or a mark
    // that lives on its stack until librdkafka returns there.
    unsafe {
        let Some(mark) = (*message)._private.cast::<Mark>().as_mut() else { return OK };
        (*message)._private = ptr::null_mut();
        let field = message.cast::<u8>().add(TIMESTAMP_AT).cast::<i64>();
        let told = || sys::rd_kafka_message_timestamp(message, ptr::null_mut());
        if told() == PLACEHOLDER && field.read_unaligned() == PLACEHOLDER {
            field.write_unaligned(0);
            mark.is_set = told() == 0;
        }
    }
    OK
}
