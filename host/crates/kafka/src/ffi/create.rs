//! Creating topics: rdkafka drops what the broker says about a topic that it refuses.

use std::ffi::{CString, c_char, c_int};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::request::Request;
use super::{Each, text};
use crate::admin::NewTopic;
use crate::client::Consumer;

/// Where librdkafka puts why a topic cannot even be asked for.
const ERROR_BYTES: usize = 256;

/// Creates `topics`; each has what the broker said, and its own error, or `NoError`. One that cannot even be asked for has
/// what librdkafka said; then none is.
pub(crate) fn create(
    consumer: &Consumer,
    topics: &[(&String, &NewTopic)],
    timeout: Duration,
) -> Result<Each<(String, Option<String>)>, RDKafkaErrorCode> {
    let mut new = Asked(Vec::new());
    for (name, topic) in topics {
        if let Err((said, code)) = new.add(name, topic) {
            return Ok(vec![(((*name).clone(), said), code)]);
        }
    }
    let request = Request::new(consumer.client(), sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout);
    // SAFETY: the topics are ours and alive; the call copies them.
    let event = unsafe {
        sys::rd_kafka_CreateTopics(request.client, new.0.as_mut_ptr(), new.0.len(), request.options, request.queue);
        request.answer(timeout)?
    };
    let mut count = 0;
    // SAFETY: the result lives as long as the event; the type of the event is that of the request.
    unsafe {
        let result = sys::rd_kafka_event_CreateTopics_result(event.0);
        let answers = sys::rd_kafka_CreateTopics_result_topics(result, &mut count);
        let one = |i| {
            let answer = *answers.add(i);
            let said = sys::rd_kafka_topic_result_error_string(answer);
            let said = (!said.is_null()).then(|| text(said));
            ((text(sys::rd_kafka_topic_result_name(answer)), said), sys::rd_kafka_topic_result_error(answer).into())
        };
        Ok((0..count).map(one).collect())
    }
}

/// Why a topic cannot be asked for: in librdkafka's words, if it has some.
type Refusal = (Option<String>, RDKafkaErrorCode);

/// Topics to be asked for.
struct Asked(Vec<*mut sys::rd_kafka_NewTopic_t>);

impl Asked {
    fn add(&mut self, name: &str, topic: &NewTopic) -> Result<(), Refusal> {
        let c_string = |text: &str, code| CString::new(text).map_err(|_| (None, code));
        let name = c_string(name, RDKafkaErrorCode::InvalidTopic)?;
        let (partitions, replication): (c_int, c_int) =
            (topic.partitions.unwrap_or(1), topic.replication.unwrap_or(-1));
        let mut error: [c_char; ERROR_BYTES] = [0; ERROR_BYTES];
        // SAFETY: name and buffer outlive the call; a null result is handled.
        let new = unsafe {
            sys::rd_kafka_NewTopic_new(name.as_ptr(), partitions, replication, error.as_mut_ptr(), error.len())
        };
        if new.is_null() {
            // SAFETY: librdkafka ends what it writes there; before, there are zeros.
            let said = unsafe { text(error.as_ptr()) };
            return Err((Some(said), RDKafkaErrorCode::InvalidPartitions));
        }
        self.0.push(new);
        for (key, value) in &topic.settings {
            let (key, value) =
                (c_string(key, RDKafkaErrorCode::InvalidConfig)?, c_string(value, RDKafkaErrorCode::InvalidConfig)?);
            // SAFETY: the topic is alive; key and value are copied.
            unsafe { sys::rd_kafka_NewTopic_set_config(new, key.as_ptr(), value.as_ptr()) };
        }
        Ok(())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        for &topic in &self.0 {
            // SAFETY: made by `add`, destroyed once.
            unsafe { sys::rd_kafka_NewTopic_destroy(topic) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_cannot_be_asked_for_says_why() {
        let mut asked = Asked(Vec::new());
        let topic = NewTopic { replication: Some(20_000), ..NewTopic::of(1) };
        let (said, code) = asked.add("t", &topic).unwrap_err();
        assert!(said.clone().unwrap_or_default().contains("replication"), "{said:?}");
        assert_eq!(code, RDKafkaErrorCode::InvalidPartitions);
        assert_eq!(asked.add("a\0b", &NewTopic::of(1)), Err((None, RDKafkaErrorCode::InvalidTopic)));
        assert_eq!(asked.add("t", &NewTopic::of(1)), Ok(()));
    }
}
