//! Turns the stages of a job into threads and channels, and takes them down again.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use weir_checkpoint::Manifest;
use weir_core::OnError;
use weir_core::ports::{Operator, RecordCheck, SourceReader, Table};

use super::{SinkTask, SourceTask};
use crate::error::Error;
use crate::exchange::credit::Credit;
use crate::exchange::inbox::{Closer, Inbox, Outlet, inbox};
use crate::job::{Job, OperatorSetup};
use crate::metrics::JobMetrics;
use crate::signals::{Signals, SinkCommand, TaskEvent};
use crate::task::chain::{Chain, Edge};
use crate::task::operate::OperatorTask;
use crate::task::operator::{Runner, RunnerOptions};
use crate::task::pace::FIRST_RECORDS;
use crate::task::unreadable::UnreadablePolicy;
use crate::topology::{self, Stage};
use crate::watch::{Late, Watch};

/// What one task may have under way to all tasks of the next stage.
const SENDER_BYTES_MAX: usize = 4 << 20;
/// What all tasks of a stage may have under way to the next stage.
const EXCHANGE_BYTES_MAX: usize = 64 << 20;
/// What may wait for the sink task: the output of the next epoch while one is being committed.
const SINK_BYTES_MAX: usize = 16 << 20;
/// How often leaving threads are looked at.
const LEAVE_POLL: Duration = Duration::from_millis(2);

/// The threads of an attempt.
pub(super) struct Tasks {
    threads: Vec<JoinHandle<()>>,
    closers: Vec<Closer>,
    /// To the sink task.
    pub sink_commands: Sender<SinkCommand>,
    /// How many tasks seal an epoch.
    pub sealers: usize,
}

impl Tasks {
    /// Waits until every thread is gone; gives those that are not by then.
    pub(super) fn leave(self, within: Duration) -> Vec<JoinHandle<()>> {
        drop(self.sink_commands);
        let deadline = Instant::now() + within;
        while Instant::now() < deadline && self.threads.iter().any(|thread| !thread.is_finished()) {
            // A task that waits for room in the inbox of one that hangs must come back.
            self.closers.iter().for_each(Closer::close);
            std::thread::sleep(LEAVE_POLL);
        }
        self.threads.into_iter().filter(|thread| !thread.is_finished()).collect()
    }
}

/// Receiving and sending ends of every task.
struct Wiring {
    /// Per stage, per task: its input. Stage 0 has none.
    inboxes: Vec<Vec<Option<Inbox>>>,
    /// Per stage, per task: the outlets of its edge to the next stage, then of its edge to the sink.
    next: Vec<Vec<Vec<Outlet>>>,
    to_sink: Vec<Vec<Option<Outlet>>>,
    sink: Inbox,
}

fn wire(stages: &[Stage]) -> Wiring {
    let tasks = |stage: &Stage| usize::from(stage.parallelism);
    let mut inboxes: Vec<Vec<Option<Inbox>>> = vec![vec![None]];
    let mut next: Vec<Vec<Vec<Outlet>>> = Vec::new();
    for pair in stages.windows(2) {
        let [from, to] = pair else { continue };
        let mut outlets: Vec<Vec<Outlet>> = (0..tasks(from)).map(|_| Vec::new()).collect();
        let credits = credits((EXCHANGE_BYTES_MAX / tasks(from).max(1)).min(SENDER_BYTES_MAX), tasks(from));
        let mut inputs = Vec::new();
        for _ in 0..tasks(to) {
            let (input, ends) = inbox(&credits);
            // Until its reader says how many it can take: it may start later than its senders.
            input.limit_records(FIRST_RECORDS / tasks(from).max(1));
            inputs.push(Some(input));
            outlets.iter_mut().zip(ends).for_each(|(sender, end)| sender.push(end));
        }
        inboxes.push(inputs);
        next.push(outlets);
    }
    next.push(stages.last().map(|last| (0..tasks(last)).map(|_| Vec::new()).collect()).unwrap_or_default());
    let feeding: usize = stages.iter().filter(|s| s.sink_edge.is_some()).map(tasks).sum();
    let (sink, ends) = inbox(&credits(SINK_BYTES_MAX / feeding.max(1), feeding));
    let mut ends = ends.into_iter();
    let to_sink =
        stages.iter().map(|stage| (0..tasks(stage)).map(|_| stage.sink_edge.and_then(|_| ends.next())).collect());
    Wiring { inboxes, next, to_sink: to_sink.collect(), sink }
}

/// For each of `senders` its own `bytes`, over all receivers, however many there are.
fn credits(bytes: usize, senders: usize) -> Vec<Arc<Credit>> {
    (0..senders).map(|_| Arc::new(Credit::new(bytes))).collect()
}

/// The opened plugins: for each operator one for each of its tasks.
pub(super) struct Plugins(Vec<Vec<Box<dyn Operator>>>);

impl Plugins {
    /// Opens all that the job needs.
    pub(super) fn open(job: &Job) -> Result<Self, Error> {
        let open = |setup: &OperatorSetup| (0..setup.parallelism).map(|task| open_plugin(job, setup, task)).collect();
        Ok(Self(job.operators.iter().map(open).collect::<Result<_, _>>()?))
    }

    /// Takes one out; tasks are made in their order.
    fn take(&mut self, operator: usize) -> Option<Box<dyn Operator>> {
        self.0.get_mut(operator).filter(|tasks| !tasks.is_empty()).map(|tasks| tasks.remove(0))
    }
}

fn open_plugin(job: &Job, setup: &OperatorSetup, task: u16) -> Result<Box<dyn Operator>, Error> {
    let about = setup.about(&job.options.name, job.options.shard, task);
    setup.factory.instantiate(&about, &setup.config).map_err(Error::port("failed to open a plugin"))
}

/// Starts every task; the sink task waits for its first commit, the source reads at once, into bounded channels.
pub(super) fn start(
    job: &Job,
    (readers, mut plugins): (Vec<Box<dyn SourceReader>>, Plugins),
    manifest: &Manifest,
    signals: &Arc<Signals>,
    events: &Sender<TaskEvent>,
    watch: Watch<'_>,
) -> Result<Tasks, Error> {
    let Watch { handle, metrics } = watch;
    let stages = topology::stages(&job.operators, &job.sinks);
    let mut wiring = wire(&stages);
    let (sink_commands, commands) = bounded(1);
    let sealers: usize = stages.iter().map(|s| usize::from(s.parallelism)).sum();
    // Everything that can fail comes before the first thread.
    let sink = Arc::clone(&job.sink);
    let outputs = watch.port("open the sinks", (job.options.bounds.call, Late::Abandon), move || sink.open())?;
    let checks = outputs.sinks.iter().map(|sink| sink.record_check()).collect();
    let shared = Shared { manifest, metrics, signals, checks };
    let mut chains = Vec::new();
    for (at, stage) in stages.iter().enumerate() {
        for task in 0..stage.parallelism {
            let index = usize::from(task);
            let next = wiring.next.get_mut(at).and_then(|s| s.get_mut(index)).map(std::mem::take).unwrap_or_default();
            let to_sink = wiring.to_sink.get_mut(at).and_then(|s| s.get_mut(index)).and_then(Option::take);
            let inbox = wiring.inboxes.get_mut(at).and_then(|s| s.get_mut(index)).and_then(Option::take);
            let edges = edges(job, (stage, stages.get(at + 1)), next, to_sink, metrics);
            let operators = stage.operators.clone().map(|op| runner(job, (op, plugins.take(op)), &shared));
            let chain = Chain::new(operators.collect::<Result<_, _>>()?, stage.routes.clone(), edges, manifest.epoch);
            chains.push((thread_name(job, stage, task), inbox, chain));
        }
    }
    let mut closers = vec![wiring.sink.closer()];
    let sink_metrics =
        job.sinks.iter().zip(&handle.written).map(|(s, w)| metrics.sink(&s.topic, Arc::clone(w))).collect();
    let sink = SinkTask {
        inbox: wiring.sink,
        outputs,
        metrics: sink_metrics,
        commands,
        signals: Arc::clone(signals),
        events: events.clone(),
    };
    let mut threads = vec![spawn("weir-sink".into(), events, move || sink.run())?];
    let mut reader = readers.into_iter().next();
    for (name, inbox, chain) in chains {
        let (signals, to) = (Arc::clone(signals), events.clone());
        let thread = match (inbox, reader.take()) {
            (None, Some(reader)) => {
                let checks = shared.checks_of(job, None, 0);
                // The operator that would read the record decides; without one nobody said that it may be missing.
                let on_error = job.operators.first().map_or(OnError::Fail, |first| first.on_error);
                let unreadable = UnreadablePolicy::new(on_error, metrics.unreadable.clone());
                let sealed = manifest.epoch;
                let task = SourceTask { source: 0, reader, checks, chain, signals, events: to, unreadable, sealed };
                spawn(name, events, move || task.run())?
            }
            (Some(inbox), other) => {
                reader = other;
                closers.push(inbox.closer());
                let task = OperatorTask { inbox, chain, signals, events: to };
                spawn(name, events, move || task.run())?
            }
            (None, None) => continue,
        };
        threads.push(thread);
    }
    Ok(Tasks { threads, closers, sink_commands, sealers })
}

fn edges(
    job: &Job,
    (stage, next): (&Stage, Option<&Stage>),
    outlets: Vec<Outlet>,
    to_sink: Option<Outlet>,
    metrics: &JobMetrics,
) -> Vec<Edge> {
    let mut edges = Vec::new();
    if let Some(next) = next {
        let key = job.operators.get(next.operators.start).map(|o| o.key.clone());
        let mut outlets = outlets;
        match (outlets.len(), key) {
            (0, _) | (_, None) => {}
            (1, _) => edges.extend(outlets.pop().map(Edge::Direct)),
            (_, Some(key)) => edges.push(Edge::keyed(key, outlets)),
        }
    }
    edges.extend(to_sink.map(Edge::Direct));
    edges.extend(stage.unread.iter().filter_map(|(operator, output)| {
        let operator = job.operators.get(*operator)?;
        Some(Edge::Nowhere(metrics.unread(&operator.name, &operator.output_name(*output))))
    }));
    edges
}

fn thread_name(job: &Job, stage: &Stage, task: u16) -> String {
    // Linux shows 15 bytes of it.
    let operator = job.operators.get(stage.operators.start).map_or("source", |o| o.name.as_str());
    if stage.operators.start == 0 && stage.parallelism == 1 {
        "weir-source".into()
    } else {
        format!("weir-{operator}-{task}")
    }
}

/// What every operator of an attempt is made from.
struct Shared<'a> {
    manifest: &'a Manifest,
    metrics: &'a JobMetrics,
    signals: &'a Arc<Signals>,
    /// What each sink takes.
    checks: Vec<Option<RecordCheck>>,
}

impl Shared<'_> {
    /// For each output of an operator: what the sinks take that it feeds.
    fn output_checks(&self, job: &Job, operator: usize, outputs: usize) -> Vec<Vec<RecordCheck>> {
        (0..outputs).map(|output| self.checks_of(job, Some(operator), output)).collect()
    }

    /// What the sinks take that are fed by this output of an operator, or of the source.
    fn checks_of(&self, job: &Job, operator: Option<usize>, output: usize) -> Vec<RecordCheck> {
        let sinks = job.sinks.iter().zip(&self.checks);
        let fed = sinks.filter(|(sink, _)| sink.operator == operator && sink.output as usize == output);
        fed.filter_map(|(_, check)| check.clone()).collect()
    }
}

fn runner(
    job: &Job,
    (index, plugin): (usize, Option<Box<dyn Operator>>),
    shared: &Shared<'_>,
) -> Result<Runner, Error> {
    let missing = || Error::Panicked(format!("operator {index}"));
    let setup = job.operators.get(index).ok_or_else(missing)?;
    let entry = shared.manifest.operators.iter().find(|e| e.name == setup.name).ok_or_else(missing)?;
    let description = setup.factory.description();
    let known = |name: &str| entry.tables.iter().find(|t| t.name == name);
    let tables = description.tables.iter().filter_map(|t| known(&t.name));
    let tables: Vec<Table> = tables.map(|t| Table { id: t.id, kind: t.kind }).collect();
    let shares: u32 = job
        .operators
        .iter()
        .filter(|o| !o.factory.description().tables.is_empty())
        .map(|o| u32::from(o.parallelism))
        .sum();
    let state = (!tables.is_empty()).then(|| job.state.open(entry.id, (1, shares)));
    let operator = plugin.ok_or_else(missing)?;
    let options = RunnerOptions {
        index,
        name: setup.name.clone(),
        key: setup.key.clone(),
        tables,
        outputs: shared.output_checks(job, index, description.outputs.len().max(1)),
        on_error: setup.on_error,
        origin: description.origin,
    };
    let metrics = shared.metrics.operator(&setup.name);
    Ok(Runner::new(options, operator, state, metrics, Arc::clone(shared.signals)))
}

/// A named thread; a panic in it reaches the coordinator as an event.
fn spawn(
    name: String,
    events: &Sender<TaskEvent>,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let (panicked, events) = (name.clone(), events.clone());
    let guarded = move || {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err() {
            drop(events.send(TaskEvent::Failed(Error::Panicked(panicked))));
        }
    };
    std::thread::Builder::new().name(name).spawn(guarded).map_err(Error::Thread)
}
