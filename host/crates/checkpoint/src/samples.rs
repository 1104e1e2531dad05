//! Manifests for the tests of this crate.

use weir_core::ports::TableKind;
use weir_core::{
    AttemptId, Consent, Delivery, Digest, Epoch, JobName, KeySpec, ShardId, SourceName, SplitId, SplitState,
};
use weir_plan::{Edge, Graph, Node, NodeId, OperatorNode, Ship};

use crate::course::Wanted;
use crate::inherit::{Declared, DeclaredTable};
use crate::manifest::{Manifest, Plan, PluginEntry, SourceEntry, reached};
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

/// A pipeline whose operator `count` has these tables and so many tasks.
pub(crate) fn wanted(parallelism: u16, tables: &[&str], marker: MarkerPlace) -> Wanted {
    let (inputs, outputs) = Default::default();
    let count = OperatorNode { parallelism, key: KeySpec::Key, stateful: !tables.is_empty(), inputs, outputs };
    let nodes = vec![Node::source("in"), Node::operator("count", count), Node::sink("out")];
    let edges = vec![
        Edge::new((NodeId(0), 0), (NodeId(1), 0), Ship::ByKey(KeySpec::Key)),
        Edge::new((NodeId(1), 0), (NodeId(2), 0), Ship::RoundRobin),
    ];
    let table = |name: &&str| DeclaredTable {
        name: (*name).into(),
        kind: TableKind::Value,
        schema: String::new(),
        expires: None,
    };
    let plugin =
        PluginEntry { name: "count".into(), version: "1".into(), digest: Digest("00".repeat(32)), took_over: None };
    let tables = tables.iter().map(table).collect();
    Wanted {
        graph: Graph::new(nodes, edges).unwrap(),
        marker,
        operators: vec![Declared { name: "count".into(), key: KeySpec::Key, plugin, tables }],
        consent: Consent::default(),
    }
}
