//! The composition root: from a plan to a job. With the files below it and `connectors.rs`, the only one that names concrete
//! adapters.

/// A job's Kafka while it does not run.
pub mod cluster;
/// A job's state directory while it does not run.
pub mod directory;
/// Dead letters, read and sent again.
pub mod letters;
/// Operators and what they need, before anything starts.
pub mod operators;
/// A job forgets.
pub mod reset;
/// State on the move.
pub mod savepoint;
/// What a refused start leaves.
pub mod traces;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use weir_connector::JobFacts;
use weir_core::ports::{EpochLog, SinkConnector, SourceConnector, StateStore};
use weir_core::{Consent, Fault, PortError, ShardId, SourceName};
use weir_pipeline::plan::{self, Plan, SourcePlan};
use weir_runtime::{
    Bounds, Error, Job, JobHandle, JobOptions, MarkerPlace, OperatorSetup, Shelf, SourceSetup, Summary,
};
use weir_state::StateDir;

use operators::{LoadOperator, Loaded};
use sinks::Sinks;

use crate::control::PluginShelf;
use crate::places;

/// What Kafka's settings do to the job.
mod advice;
/// Keyed operators behind lines without keys.
mod keys;
/// Other jobs that read the same.
mod kin;
/// The end of a job.
mod leave;
/// Outputs that nothing reads.
mod outputs;
/// The sinks of a job.
mod sinks;
/// Which windows an operator has.
/// How long tables keep what is written.
mod ttl;
mod windows;

/// Rules that a test breaks.
#[cfg(feature = "crash-points")]
mod sabotage;

/// A job today is one shard.
pub(crate) const SHARD: ShardId = ShardId(0);
/// A commit may take as long as the broker lets a transaction live, and a little; then the client counts as hung.
const STALL_SLACK: Duration = Duration::from_secs(3);

/// A job, ready to run, and what must outlive it.
pub struct Composed {
    job: Job,
    log: Box<dyn EpochLog>,
    handle: JobHandle,
    shelf: Arc<PluginShelf>,
    dir: StateDir,
    /// Removed at the end.
    temporary: Option<TempDir>,
}

impl Composed {
    /// Watches and stops the job.
    pub fn handle(&self) -> JobHandle {
        self.handle.clone()
    }

    /// What may be asked of it.
    pub(crate) fn shelf(&self) -> Arc<PluginShelf> {
        Arc::clone(&self.shelf)
    }

    /// Writes down beside the state where the job's API is, for commands on this machine. Without it they are told.
    pub(crate) fn tell_address(&self, address: Option<SocketAddr>) {
        let address = address.map(|address| address.to_string());
        if let Err(error) = self.dir.tell_address(address.as_deref()) {
            tracing::warn!(%error, "commands on this machine do not find the job's API by its state directory");
        }
    }

    /// Runs it to its end, on this thread.
    pub fn run(self) -> Result<Summary, Error> {
        let Self { job, log, handle, dir, temporary, .. } = self;
        let outcome = job.run(log, &handle);
        // Whoever finds it all the same is told that nobody answers.
        drop(dir.tell_address(None));
        drop(dir);
        leave::leave(&outcome, handle.status().attempt.is_some(), job, temporary);
        outcome
    }
}

/// What the user wants of this run alone.
#[derive(Debug)]
pub struct Wishes {
    /// Of state that does not fit.
    pub consent: Consent,
    /// At the end everything fires that waits for a later time.
    pub drains: bool,
}

/// Makes a job of `plan` and its loaded operators. Takes the state directory; no topic is created yet.
pub fn compose(
    plan: &Plan,
    Wishes { consent, drains }: Wishes,
    loaded: Loaded,
    loader: Arc<dyn LoadOperator>,
) -> Result<Composed> {
    let Loaded { graph, operators, sinks, timestamps } = loaded;
    let job_facts = job_facts(plan);
    let lookout = plan.cluster.as_ref().map(|cluster| cluster.lookout(&job_facts)).transpose()?;
    for unread in outputs::unread(&graph) {
        tracing::warn!(operator = %unread.operator, output = %unread.output, "{unread}");
    }
    keys::missing(plan, &graph).iter().for_each(|keyless| tracing::warn!("{keyless}"));
    // What can be refused is refused before anything is made.
    places::check_streams(plan).map_err(PortError::from)?;
    let sources = sources(plan, &job_facts)?;
    let sink: Arc<dyn SinkConnector> = Arc::new(Sinks::new(plan, &job_facts)?);
    let (dir, temporary) = state_dir(plan)?;
    let log = dir.log().map_err(PortError::from)?;
    let state: Arc<dyn StateStore> = dir.store(plan.state.memory_bytes).map_err(PortError::from)?;
    if let (true, Some(lookout)) = (dir.is_empty() && commits_positions(plan), &lookout) {
        kin::warn_of(Arc::clone(lookout), plan.job.clone(), sources.clone());
    }
    let says_time = plan.sources.iter().any(|source| source.watermark.is_some());
    let has_time = says_time || operators.iter().any(OperatorSetup::needs_time);
    let set_up = |(planned, connector): (&SourcePlan, Arc<dyn SourceConnector>)| {
        let marked = planned.reads.abilities().commits_positions;
        let time = has_time.then(|| planned.event_time());
        let timestamps = timestamps.get(&planned.name).cloned();
        SourceSetup { name: SourceName::new(planned.name.as_str()), connector, marked, time, timestamps }
    };
    #[cfg(feature = "crash-points")]
    let (sources, sink, log) = (sources.into_iter().map(sabotage::source), sabotage::sink(sink), sabotage::log(log));
    let sources = plan.sources.iter().zip(sources).map(set_up).collect();
    let shelf = Arc::new(PluginShelf::new(dir.plugins(), loader, plan));
    // Nobody starts again with a directory that goes with the process.
    if temporary.is_none() {
        shelf.keep_started(operators.iter().map(|operator| operator.factory.digest()));
    }
    let options = options(plan, consent, drains);
    let kept: Arc<dyn Shelf> = Arc::<PluginShelf>::clone(&shelf);
    let job = Job { options, sources, sink, graph, operators, sinks, state, shelf: kept };
    let handle = job.handle();
    if let (Some(lookout), Some(cluster)) = (lookout, &plan.cluster) {
        advice::give_when_it_runs(lookout, cluster.title(), handle.clone());
    }
    Ok(Composed { job, log, handle, shelf, dir, temporary })
}

/// The name under which the job's cluster keeps what it commits.
pub fn group(plan: &Plan) -> Option<String> {
    plan.cluster.as_ref().map(|cluster| cluster.group(&job_facts(plan)))
}

fn job_facts(plan: &Plan) -> JobFacts {
    JobFacts {
        name: plan.job.clone(),
        shard: SHARD,
        delivery: plan.delivery,
        commit_within: plan.epochs.transaction_timeout,
    }
}

fn options(plan: &Plan, consent: Consent, drains: bool) -> JobOptions {
    let transaction_timeout = plan.epochs.transaction_timeout;
    JobOptions {
        name: plan.job.clone(),
        shard: SHARD,
        delivery: plan.delivery,
        marker_place: marker_place(plan),
        epoch_interval: plan.epochs.interval,
        stall_after: transaction_timeout + STALL_SLACK,
        has_patient_sink: plan.writes_to_stdout(),
        commit_within: transaction_timeout,
        restart: plan.restart,
        bounds: Bounds::default(),
        consent,
        drains,
    }
}

/// Beside the positions of the sources that have theirs committed; where the cluster has a place for it where all sources are
/// others that can be read again; nowhere for what comes once, whose positions mean nothing to the next run.
fn marker_place(plan: &Plan) -> MarkerPlace {
    if commits_positions(plan) {
        return MarkerPlace::Splits;
    }
    let comes_once = plan.sources.iter().any(|source| !source.reads.abilities().replays);
    let home = plan.cluster.as_ref().and_then(|cluster| cluster.home());
    home.filter(|_| !comes_once).map_or(MarkerPlace::Nowhere, MarkerPlace::Fixed)
}

fn commits_positions(plan: &Plan) -> bool {
    plan.sources.iter().any(|source| source.reads.abilities().commits_positions)
}

fn state_dir(plan: &Plan) -> Result<(StateDir, Option<TempDir>)> {
    let open = |path: &Path| StateDir::open(path, &plan.job, SHARD).map_err(PortError::from);
    match &plan.state.dir {
        plan::StateDir::Kept(path) => Ok((open(path)?, None)),
        plan::StateDir::Temporary { under } => {
            let temporary = match under {
                Some(under) => tempfile::Builder::new().prefix("weir-").tempdir_in(under),
                None => tempfile::Builder::new().prefix("weir-").tempdir(),
            };
            let temporary = temporary.map_err(|error| PortError::new(Fault::Config, error));
            let temporary = temporary
                .context("failed to make a temporary state directory: check TMPDIR, or give --state-dir and --job")?;
            // The state directory is made by its owner, inside.
            let dir = open(&temporary.path().join("state"))?;
            Ok((dir, Some(temporary)))
        }
    }
}

/// In the order of the plan.
fn sources(plan: &Plan, job: &JobFacts) -> Result<Vec<Arc<dyn SourceConnector>>> {
    plan.sources.iter().map(|source| Ok(source.reads.open(job, &source.range())?)).collect()
}
