//! From a spec to a plan, or all that stands against it. Every default is filled in below here and nowhere else.

/// Operators.
mod operator;
/// Epochs, state, API.
mod settings;
/// Sinks.
mod sink;
/// Sources.
mod source;
/// What nodes must leave to each other.
mod together;

use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_connector::{Error, Found};
use weir_core::JobName;

pub use operator::windows_run;

use crate::cluster::Clusters;
use crate::delivery;
use crate::mistakes::{Mistakes, settle};
use crate::name::default_name;
use crate::names::{self, Reads};
use crate::plan::{OperatorPlan, Plan, SinkKind, SinkPlan, SourceKind, SourcePlan, StatePlan};
use crate::spec::Spec;

/// Checks `spec` from end to end.
pub fn validate(spec: &Spec) -> Result<Plan, Mistakes> {
    let mut found = spec.found.clone();
    let plan = plan(spec, &mut found);
    settle(found, plan, &spec.places)
}

/// `None` only where something was found.
fn plan(spec: &Spec, found: &mut Found) -> Option<Plan> {
    let reads = names::resolve(spec, found);
    let mut clusters = Clusters::new(&spec.kafka, found);
    let mut nodes = nodes(spec, reads, &mut clusters, found);
    together::check(&nodes.sources, &nodes.sinks, found);
    for source in &mut nodes.sources {
        if let SourceKind::Kafka { properties, .. } = &mut source.kind {
            clusters.complete(properties);
        }
    }
    let epochs = settings::epochs(spec, found);
    let api = found.keep(settings::api(spec.api.as_deref()));
    let restart = spec.restart.plan(found);
    let job = found.keep(job(spec, &nodes));
    let memory_bytes = found.keep(settings::state_memory(spec));
    let state_dir = job.as_ref().map(|job| settings::state_dir(spec, job, &nodes));
    // A node that is wrong may be the one that is Kafka.
    let Nodes { sources, operators, sinks } = nodes;
    let is_whole = (sources.len(), sinks.len()) == (spec.sources.len(), spec.sinks.len());
    let kafka = if is_whole { found.keep(clusters.finish()) } else { None };
    let delivery = if is_whole { found.keep(delivery::choose(spec.delivery, &sources, &sinks)) } else { None };
    Some(Plan {
        job: job?,
        delivery: delivery?,
        sources,
        operators,
        sinks,
        epochs: epochs?,
        state: StatePlan { dir: state_dir?, memory_bytes: memory_bytes? },
        api: api?,
        create_topics: spec.kafka.create_topics.unwrap_or(false),
        restart: restart?,
        kafka: kafka?,
        places: spec.places.clone(),
    })
}

fn job(spec: &Spec, nodes: &Nodes) -> Result<JobName, Error> {
    match &spec.job {
        Some(name) => JobName::new(name.as_str()).map_err(|error| Error::invalid("job", error.to_string())),
        None => Ok(default_name(&nodes.sources, &nodes.operators, &nodes.sinks)),
    }
}

/// The nodes that are right.
struct Nodes {
    sources: Vec<SourcePlan>,
    operators: Vec<OperatorPlan>,
    sinks: Vec<SinkPlan>,
}

impl Nodes {
    fn has_kafka(&self) -> bool {
        self.sources.iter().any(|source| matches!(source.kind, SourceKind::Kafka { .. }))
            || self.sinks.iter().any(|sink| matches!(sink.kind, SinkKind::Kafka { .. }))
    }
}

fn nodes(spec: &Spec, reads: Reads<'_>, clusters: &mut Clusters<'_>, found: &mut Found) -> Nodes {
    let sources = spec.sources.iter().filter_map(|(name, spec)| source::plan(name, spec, clusters, found)).collect();
    let operators = reads.operators.into_iter().filter_map(|(name, inputs)| {
        let spec = spec.operators.get(name)?;
        operator::plan(name, spec, inputs, found)
    });
    let operators = operators.collect();
    let sinks = reads.sinks.into_iter().filter_map(|(name, inputs)| {
        let spec = spec.sinks.get(name)?;
        sink::plan(name, spec, inputs, clusters, found)
    });
    Nodes { sources, operators, sinks: sinks.collect() }
}

fn exactly_one(at: &str, kinds: &[(&str, bool)]) -> Result<(), Error> {
    let given: Vec<&str> = kinds.iter().filter(|(_, given)| *given).map(|(kind, _)| *kind).collect();
    match given.as_slice() {
        [_] => Ok(()),
        [] => {
            let known: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
            Err(Error::missing(at, format!("give it one of {}", known.join(", "))))
        }
        [one, other, ..] => {
            Err(Error::conflict(format!("{at}.{one}"), format!("{at}.{other}"), "only one of them can be meant"))
        }
    }
}

fn path(at: &str, path: &Path) -> Result<PathBuf, Error> {
    match path.as_os_str().is_empty() {
        true => Err(Error::missing(at, "write the path of a file")),
        false => Ok(path.to_owned()),
    }
}

fn positive(at: &str, span: Duration) -> Result<Duration, Error> {
    match span.is_zero() {
        true => Err(Error::invalid(at, "it must be longer than nothing")),
        false => Ok(span),
    }
}

#[cfg(test)]
mod tests;
