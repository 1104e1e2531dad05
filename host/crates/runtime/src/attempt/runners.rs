//! The operators of an attempt: opened plugins, and what runs them.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;
use weir_checkpoint::{Manifest, OperatorEntry};
use weir_core::key_group::groups_of;
use weir_core::ports::{DEAD_LETTER, LATE, Operator, RecordCheck};
use weir_core::{Epoch, PortError};
use weir_operator::{LetterOptions, Runner, Version};
use weir_plan::{Graph, NodeId, OperatorNode, Port};

use crate::error::{Error, chain};
use crate::job::{Job, OperatorSetup, Place};
use crate::metrics::JobMetrics;
use crate::signals::Signals;
use crate::task::driver::TaskDriver;
use crate::versions::{Heirs, Witness};

/// What runs the operators of an attempt.
pub(super) struct Plugins {
    /// In the order of the job.
    setups: Vec<OperatorSetup>,
    /// Opened: for each operator one for each of its tasks, until that takes it.
    opened: Vec<Instances>,
    /// What waits beside them, where they are on probation.
    waiting: Vec<Option<Waiting>>,
    /// The epoch at whose end they begin to run.
    since: Epoch,
}

/// For each task of an operator, until it takes its own.
type Instances = Vec<Option<Box<dyn Operator>>>;

/// A version that runs again if the one that took over fails within this time.
struct Waiting {
    setup: OperatorSetup,
    lasts: Duration,
    opened: Instances,
}

impl Plugins {
    /// Opens all that the operators of `graph` need from the end of `since` on.
    pub(super) fn open(job: &Job, (heirs, since): (Heirs, Epoch), graph: &Graph) -> Result<Self, Error> {
        let (name, shard) = (&job.options.name, job.options.shard);
        let open = |setup: &OperatorSetup| -> Result<Instances, PortError> {
            Ok(setup.open_all(name, shard, setup.tasks(graph))?.into_iter().map(Some).collect())
        };
        let Heirs { running: setups, waiting } = heirs;
        let opened = setups.iter().map(open).collect::<Result<_, _>>();
        let opened = opened.map_err(Error::port("failed to open a plugin"))?;
        let wait = |(setup, lasts): (OperatorSetup, Duration)| match open(&setup) {
            Ok(opened) => Some(Waiting { setup, lasts, opened }),
            Err(error) => {
                let error = chain(&error);
                warn!(operator = %setup.name, error, "the version before does not open: the probation is over");
                None
            }
        };
        let waiting = waiting.into_iter().map(|waits| waits.and_then(wait)).collect();
        Ok(Self { setups, opened, waiting, since })
    }

    fn take(&mut self, operator: usize, task: u16) -> Option<Box<dyn Operator>> {
        self.opened.get_mut(operator)?.get_mut(usize::from(task))?.take()
    }

    /// What waits in this task beside what runs it, whose tables are those of `entry`; and for how long.
    fn take_waiting(&mut self, operator: usize, task: u16, entry: &OperatorEntry) -> Option<(Version, Duration)> {
        let Waiting { setup, lasts, opened } = self.waiting.get_mut(operator)?.as_mut()?;
        let terms = setup.terms(|name| entry.table(name))?;
        let operator = opened.get_mut(usize::from(task))?.take()?;
        Some((Version { terms, operator }, *lasts))
    }
}

/// What every operator of an attempt is made from.
pub(super) struct Workshop<'a> {
    pub(super) job: &'a Job,
    pub(super) plugins: Plugins,
    pub(super) manifest: &'a Manifest,
    pub(super) metrics: &'a JobMetrics,
    pub(super) signals: &'a Arc<Signals>,
    /// Who is told of versions that fail on probation.
    pub(super) witness: Witness,
    /// What each sink takes.
    pub(super) checks: Vec<Option<RecordCheck>>,
}

impl<'a> Workshop<'a> {
    /// What the attempt's epochs run.
    pub(super) fn graph(&self) -> &'a Graph {
        &self.manifest.plan.graph
    }

    /// What runs the operator `id` in one of its tasks.
    pub(super) fn runner(&mut self, id: NodeId, task: u16) -> Result<Runner, Error> {
        let (job, graph) = (self.job, self.graph());
        let node = graph.node(id).and_then(|node| Some((node, &node.name, node.as_operator()?)));
        let (node, name, operates) =
            node.ok_or_else(|| Error::Invariant(format!("node {} is no operator of the graph", id.0)))?;
        let missing = || Error::Invariant(format!("operator {name} is not set up"));
        let index = job.operator_of(node).ok_or_else(missing)?;
        let setup = self.plugins.setups.get(index).ok_or_else(missing)?;
        let entry = self.manifest.plan.operators.iter().find(|e| e.name == *name).ok_or_else(missing)?;
        let description = setup.factory.description();
        let place = Place {
            index,
            id: entry.id,
            watermark: self.manifest.times.operator(entry.id),
            key: operates.key.clone(),
            groups: groups_of(task, operates.parallelism),
        };
        let outputs = (0..description.output_count()).map(|output| self.checks_of(id, output)).collect();
        let mut options = setup.options(place, |name| entry.table(name), outputs).ok_or_else(missing)?;
        // The host's own outputs lie behind the plugin's.
        let hosts = |name| hosts_output(operates, description.output_count(), name);
        if let Some(windows) = &mut options.windows {
            windows.late = hosts(LATE).map(|late| (late, self.checks_of(id, late)));
        }
        options.letters = hosts(DEAD_LETTER).map(|output| LetterOptions {
            job: job.options.name.to_string(),
            output,
            checks: self.checks_of(id, output),
            as_read: as_read(job, graph, id),
        });
        let state = (!options.terms.tables.is_empty()).then(|| job.state.open(entry.id, (1, shares(graph))));
        let operator = self.plugins.take(index, task).ok_or_else(missing)?;
        let driver = TaskDriver { metrics: self.metrics.operator(name), signals: Arc::clone(self.signals) };
        let mut runner = Runner::new(options, operator, state, Box::new(driver));
        if let Some((before, lasts)) = self.plugins.take_waiting(index, task, entry) {
            runner.go_on_probation(before, self.witness.probation(index, self.plugins.since, lasts));
        }
        Ok(runner)
    }

    /// What the sinks take that read this output. Only a plugin that says so routes records.
    pub(super) fn checks_of(&self, node: NodeId, output: u32) -> Vec<RecordCheck> {
        let (job, graph) = (self.job, self.graph());
        let operator = graph.node(node).and_then(|node| self.plugins.setups.get(job.operator_of(node)?));
        let is_router = operator.is_some_and(|setup| setup.factory.description().routes);
        let readers = graph.edges_out_of(Port { node, port: output });
        let sinks = readers.filter_map(|edge| job.sink_of(graph.node(edge.to.node)?));
        let checks = sinks.filter_map(|sink| self.checks.get(sink)?.clone());
        checks.map(|check| if is_router { check } else { check.without_routes() }).collect()
    }
}

/// The number of an output that the host has added, where it has.
fn hosts_output(operator: &OperatorNode, plugins: u32, name: &str) -> Option<u32> {
    (0..).zip(&operator.outputs).skip(plugins as usize).find(|(_, output)| *output == name).map(|(output, _)| output)
}

/// For each input of an operator whether it reads topics of the cluster and nothing else.
fn as_read(job: &Job, graph: &Graph, id: NodeId) -> Vec<bool> {
    let inputs = graph.node(id).map_or(0, |node| node.inputs());
    let is_marked = |node| job.sources.iter().any(|source| source.marked && *source.name.0 == *graph.name(node));
    let into = |input| graph.edges_into(id).filter(move |edge| edge.to.port == input);
    (0..inputs).map(|input| into(input).all(|edge| is_marked(edge.from.node))).collect()
}

/// How many tasks have state; each gets an equal share of the memory.
fn shares(graph: &Graph) -> u32 {
    let operators = graph.nodes().iter().filter_map(|node| node.as_operator());
    operators.filter(|operator| operator.stateful).map(|operator| u32::from(operator.parallelism)).sum()
}
