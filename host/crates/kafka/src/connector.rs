//! `kafka:TOPIC`: everything that the rest has to know of Kafka before anything is opened.

/// The one cluster of a job.
mod cluster;
/// What its nodes say of it.
mod clusters;
/// What is found out about it beside a job.
mod lookout;
/// A sink.
mod sink;
/// A source.
mod source;
/// What a user writes.
mod spec;

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_connector::{Connector, Error, Found, Kind, Nodes, Part, PlannedSink, PlannedSource, Scheme, Shared, table};
use weir_core::Secret;

pub use cluster::Cluster;
use clusters::Clusters;
use sink::PlannedTopic;
use source::PlannedTopics;
pub use spec::{ClusterSpec, Given};
use spec::{SinkSpec, SourceSpec};

/// The row of the registry.
pub(crate) static CONNECTOR: Connector = Connector {
    title: "Kafka",
    scheme: Scheme::Implied("kafka"),
    source: Ok(Kind {
        key: "kafka",
        usage: "TOPIC, kafka:TOPIC, kafka:/REGEX/",
        address: spec::source_address,
        table: table::<SourceSpec>,
    }),
    sink: Ok(Kind { key: "kafka", usage: "TOPIC, kafka:TOPIC", address: spec::sink_address, table: table::<SinkSpec> }),
    shared: Some(Shared { key: ClusterSpec::KEY, table: table::<ClusterSpec>, lay_over: spec::lay_over }),
    transactional: true,
    plan,
};

/// librdkafka properties, by its own names.
type Map = BTreeMap<String, Secret>;

fn plan(nodes: &Nodes<'_>, found: &mut Found) -> Part {
    let Planned { sources, sinks, cluster } = planned(nodes, found);
    Part {
        sources: sources.into_iter().map(|source| Some(Arc::new(source?) as Arc<dyn PlannedSource>)).collect(),
        sinks: sinks.into_iter().map(|sink| Some(Arc::new(sink?) as Arc<dyn PlannedSink>)).collect(),
        cluster: cluster.map(|cluster| Arc::new(cluster) as Arc<dyn weir_connector::Cluster>),
    }
}

struct Planned {
    sources: Vec<Option<PlannedTopics>>,
    sinks: Vec<Option<PlannedTopic>>,
    /// `None` where no node is of Kafka.
    cluster: Option<Cluster>,
}

fn planned(nodes: &Nodes<'_>, found: &mut Found) -> Planned {
    let shared = nodes.shared.and_then(|shared| shared.of::<ClusterSpec>()).cloned().unwrap_or_default();
    let mut clusters = Clusters::new(&shared, found);
    let sources = nodes.sources.iter().map(|node| source::plan(&node.at, node.written(), &mut clusters, found));
    let mut sources: Vec<Option<PlannedTopics>> = sources.collect();
    let sinks = nodes.sinks.iter().map(|node| sink::plan(&node.at, node.written(), &mut clusters, found));
    let sinks: Vec<Option<PlannedTopic>> = sinks.collect();
    check_apart(nodes, &sources, &sinks, found);
    let is_unused = nodes.sources.is_empty() && nodes.sinks.is_empty();
    if is_unused && nodes.is_whole && shared.brokers.is_some() {
        // A job that was meant for Kafka must not quietly run without it.
        let reason = "neither source nor sink is a Kafka topic; name a topic, or leave the brokers out";
        found.add(Error::conflict("kafka.brokers", "source and sinks", reason));
    }
    let (brokers, properties) = clusters.agreed();
    sources.iter_mut().flatten().for_each(|source| source.join(&brokers, &clusters));
    let cluster = Cluster {
        brokers,
        properties,
        creates: shared.create_topics.unwrap_or(false),
        read: sources.iter().flatten().flat_map(PlannedTopics::named).collect(),
        sinks: sinks.iter().flatten().cloned().collect(),
    };
    Planned { sources, sinks, cluster: (!is_unused).then_some(cluster) }
}

/// Nothing may be written where it is read, nor be read twice under one position, nor be made in two ways.
fn check_apart(
    nodes: &Nodes<'_>,
    sources: &[Option<PlannedTopics>],
    sinks: &[Option<PlannedTopic>],
    found: &mut Found,
) {
    let sources = nodes.sources.iter().zip(sources).filter_map(|(node, source)| Some((&node.at, source.as_ref()?)));
    let sources: Vec<(&String, &PlannedTopics)> = sources.collect();
    let sinks = nodes.sinks.iter().zip(sinks).filter_map(|(node, sink)| Some((&node.at, sink.as_ref()?)));
    let sinks: Vec<(&String, &PlannedTopic)> = sinks.collect();
    for (index, (at, source)) in sources.iter().enumerate() {
        for (other_at, other) in sources.iter().take(index) {
            if let Some(topic) = other.shared(source) {
                let reason = format!(
                    "both read {topic}, and a job has one position in each of its partitions; keep one of the two, and \
                     name it in the inputs of everything that reads it"
                );
                found.add(Error::conflict(*at, *other_at, reason));
            }
        }
    }
    for (index, (at, sink)) in sinks.iter().enumerate() {
        for (source_at, _) in sources.iter().filter(|(_, source)| sink.topics().any(|topic| source.select(topic))) {
            found.add(Error::conflict(*at, *source_at, "the job would read its own output, for ever"));
        }
        let mut before = sinks.iter().take(index);
        if let Some((other_at, _)) = before.find(|(_, other)| other.makes_otherwise(sink)) {
            found.add(Error::conflict(*at, *other_at, "they make the same topic in two ways"));
        }
    }
}

#[cfg(test)]
mod tests;
