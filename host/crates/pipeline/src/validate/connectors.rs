//! Every node to its connector, and what becomes of it there.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_connector::{
    Cluster, Connector, Error, Found, Node, Nodes, PlannedSink, PlannedSource, Registry, Side, Written, exactly_one,
};

use super::unplanned::Unplanned;
use crate::letters::Letters;
use crate::spec::Spec;

/// What connectors made of their nodes, by name; a node that is wrong is not among them.
#[derive(Default)]
pub(super) struct Connected<'a> {
    pub sources: BTreeMap<&'a str, Arc<dyn PlannedSource>>,
    pub sinks: BTreeMap<&'a str, Arc<dyn PlannedSink>>,
    /// The sinks of dead letters, by operator.
    pub letters: BTreeMap<&'a str, Arc<dyn PlannedSink>>,
    pub cluster: Option<Arc<dyn Cluster>>,
}

/// A node that says of one connector that it is of it.
struct Chosen<'a> {
    name: &'a str,
    at: String,
    written: &'a Written,
}

pub(super) fn plan<'a>(
    spec: &'a Spec,
    letters: &'a Letters<'a>,
    registry: Registry,
    found: &mut Found,
) -> Connected<'a> {
    let sources = spec.sources.iter().map(|(name, source)| (name, &source.reads));
    let sources = chosen(sources, ("sources", Side::Source), registry, found);
    let sinks = spec.sinks.iter().map(|(name, sink)| (name, &sink.writes));
    let sinks = chosen(sinks, ("sinks", Side::Sink), registry, found);
    let is_whole = (sources.len(), sinks.len()) == (spec.sources.len(), spec.sinks.len()) && letters.is_whole;
    let letters: Vec<Chosen<'_>> = letters
        .all
        .iter()
        .map(|letter| Chosen { name: letter.operator, at: letter.at(), written: &letter.written })
        .collect();
    let mut connected = Connected::default();
    for connector in registry.rows() {
        let table = connector.shared.as_ref().and_then(|shared| spec.shared.get(shared.key));
        let (sources, sinks) = (own(&sources, connector), own(&sinks, connector));
        let letters = own(&letters, connector);
        let nodes = Nodes {
            shared: table.map(|table| &**table),
            sources: sources.iter().map(|chosen| chosen.node()).collect(),
            sinks: sinks.iter().chain(&letters).map(|chosen| chosen.node()).collect(),
            is_whole,
        };
        let part = (connector.plan)(&nodes, found);
        let planned = sources.iter().zip(part.sources);
        connected.sources.extend(planned.filter_map(|(chosen, planned)| Some((chosen.name, planned?))));
        let mut planned = part.sinks.into_iter();
        let own = sinks.iter().zip(planned.by_ref());
        connected.sinks.extend(own.filter_map(|(chosen, planned)| Some((chosen.name, planned?))));
        let own = letters.iter().zip(planned);
        connected.letters.extend(own.filter_map(|(chosen, planned)| Some((chosen.name, planned?))));
        connected.join(part.cluster, found);
    }
    connected
}

impl Connected<'_> {
    /// What its connector made of a source; where that is nothing, it was found wrong.
    pub(super) fn source(&self, name: &str) -> Arc<dyn PlannedSource> {
        self.sources.get(name).cloned().unwrap_or_else(|| Arc::new(Unplanned))
    }

    /// What its connector made of a sink; where that is nothing, it was found wrong.
    pub(super) fn sink(&self, name: &str) -> Arc<dyn PlannedSink> {
        self.sinks.get(name).cloned().unwrap_or_else(|| Arc::new(Unplanned))
    }

    fn join(&mut self, cluster: Option<Arc<dyn Cluster>>, found: &mut Found) {
        if let (Some(one), Some(other)) = (&self.cluster, &cluster) {
            let reason = "a job commits its output and its positions in one place";
            found.add(Error::conflict(one.key(), other.key(), reason));
        }
        self.cluster = cluster.or(self.cluster.take());
    }
}

/// The nodes that say of exactly one connector that they are of it.
fn chosen<'a>(
    nodes: impl Iterator<Item = (&'a String, &'a Vec<Written>)>,
    (section, side): (&str, Side),
    registry: Registry,
    found: &mut Found,
) -> Vec<Chosen<'a>> {
    let chosen = nodes.filter_map(|(name, written)| {
        let at = format!("{section}.{name}");
        let given = |key| written.iter().any(|written| written.key == key);
        let keys: Vec<(&str, bool)> = registry.kinds(side).map(|(_, kind)| (kind.key, given(kind.key))).collect();
        found.keep(exactly_one(&at, &keys))?;
        Some(Chosen { name, at, written: written.first()? })
    });
    chosen.collect()
}

fn own<'c, 'a>(chosen: &'c [Chosen<'a>], connector: &'static Connector) -> Vec<&'c Chosen<'a>> {
    chosen.iter().filter(|chosen| std::ptr::eq(chosen.written.connector, connector)).collect()
}

impl Chosen<'_> {
    fn node(&self) -> Node<'_> {
        Node { at: self.at.clone(), settings: &*self.written.settings }
    }
}
