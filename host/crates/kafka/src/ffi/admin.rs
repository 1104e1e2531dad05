//! What is asked about topics in general: their settings, and offsets of many partitions with one call.

use std::collections::BTreeMap;
use std::ffi::{CString, c_int};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use weir_core::SplitId;

use super::request::Request;
use super::{Each, text};
use crate::client::Consumer;

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
        .map(|(s, _)| CString::new(&*s.stream))
        .collect::<Result<_, _>>()
        .map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    // SAFETY: the list is ours; the call copies it; names outlive the call.
    let event = unsafe {
        let list = sys::rd_kafka_topic_partition_list_new(c_int::try_from(splits.len()).unwrap_or(c_int::MAX));
        for ((split, which), name) in splits.iter().zip(&names) {
            let entry = sys::rd_kafka_topic_partition_list_add(list, name.as_ptr(), split.number);
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
