//! Manifests for the tests of this crate.

use weir_core::{AttemptId, Delivery, Digest, Epoch, JobName, ShardId, SourceName, SplitId, SplitState};
use weir_plan::Graph;

use crate::manifest::{Manifest, Plan, SourceEntry, reached};
use crate::resolve::MarkerPlace;
use crate::times::Times;

/// The job of all of them.
pub(crate) fn job() -> JobName {
    JobName::new("orders").unwrap()
}

/// A split at a position.
pub(crate) fn split(topic: &str, partition: i32, position: i64) -> SplitState {
    SplitState { split: SplitId::new(topic, partition), position, end: None, identity: None, term: None }
}

/// A record without changes, of one source that reads `splits`; it follows the last of `chain`.
pub(crate) fn follow(
    chain: &mut Vec<(Manifest, Digest)>,
    epoch: u64,
    splits: Vec<SplitState>,
    (marker, delivery): (MarkerPlace, Delivery),
) {
    let marked = marker == MarkerPlace::Splits;
    let sources = [SourceEntry { name: SourceName::new("in"), marked, start: None, splits }];
    let manifest = Manifest {
        job: job(),
        shard: ShardId(0),
        epoch: Epoch(epoch),
        attempt: AttemptId("a1".into()),
        first: chain.is_empty() && epoch == 1,
        delivery,
        reached: reached(&sources),
        plan: Plan::of(Graph::default(), &sources, marker, (Vec::new(), 0)).encode(),
        times: Times::default(),
        previous: chain.last().map(|(_, digest)| digest.clone()),
        delta_crc32c: 0,
        delta_entries: 0,
    };
    let (_, digest) = manifest.encode();
    chain.push((manifest, digest));
}
