//! From a spec to a plan, and all that stands against it. Every default is filled in below here and nowhere else.

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
/// Nodes of which their connector knows nothing right.
mod unplanned;

use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_connector::{Error, Found, Registry};
use weir_core::{Delivery, JobName, Restart};

use crate::delivery;
use crate::letters::Letters;
use crate::mistakes::{Draft, Mistakes};
use crate::name::default_name;
use crate::names;
use crate::plan::{ApiPlan, OperatorPlan, Plan, SinkPlan, SourcePlan, StatePlan};
use crate::spec::Spec;

/// The name under which dead letters are sent again: its group and transactional ids are no job's.
pub const REPLAY: &str = "dead-letters";

/// Checks `spec` from end to end.
pub fn validate(spec: &Spec, registry: Registry) -> Result<Plan, Mistakes> {
    draft(spec, registry).settle()
}

/// Checks `spec` from end to end, and makes the plan of what is right of it, for whoever looks for more.
pub fn draft(spec: &Spec, registry: Registry) -> Draft {
    let mut found = spec.found.clone();
    let plan = plan(spec, registry, &mut found);
    Draft { plan, found }
}

/// What is wrong has its default in the plan, or is a node that can do anything: nothing is found wrong because of it.
fn plan(spec: &Spec, registry: Registry, found: &mut Found) -> Plan {
    let reads = names::resolve(spec, found);
    let letters = Letters::of(spec, registry, found);
    let connected = connectors::plan(spec, &letters, registry, found);
    // A node that is wrong may be the one that can commit.
    let is_whole = (connected.sources.len(), connected.sinks.len()) == (spec.sources.len(), spec.sinks.len());
    let is_whole = is_whole && letters.is_whole;
    let sources = spec.sources.iter().map(|(name, spec)| source::plan(name, spec, connected.source(name), found));
    let sources: Vec<SourcePlan> = sources.collect();
    let operators = reads.operators.into_iter().filter_map(|(name, inputs)| {
        let spec = spec.operators.get(name)?;
        Some(operator::plan(name, spec, inputs, found))
    });
    let operators: Vec<OperatorPlan> = operators.collect();
    let sinks = reads.sinks.into_iter();
    let sinks = sinks.map(|(name, inputs)| SinkPlan { name: name.to_owned(), inputs, writes: connected.sink(name) });
    let mut sinks: Vec<SinkPlan> = sinks.collect();
    together::check(&sources, found);
    let default_name = || default_name(&sources, &operators, &sinks);
    let job = found.keep(job(spec)).flatten().unwrap_or_else(default_name);
    // The name of a job goes by what its description names.
    sinks.extend(letters.sinks(&connected.letters));
    let cluster = connected.cluster;
    let dir = settings::state_dir(spec, &job, &sources, cluster.is_some());
    let delivery = match is_whole {
        true => found.keep(delivery::choose(spec.delivery, &sources, cluster.is_some(), registry)),
        false => None,
    };
    Plan {
        job,
        delivery: delivery.unwrap_or(Delivery::AtLeastOnce),
        epochs: settings::epochs(spec, found),
        state: StatePlan { dir, memory_bytes: settings::state_memory(spec, found) },
        api: found.keep(settings::api(spec.api.as_deref())).unwrap_or(ApiPlan::Off),
        access: settings::access(spec, found),
        restart: spec.restart.plan(found).unwrap_or(Restart::Never),
        sources,
        operators,
        sinks,
        cluster,
        places: spec.places.clone(),
    }
}

/// The name that was given.
fn job(spec: &Spec) -> Result<Option<JobName>, Error> {
    let name = spec.job.as_ref().map(|name| JobName::new(name.as_str())).transpose();
    let name = name.map_err(|error| Error::invalid("job", error.to_string()))?;
    if name.as_ref().is_some_and(|name| name.as_str() == REPLAY) {
        let reason = format!("{REPLAY:?} is the name under which `host dead-letters replay` commits; choose another");
        return Err(Error::invalid("job", reason));
    }
    Ok(name)
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
