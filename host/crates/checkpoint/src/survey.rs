//! What a state directory and its group say of a job that is not there: neither its pipeline nor its plugins are known.
//! Decides from what was read back; touches nothing.

use weir_core::ports::Committed;
use weir_core::{Delivery, Digest, Epoch, JobName, ShardId};

use crate::manifest::Manifest;
use crate::resolve::{Facts, MarkerPlace, Refusal, Start, resolve};

/// Where the job keeps its marker. A split with an identity is a Kafka partition. Without one it is a file, a generator
/// or of an old Kafka: then what is committed tells.
pub fn marker_place(log: &[(Manifest, Digest)], committed: &[Committed]) -> MarkerPlace {
    let Some((last, _)) = log.last() else { return MarkerPlace::Splits };
    let is_known = |c: &Committed| last.splits.iter().any(|s| s.split.topic == c.split.topic);
    if last.splits.is_empty() || last.splits.iter().any(|s| s.identity.is_some()) || committed.iter().any(is_known) {
        return MarkerPlace::Splits;
    }
    match committed.first() {
        Some(elsewhere) => MarkerPlace::Fixed(elsewhere.split.clone()),
        // Exactly once needs Kafka at one end; at least once may do without.
        None if last.delivery == Delivery::ExactlyOnce => MarkerPlace::Splits,
        None => MarkerPlace::Nowhere,
    }
}

/// Whether Kafka decides with the directory: a job with a marker must not lose only one of both.
pub fn has_marker(log: &[(Manifest, Digest)]) -> bool {
    marker_place(log, &[]) != MarkerPlace::Nowhere
}

/// How the job would start, by the rules of [`resolve`].
pub fn start(
    job: &JobName,
    shard: ShardId,
    log: &[(Manifest, Digest)],
    committed: &[Committed],
) -> Result<Start, Refusal> {
    let place = marker_place(log, committed);
    let is_read = |c: &&Committed| {
        log.is_empty() || log.iter().any(|(m, _)| m.splits.iter().any(|s| s.split.topic == c.split.topic))
    };
    let committed: Vec<Committed> = match &place {
        // What the job does not read, it does not ask for.
        MarkerPlace::Splits => committed.iter().filter(is_read).cloned().collect(),
        MarkerPlace::Fixed(split) => committed.iter().filter(|c| c.split == *split).cloned().collect(),
        MarkerPlace::Nowhere => Vec::new(),
    };
    resolve(Facts { job, shard, log, committed: &committed, place: &place, stateless: is_stateless(log) })
}

/// Whether no operator has a table. Of an empty log nothing is known, and a job is taken to keep state.
fn is_stateless(log: &[(Manifest, Digest)]) -> bool {
    log.last().is_some_and(|(last, _)| last.operators.iter().all(|operator| operator.tables.is_empty()))
}

/// The record that certainly holds without a look at Kafka: the last one, if the store has applied it (it applies only
/// what was acknowledged), or if it was not written exactly-once (then it holds by itself). A clean stop leaves the
/// store so.
pub fn certain(log: &[(Manifest, Digest)], applied: Epoch) -> Option<usize> {
    let (last, _) = log.last()?;
    (last.epoch == applied || last.delivery != Delivery::ExactlyOnce).then(|| log.len() - 1)
}

#[cfg(test)]
mod tests;
