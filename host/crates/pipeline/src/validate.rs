//! From a spec to a plan, or all that stands against it. Every default is filled in below here and nowhere else.

/// Which connector each node is of.
mod connectors;
/// Operators.
mod operator;
/// Epochs, state, API.
mod settings;
/// Sources.
mod source;
/// What nodes must leave to each other.
mod together;

use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_connector::{Error, Found, Registry};
use weir_core::JobName;

use crate::delivery;
use crate::mistakes::{Mistakes, settle};
use crate::name::default_name;
use crate::names::{self, Reads};
use crate::plan::{OperatorPlan, Plan, SinkPlan, SourcePlan, StatePlan};
use crate::spec::Spec;
use connectors::Connected;

/// Checks `spec` from end to end.
pub fn validate(spec: &Spec, registry: Registry) -> Result<Plan, Mistakes> {
    let mut found = spec.found.clone();
    let plan = plan(spec, registry, &mut found);
    settle(found, plan, &spec.places)
}

/// `None` only where something was found.
fn plan(spec: &Spec, registry: Registry, found: &mut Found) -> Option<Plan> {
    let reads = names::resolve(spec, found);
    let connected = connectors::plan(spec, registry, found);
    let nodes = nodes(spec, reads, &connected, found);
    together::check(&nodes.sources, found);
    let cluster = connected.cluster;
    let epochs = settings::epochs(spec, found);
    let api = found.keep(settings::api(spec.api.as_deref()));
    let restart = spec.restart.plan(found);
    let job = found.keep(job(spec, &nodes));
    let memory_bytes = found.keep(settings::state_memory(spec));
    let state_dir = job.as_ref().map(|job| settings::state_dir(spec, job, &nodes, cluster.is_some()));
    // A node that is wrong may be the one that can commit.
    let Nodes { sources, operators, sinks } = nodes;
    let is_whole = (sources.len(), sinks.len()) == (spec.sources.len(), spec.sinks.len());
    let mut delivery = || found.keep(delivery::choose(spec.delivery, &sources, cluster.is_some(), registry));
    let delivery = if is_whole { delivery() } else { None };
    Some(Plan {
        job: job?,
        delivery: delivery?,
        sources,
        operators,
        sinks,
        epochs: epochs?,
        state: StatePlan { dir: state_dir?, memory_bytes: memory_bytes? },
        api: api?,
        restart: restart?,
        cluster,
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

fn nodes(spec: &Spec, reads: Reads<'_>, connected: &Connected<'_>, found: &mut Found) -> Nodes {
    let sources = spec.sources.iter().filter_map(|(name, spec)| {
        let reads = connected.sources.get(name.as_str()).cloned();
        source::plan(name, spec, reads, found)
    });
    let sources = sources.collect();
    let operators = reads.operators.into_iter().filter_map(|(name, inputs)| {
        let spec = spec.operators.get(name)?;
        operator::plan(name, spec, inputs, found)
    });
    let operators = operators.collect();
    let sinks = reads.sinks.into_iter().filter_map(|(name, inputs)| {
        Some(SinkPlan { name: name.to_owned(), inputs, writes: connected.sinks.get(name).cloned()? })
    });
    Nodes { sources, operators, sinks: sinks.collect() }
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
