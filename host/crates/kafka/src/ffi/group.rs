//! All offsets that a group has committed, whatever their topics: rdkafka only asks for partitions that are known.

use std::ffi::CString;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;
use weir_core::SplitId;
use weir_core::ports::Committed;

use super::request::Request;
use super::{Each, text};
use crate::client::Context;

/// The request's own time-out, which must never come: librdkafka 2.12.1 frees an admin request twice that timed out before
/// its coordinator was found (`rd_kafka_admin_coord_request`, then `rd_kafka_admin_coord_response_parse`), and aborts. Whoever
/// asks stops waiting long before; a late answer is dropped.
const NEVER: Duration = Duration::from_secs(3600);

/// What `group` has committed; each split has its own error, or `NoError`. Waits for no transaction.
pub(crate) fn list_group_offsets(
    client: &Client<Context>,
    group: &str,
    timeout: Duration,
) -> Result<Each<Committed>, RDKafkaErrorCode> {
    let group = CString::new(group).map_err(|_| RDKafkaErrorCode::InvalidGroupId)?;
    let request = Request::new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, NEVER);
    // SAFETY: the question is ours; the call copies it; no partitions means all of them.
    let event = unsafe {
        let mut asked = sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), std::ptr::null());
        sys::rd_kafka_ListConsumerGroupOffsets(request.client, &mut asked, 1, request.options, request.queue);
        sys::rd_kafka_ListConsumerGroupOffsets_destroy(asked);
        request.answer_by(weir_machine::now() + timeout, || true)?
    };
    let mut count = 0;
    // SAFETY: the result lives as long as the event; the type of the event is that of the request.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.0);
        let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
        if count == 0 {
            return Ok(Vec::new());
        }
        let group = *groups;
        let code: RDKafkaErrorCode = sys::rd_kafka_error_code(sys::rd_kafka_group_result_error(group)).into();
        match code {
            RDKafkaErrorCode::NoError => Ok(each(sys::rd_kafka_group_result_partitions(group))),
            code => Err(code),
        }
    }
}

/// # Safety
/// `list` must be null or a live list.
unsafe fn each(list: *const sys::rd_kafka_topic_partition_list_t) -> Each<Committed> {
    // SAFETY: metadata is null or `metadata_size` bytes; all live as long as the list.
    unsafe {
        let one = |e: &sys::rd_kafka_topic_partition_t| {
            let metadata = super::slice(e.metadata.cast::<u8>().cast_const(), e.metadata_size).unwrap_or_default();
            let split = SplitId::new(text(e.topic), e.partition);
            (Committed { split, position: e.offset, metadata: metadata.to_vec() }, e.err.into())
        };
        super::elements(list).iter().map(one).collect()
    }
}
