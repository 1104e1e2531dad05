//! Which delivery sources and sinks allow, and which one is meant when none is named.

use weir_connector::{Error, Registry};
use weir_core::Delivery;

use crate::plan::SourcePlan;

/// Checks what was asked for; chooses the best that can be kept where nothing was. `is_committed`: something outside commits
/// for the job.
pub(crate) fn choose(
    asked: Option<Delivery>,
    sources: &[SourcePlan],
    is_committed: bool,
    registry: Registry,
) -> Result<Delivery, Error> {
    match (asked, obstacle(sources, is_committed, registry)) {
        (Some(Delivery::ExactlyOnce), Some(reason)) => {
            Err(Error::invalid("delivery", format!("exactly-once is impossible here: {reason}; use at-least-once")))
        }
        (Some(asked), _) => Ok(asked),
        (None, Some(_)) => Ok(Delivery::AtLeastOnce),
        (None, None) => Ok(Delivery::ExactlyOnce),
    }
}

/// Why exactly-once cannot be kept.
fn obstacle(sources: &[SourcePlan], is_committed: bool, registry: Registry) -> Option<String> {
    if let Some(source) = sources.iter().find(|source| !source.reads.abilities().replays) {
        return Some(format!("{} cannot be read again after a failure", source.reads.noun()));
    }
    let ends = registry.transactional();
    (!is_committed)
        .then(|| format!("neither end is {ends}, so there is no transaction that output and position could share"))
}
