//! What topics are, asked of any broker or of one in particular: rdkafka does not know their ids.

use std::ffi::{CString, c_char};
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::request::{Event, GRACE, Request};
use super::{Each, text};
use crate::client::Consumer;

/// What the broker says about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicDescription {
    /// Its id, in base64. `None` where the broker has none (before Kafka 2.8).
    pub id: Option<String>,
    /// Its partitions.
    pub partitions: Vec<i32>,
}

/// A question on its way.
pub(crate) struct Asked<'a> {
    request: Request<'a>,
    until: Instant,
}

/// Asks `broker`, or whichever the client likes, what topics are, and does not wait.
pub(crate) fn ask<'a>(
    consumer: &'a Consumer,
    broker: Option<i32>,
    names: &[String],
    timeout: Duration,
) -> Result<Asked<'a>, RDKafkaErrorCode> {
    let names: Vec<CString> = names
        .iter()
        .map(|n| CString::new(n.as_str()))
        .collect::<Result<_, _>>()
        .map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|n| n.as_ptr()).collect();
    let request = Request::new(consumer.client(), sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout);
    if let Some(broker) = broker {
        request.set_broker(broker);
    }
    // SAFETY: names and pointers outlive the call, which copies them.
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        sys::rd_kafka_DescribeTopics(request.client, topics, request.options, request.queue);
        sys::rd_kafka_TopicCollection_destroy(topics);
    }
    Ok(Asked { request, until: weir_machine::now() + timeout + GRACE })
}

impl Asked<'_> {
    /// Waits for the answer as long as `is_wanted`; each topic has its own error, or `NoError`.
    pub(crate) fn answer(
        self,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Each<(String, TopicDescription)>, RDKafkaErrorCode> {
        Ok(described(&self.request.answer_by(self.until, is_wanted)?))
    }
}

fn described(event: &Event) -> Each<(String, TopicDescription)> {
    let mut count = 0;
    // SAFETY: the result lives as long as the event; the type of the event is that of the request.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.0);
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        (0..count).map(|i| describe_topic(*topics.add(i))).collect()
    }
}

/// # Safety
/// `topic` must be a live result.
unsafe fn describe_topic(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> ((String, TopicDescription), RDKafkaErrorCode) {
    let mut count = 0;
    // SAFETY: all parts live as long as the result; a topic with an error has no partitions and a zero id.
    unsafe {
        let name = text(sys::rd_kafka_TopicDescription_name(topic));
        let code = sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic)).into();
        let list = sys::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let mut partitions: Vec<i32> =
            (0..count).map(|i| sys::rd_kafka_TopicPartitionInfo_partition(*list.add(i))).collect();
        partitions.sort_unstable();
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let is_zero = id.is_null()
            || (sys::rd_kafka_Uuid_most_significant_bits(id) == 0
                && sys::rd_kafka_Uuid_least_significant_bits(id) == 0);
        let id = (!is_zero).then(|| text(sys::rd_kafka_Uuid_base64str(id)));
        ((name, TopicDescription { id, partitions }), code)
    }
}
