//! Which delivery sources and sinks allow, and which one is meant when none is named.

use weir_connector::Error;
use weir_core::Delivery;

use crate::plan::{SinkKind, SinkPlan, SourceKind, SourcePlan};

/// Checks what was asked for; chooses the best that can be kept where nothing was.
pub(crate) fn choose(asked: Option<Delivery>, sources: &[SourcePlan], sinks: &[SinkPlan]) -> Result<Delivery, Error> {
    match (asked, obstacle(sources, sinks)) {
        (Some(Delivery::ExactlyOnce), Some(reason)) => {
            Err(Error::invalid("delivery", format!("exactly-once is impossible here: {reason}; use at-least-once")))
        }
        (Some(asked), _) => Ok(asked),
        (None, Some(_)) => Ok(Delivery::AtLeastOnce),
        (None, None) => Ok(Delivery::ExactlyOnce),
    }
}

/// Why exactly-once cannot be kept.
fn obstacle(sources: &[SourcePlan], sinks: &[SinkPlan]) -> Option<&'static str> {
    let from_kafka = sources.iter().any(|source| matches!(source.kind, SourceKind::Kafka { .. }));
    let to_kafka = sinks.iter().any(|sink| matches!(sink.kind, SinkKind::Kafka { .. }));
    if sources.iter().any(|source| !source.kind.is_replayable()) {
        Some("stdin cannot be read again after a failure")
    } else if !from_kafka && !to_kafka {
        Some("neither end is Kafka, so there is no transaction that output and position could share")
    } else {
        None
    }
}
