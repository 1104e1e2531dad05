//! Where to go on reading, with the term in which the record before was written: the client then asks the partition's
//! leader whether its log still holds that (KIP-320). It does so after a seek only, not where partitions are assigned,
//! and rdkafka has no word for terms.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{IsError as _, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::{elements, milliseconds};
use crate::client::Consumer;

/// How long to wait for a partition that was assigned and is not begun yet.
const BEGIN_EVERY: Duration = Duration::from_millis(5);

/// Goes on in every partition of `list` (which are assigned) at its offset, if the log holds what was written there in
/// the term of the same place; what the log says comes in place of a message. Nothing fetched before is given out any more.
pub(crate) fn seek_in_terms(
    consumer: &Consumer,
    list: &TopicPartitionList,
    terms: &[i32],
    wait: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let native = list.ptr();
    let until = weir_machine::now() + wait;
    // SAFETY: client and list are alive; elements are changed here and by the call alone.
    unsafe {
        for (at, term) in terms.iter().enumerate().take(elements(native).len()) {
            sys::rd_kafka_topic_partition_set_leader_epoch((*native).elems.add(at), *term);
        }
        loop {
            let left = until.saturating_duration_since(weir_machine::now());
            let asked =
                sys::rd_kafka_seek_partitions(consumer.client().native_ptr(), native, milliseconds(left).max(1));
            // Null is no error, and may be destroyed.
            let code: RDKafkaErrorCode = sys::rd_kafka_error_code(asked).into();
            sys::rd_kafka_error_destroy(asked);
            if code != RDKafkaErrorCode::NoError {
                return Err(code);
            }
            match elements(native).iter().map(|e| e.err).find(|code| code.is_error()) {
                None => return Ok(()),
                // Not begun yet.
                Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR__STATE) if !left.is_zero() => {
                    weir_machine::sleep(BEGIN_EVERY);
                }
                Some(code) => return Err(code.into()),
            }
        }
    }
}
