//! What a state directory and its marker say of a job that is not there: neither its pipeline nor its plugins are known.
//! Decides from what was read back; touches nothing.

use std::collections::HashSet;

use weir_core::ports::Committed;
use weir_core::{Delivery, Digest, JobName, RecordId, ShardId};

use crate::manifest::{Manifest, plans};
use crate::place::{self, Since, is_marked};
use crate::resolve::{Facts, MarkerPlace, Refusal, Start};

/// Where the job kept its marker at its last epoch. Of an empty log nothing is known, and a job is taken to have committed positions.
pub fn marker_place(log: &[(Manifest, Digest)]) -> MarkerPlace {
    log.last().map_or(MarkerPlace::Splits, |(last, _)| last.plan.marker.clone())
}

/// Whether a marker decides with the directory: a job with a marker must not lose only one of both.
pub fn has_marker(log: &[(Manifest, Digest)]) -> bool {
    marker_place(log) != MarkerPlace::Nowhere
}

/// How the job would start, by the rules of a start, with the pipeline that it had. `applied` is what the store holds.
pub fn start(
    job: &JobName,
    shard: ShardId,
    log: &[(Manifest, Digest)],
    committed: &[Committed],
    applied: Option<&RecordId>,
) -> Result<Start, Refusal> {
    let place = marker_place(log);
    let read: HashSet<_> = plans(log).iter().flat_map(|plan| plan.marked().map(|split| &split.stream)).collect();
    let is_read = |c: &Committed| match &place {
        _ if log.is_empty() => true,
        MarkerPlace::Splits => read.contains(&c.split.stream),
        MarkerPlace::Fixed(split) => c.split == *split,
        MarkerPlace::Nowhere => false,
    };
    // What the job does not read, it does not ask for, unless a marker of its own stands there.
    let committed: Vec<Committed> =
        committed.iter().filter(|c| is_read(c) || is_marked(c, job, shard)).cloned().collect();
    // It is taken to start as it last ran.
    let delivery = log.last().map_or(Delivery::ExactlyOnce, |(last, _)| last.delivery);
    let (committed, place, stateless) = (&committed[..], &place, is_stateless(log));
    let facts = Facts { job, shard, log, committed, place, delivery, stateless };
    place::start(facts, &Since { certain: certain(log, applied).is_some(), dropped: &|_, _| false })
}

/// Whether no operator has a table, and no source a position that only the log knows. Of an empty log nothing is known,
/// and a job is taken to keep state.
fn is_stateless(log: &[(Manifest, Digest)]) -> bool {
    log.last().is_some_and(|(last, _)| {
        last.plan.operators.iter().all(|operator| operator.tables.is_empty())
            && last.plan.sources.iter().all(|s| s.marked)
    })
}

/// The record that certainly holds without a look at the marker: the last one, if the store has applied it (it applies only
/// what was acknowledged), or if it was not written exactly-once (then it holds by itself). A clean stop leaves the
/// store so.
pub fn certain(log: &[(Manifest, Digest)], applied: Option<&RecordId>) -> Option<usize> {
    let (last, digest) = log.last()?;
    let is_applied = applied.is_some_and(|applied| applied.digest == *digest);
    (is_applied || last.delivery != Delivery::ExactlyOnce).then(|| log.len() - 1)
}

#[cfg(test)]
mod tests;
