//! Starts the threads of an attempt, as the plan lays them out, and takes them down again.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use weir_checkpoint::{Manifest, SourceTimes};
use weir_core::ports::{Outputs, SourceReader};
use weir_core::{OnError, SourceName, Watermark};
use weir_machine::channel::{Receiver, Sender, bounded};
use weir_plan::{Kind, Layout, NodeId, layout};
use weir_time::Merge;

use super::runners::{Plugins, Workshop};
use super::wiring::{Ends, joints, wire};
use super::{SinkTask, SourceTask};
use crate::error::Error;
use crate::exchange::inbox::Closer;
use crate::job::Job;
use crate::metrics::SinkMetrics;
use crate::signals::{Signals, SinkCommand, TaskEvent};
use crate::task::flow::Flow;
use crate::task::operate::OperatorTask;
use crate::task::stamp::Stamper;
use crate::task::told::ToldTime;
use crate::task::unreadable::UnreadablePolicy;
use crate::watch::{Late, Watch};

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
    /// How far the time of each task has come.
    pub times: Vec<TaskTime>,
}

/// The operators of a task, by their places in the job, and how far its time has come.
pub(crate) type TaskTime = (Vec<usize>, ToldTime);

impl Tasks {
    /// Waits until every thread is gone; gives those that are not by then.
    pub(super) fn leave(self, within: Duration) -> Vec<JoinHandle<()>> {
        drop(self.sink_commands);
        let deadline = weir_machine::now() + within;
        while weir_machine::now() < deadline && self.threads.iter().any(|thread| !thread.is_finished()) {
            // A task that waits for room in the inbox of one that hangs must come back.
            self.closers.iter().for_each(Closer::close);
            weir_machine::sleep(LEAVE_POLL);
        }
        self.threads.into_iter().filter(|thread| !thread.is_finished()).collect()
    }
}

/// A task that is ready to run, and the name of its thread.
type Ready = (String, Box<dyn FnOnce() + Send>);

/// Starts every task; the sink task waits for its first commit, the sources read at once, into bounded channels.
/// `readers` are in the order of the job's sources.
pub(super) fn start(
    job: &Job,
    (readers, plugins): (Vec<Box<dyn SourceReader>>, Plugins),
    manifest: &Manifest,
    signals: &Arc<Signals>,
    events: &Sender<TaskEvent>,
    watch: Watch<'_>,
) -> Result<Tasks, Error> {
    // Everything that can fail comes before the first thread.
    let sink = Arc::clone(&job.sink);
    let outputs = watch.port("open the sinks", (job.options.bounds.call, Late::Abandon), move || sink.open())?;
    let checks = outputs.sinks.iter().map(|sink| sink.record_check()).collect();
    let (sink_commands, commands) = bounded(1);
    let graph = &manifest.plan.graph;
    let layout = layout(graph);
    let mut maker = Maker {
        workshop: Workshop {
            job,
            plugins,
            manifest,
            metrics: watch.metrics,
            signals,
            witness: watch.handle.versions.witness(),
            checks,
        },
        layout: &layout,
        readers: readers.into_iter().map(Some).collect(),
        sinks: Some((outputs, commands)),
        watch,
        events,
        closers: Vec::new(),
        times: Vec::new(),
    };
    let names = layout.tasks(graph).into_iter().map(|task| task.thread);
    let ready = wire(&layout).into_iter().zip(names).map(|(ends, name)| Ok((name, maker.make(ends)?)));
    let ready: Vec<Ready> = ready.collect::<Result<_, Error>>()?;
    let (closers, times) = (maker.closers, maker.times);
    // All but the one that writes.
    let sealers = ready.len().saturating_sub(1);
    let threads = ready.into_iter().map(|(name, body)| spawn(name, events, body)).collect::<Result<_, _>>()?;
    Ok(Tasks { threads, closers, sink_commands, sealers, times })
}

/// What tasks are made of.
struct Maker<'a> {
    workshop: Workshop<'a>,
    layout: &'a Layout,
    readers: Vec<Option<Box<dyn SourceReader>>>,
    sinks: Option<(Outputs, Receiver<SinkCommand>)>,
    watch: Watch<'a>,
    events: &'a Sender<TaskEvent>,
    closers: Vec<Closer>,
    times: Vec<TaskTime>,
}

impl Maker<'_> {
    /// The task with these ends.
    fn make(&mut self, mut ends: Ends) -> Result<Box<dyn FnOnce() + Send>, Error> {
        let (job, graph) = (self.workshop.job, self.workshop.graph());
        let missing = || Error::Invariant(format!("stage {} is not as it was laid out", ends.stage));
        let stage = self.layout.stages.get(ends.stage).ok_or_else(missing)?;
        let head = stage.head().and_then(|id| Some((id, graph.node(id)?)));
        let (id, head) = head.ok_or_else(missing)?;
        let inbox = ends.inbox.take();
        self.closers.extend(inbox.as_ref().map(|inbox| inbox.closer()));
        let (signals, events) = (Arc::clone(self.workshop.signals), self.events.clone());
        if head.kind == Kind::Sink {
            let (outputs, commands) = self.sinks.take().ok_or_else(missing)?;
            let (inbox, metrics) = (inbox.ok_or_else(missing)?, self.sink_metrics());
            let task = SinkTask { inbox, outputs, metrics, commands, signals, events };
            return Ok(Box::new(move || task.run()));
        }
        let task = ends.index;
        let operators = stage.operators(graph).map(|id| self.workshop.runner(id, task));
        let operators = operators.collect::<Result<Vec<_>, _>>()?;
        let joints = joints((job, graph), self.layout, ends, self.watch.metrics)?;
        let sealed = self.workshop.manifest.epoch;
        // All of a stage have the time of what comes in by the first.
        let floor = operators.iter().map(|runner| runner.options.watermark).max().unwrap_or(Watermark::NONE);
        let time = ToldTime::new(floor);
        self.times.push((operators.iter().map(|runner| runner.options.index).collect(), time.clone()));
        let flow = Flow::new((operators, task), joints, sealed, time);
        if let Some(inbox) = inbox {
            let time = Merge::new(inbox.inputs(), floor);
            let task = OperatorTask { inbox, flow, time, signals, events };
            return Ok(Box::new(move || task.run()));
        }
        let missing = || Error::Invariant(format!("source {} is not set up, or is taken", head.name));
        let source = job.sources.iter().position(|source| *source.name.0 == *head.name).ok_or_else(missing)?;
        let metrics = self.watch.metrics.source(&SourceName::new(head.name.as_str()));
        let reader = self.readers.get_mut(source).and_then(Option::take).ok_or_else(missing)?;
        let setup = job.sources.get(source);
        let options = setup.and_then(|setup| setup.time.clone());
        let plugin = setup.and_then(|setup| setup.timestamps.as_ref()).map(|factory| factory.instantiate());
        let plugin = plugin.transpose().map_err(Error::port("failed to start the plugin of the timestamps"))?;
        let kept = self.workshop.manifest.times.source(source).cloned();
        let kept = kept.unwrap_or(SourceTimes { watermark: Watermark::NONE, splits: Vec::new() });
        let time = options.map(|options| Stamper::new((options, plugin), kept.watermark, kept.splits));
        let drains = job.options.drains;
        let checks = self.workshop.checks_of(id, 0);
        let unreadable = UnreadablePolicy::new(self.on_unreadable(id), metrics.unreadable);
        let (read, pause) = (metrics.read, self.watch.handle.pause.clone());
        let task =
            SourceTask { source, reader, checks, flow, signals, pause, events, read, unreadable, sealed, time, drains };
        Ok(Box::new(move || task.run()))
    }

    /// Whoever would read the record decides; of several the strictest. A sink never said that it may be missing.
    fn on_unreadable(&self, source: NodeId) -> OnError {
        let (job, graph) = (self.workshop.job, self.workshop.graph());
        let mut readers = graph.edges().iter().filter(|edge| edge.from.node == source);
        let may_skip = |reader: NodeId| {
            let operator = graph.node(reader).and_then(|node| job.operators.get(job.operator_of(node)?));
            operator.is_some_and(|setup| setup.on_error == OnError::Skip)
        };
        if readers.all(|edge| may_skip(edge.to.node)) { OnError::Skip } else { OnError::Fail }
    }

    fn sink_metrics(&self) -> Vec<SinkMetrics> {
        let Watch { handle, metrics } = self.watch;
        let sinks = self.workshop.job.sinks.iter().zip(&handle.written);
        sinks.map(|(sink, written)| metrics.sink(&sink.target, Arc::clone(written))).collect()
    }
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
    weir_machine::spawn(name, guarded).map_err(Error::Thread)
}
