//! What nodes of several connectors must leave to each other; what those of one must, the connector knows.

use weir_connector::{Error, Found};

use crate::plan::SourcePlan;

/// What cannot be read again leaves no position beside those that are committed.
pub(super) fn check(sources: &[SourcePlan], found: &mut Found) {
    for (index, one) in sources.iter().enumerate() {
        for other in sources.iter().skip(index + 1) {
            let (once, committed) = match (one.reads.abilities(), other.reads.abilities()) {
                (a, b) if !a.replays && b.commits_positions => (one, other),
                (a, b) if a.commits_positions && !b.replays => (other, one),
                _ => continue,
            };
            let [once, committed] = [once.reads.noun(), committed.reads.noun()];
            let reason = format!(
                "what comes from {once} keeps no state for a later start, and the positions of {committed} need one; \
                 write {once} by a job of its own to where it can be read again"
            );
            found.add(Error::conflict(format!("sources.{}", other.name), format!("sources.{}", one.name), reason));
        }
    }
}
