//! The versions of a job's operators: those that its process was started with, and those that take over while it runs.
//!
//! ```text
//! JobHandle::swap      its instances are opened, beside the job
//!   coordinator        checks that it can go on with the state; the next epoch's record has its plan
//!   barrier of N       each task of the operator takes its instance, between two batches
//!   epoch N holds      it is what the job runs; whoever asked is told
//! ```
//! Where an attempt ends before that, the epoch that is restored says which version runs, as for everything else of a plan.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_checkpoint::history::{self, Turn};
use weir_checkpoint::inherit::{Declared, DeclaredTable, Mismatch};
use weir_checkpoint::manifest::TookOver;
use weir_checkpoint::{Plan, PluginEntry};
use weir_core::ports::{Operator, OperatorFactory, TableDescription, Ttl};
use weir_core::{Digest, Epoch, KeySpec, PortError};
use weir_machine::channel::Sender;
use weir_plan::Graph;

use crate::error::Error;
use crate::job::{Job, OperatorSetup};

/// Where plugins are found again that took over while the job ran, and their history.
pub trait Shelf: Send + Sync {
    /// What took over from what, the oldest first.
    fn history(&self) -> Vec<Turn>;

    /// Adds to it. What cannot be written is lost to those who come later, and to nobody else: it is told, and no error.
    fn note(&self, turn: &Turn);

    /// The plugin of this digest, for the operator of this name.
    ///
    /// # Errors
    /// Where it is not there any more, or is not what it was.
    fn find(&self, operator: &str, digest: &Digest) -> Result<Arc<dyn OperatorFactory>, PortError>;
}

/// What is to take over.
pub struct Swap {
    /// The operator.
    pub operator: String,
    /// Its new plugin.
    pub factory: Arc<dyn OperatorFactory>,
    /// JSON for the plugin, if another than the version before has.
    pub config: Option<String>,
    /// For how long the version before waits to take over again.
    pub probation: Duration,
    /// Whether it is only to be said what would happen.
    pub dry_run: bool,
    /// Whether the version that runs is gone back from: tables that only that has are dropped.
    pub goes_back: bool,
}

/// What came of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped {
    /// The version runs from the end of this epoch on, which holds.
    Done {
        /// The epoch.
        epoch: Epoch,
        /// How long a task stood still for it, at most.
        paused: Duration,
        /// From the question to the answer.
        took: Duration,
    },
    /// It would.
    Possible,
}

/// Why the version before goes on.
#[derive(Debug, thiserror::Error)]
pub enum NotSwapped {
    /// There is no such operator.
    #[error("there is no operator {name:?}; there are: {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// It is what runs.
    #[error("operator {0:?} runs this very plugin with this configuration already")]
    Same(String),
    /// The plugin does not fit its place in the graph.
    #[error(
        "the plugin does not fit the place of operator {operator:?} in the running graph: {}; stop the job and start it \
         with this plugin", .differences.join("; ")
    )]
    Place {
        /// The operator.
        operator: String,
        /// What is otherwise.
        differences: Vec<String>,
    },
    /// State would be lost or misread.
    #[error("the state of the operator would be lost or misread: {0}")]
    State(Mismatch),
    /// It does not open.
    #[error("the plugin does not open with its configuration")]
    Open(#[source] PortError),
    /// The job cannot be changed now.
    #[error("the job does not run: it is {0}; try again once it does")]
    NotRunning(&'static str),
    /// Somebody else changes it.
    #[error("another swap is under way; try again after it")]
    Busy,
    /// The attempt ended before its epoch held.
    #[error("the job recovered from a failure before the swap held, and goes on with the version before; try again")]
    Undone,
    /// The job ended before its epoch held.
    #[error("the job ended before it was known whether the swap holds; its next start says which version runs")]
    Ended,
}

/// A swap that the coordinator has not looked at yet.
pub(crate) struct Asked {
    /// Index of the operator.
    pub(crate) operator: usize,
    pub(crate) setup: OperatorSetup,
    /// One for each task.
    pub(crate) instances: Vec<Box<dyn Operator>>,
    pub(crate) probation: Duration,
    pub(crate) dry_run: bool,
    pub(crate) goes_back: bool,
    pub(crate) answer: Answer,
    /// Why, where nobody waits for an answer: how the version that runs failed on probation.
    pub(crate) failure: Option<String>,
}

/// Whoever waits to be told.
pub(crate) struct Answer {
    pub(crate) began: Instant,
    /// `None`: nobody does.
    pub(crate) to: Option<Sender<Result<Swapped, NotSwapped>>>,
}

impl Answer {
    pub(crate) fn give(self, outcome: Result<Swapped, NotSwapped>) {
        // Whoever asked may have gone.
        if let Some(to) = self.to {
            drop(to.send(outcome));
        }
    }
}

/// A swap whose epoch does not hold yet.
pub(crate) struct Pending {
    pub(crate) operator: usize,
    pub(crate) setup: OperatorSetup,
    pub(crate) answer: Answer,
    /// Why it takes over, where nobody asked for it.
    pub(crate) failure: Option<String>,
}

/// Shared by the job and by whoever has its handle.
#[derive(Clone)]
pub(crate) struct Versions(Arc<Mutex<Known>>);

/// A version of an operator that failed on probation, and the one before it.
struct Condemned {
    operator: String,
    failed: PluginEntry,
    before: PluginEntry,
}

impl Condemned {
    /// Whether it is this version of an operator that failed.
    fn is(&self, operator: &str, plugin: &PluginEntry) -> bool {
        self.operator == operator && self.failed == *plugin
    }
}

struct Known {
    /// What the process was started with.
    started: Vec<OperatorSetup>,
    /// What took over, now or before.
    taken_over: Vec<OperatorSetup>,
    /// What runs.
    running: Vec<OperatorSetup>,
    /// For each operator what ran before that, as long as it may run again.
    before: Vec<Option<OperatorSetup>>,
    /// What failed on probation: a plan that has it is not run as it is.
    condemned: Vec<Condemned>,
    asked: Option<Asked>,
    pending: Option<Pending>,
}

impl Versions {
    pub(crate) fn new(started: &[OperatorSetup], history: &[Turn]) -> Self {
        let (taken_over, asked, pending) = (Vec::new(), None, None);
        let condemned = |turn: &Turn| {
            let (operator, failed, before) = (turn.operator.clone(), turn.from.clone(), turn.to.clone());
            Condemned { operator, failed, before }
        };
        let condemned = history::condemned(history).into_iter().map(condemned).collect();
        let before = vec![None; started.len()];
        let (started, running) = (started.to_vec(), started.to_vec());
        Self(Arc::new(Mutex::new(Known { started, taken_over, running, before, condemned, asked, pending })))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the process was started with, in the order of the job.
    pub(crate) fn started(&self) -> Vec<OperatorSetup> {
        self.lock().started.clone()
    }

    /// What runs the operators, in the order of the job.
    pub(crate) fn running(&self) -> Vec<OperatorSetup> {
        self.lock().running.clone()
    }

    /// Looks for what took over under an earlier process, and for what may have to run again; what is not found is not
    /// offered.
    pub(crate) fn look_for(&self, mut entries: Vec<(String, PluginEntry)>, shelf: &dyn Shelf) {
        entries.extend(self.lock().condemned.iter().map(|c| (c.operator.clone(), c.before.clone())));
        for (name, entry) in &entries {
            let known = self.lock();
            let Some(started) = known.started.iter().find(|setup| setup.name == *name).cloned() else { continue };
            let is_known = started.is(name, entry) || known.taken_over.iter().any(|setup| setup.is(name, entry));
            drop(known);
            if is_known {
                continue;
            }
            match shelf.find(name, &entry.digest) {
                Ok(factory) => {
                    let setup = started.with(factory, entry.took_over.clone());
                    self.lock().taken_over.push(setup);
                }
                Err(error) => {
                    let (digest, error) = (&entry.digest, crate::error::chain(&error));
                    tracing::warn!(operator = %name, %digest, %error, "a version that took over cannot be loaded");
                }
            }
        }
    }

    /// All that took over.
    pub(crate) fn taken_over(&self) -> Vec<OperatorSetup> {
        self.lock().taken_over.clone()
    }

    /// An attempt runs `plan`: what runs its operators. A swap that waited for its epoch is told of it.
    pub(crate) fn run(&self, plan: &Plan, epoch: Epoch) -> Result<Vec<OperatorSetup>, Error> {
        let mut known = self.lock();
        let all = || known.started.iter().chain(&known.taken_over);
        let version = |started: &OperatorSetup| {
            let entry = plan.operators.iter().find(|entry| entry.name == started.name)?;
            all().find(|setup| setup.is(&started.name, &entry.plugin)).cloned()
        };
        let running = known.started.iter().map(|started| {
            let missing = || Error::Invariant(format!("no version of operator {} is what its plan has", started.name));
            version(started).ok_or_else(missing)
        });
        let running: Vec<_> = running.collect::<Result<_, _>>()?;
        known.running.clone_from(&running);
        if let Some(Pending { operator, setup, answer, .. }) = known.pending.take() {
            let holds = running.get(operator).is_some_and(|runs| runs.entry() == setup.entry());
            let (paused, took) = (Duration::ZERO, weir_machine::since(answer.began));
            answer.give(if holds { Ok(Swapped::Done { epoch, paused, took }) } else { Err(NotSwapped::Undone) });
        }
        Ok(running)
    }

    /// Somebody asks for a swap. The coordinator looks at it when it can.
    pub(crate) fn ask(&self, asked: Asked) {
        let mut known = self.lock();
        match known.asked.is_some() || known.pending.is_some() {
            true => asked.answer.give(Err(NotSwapped::Busy)),
            false => known.asked = Some(asked),
        }
    }

    /// What was asked for, once.
    pub(crate) fn asked(&self) -> Option<Asked> {
        self.lock().asked.take()
    }

    /// From the end of the next epoch on this is to run: a recovery may need it. Whoever asks for what failed before means
    /// it.
    pub(crate) fn begin(&self, pending: Pending) {
        let mut known = self.lock();
        let (name, entry) = (&pending.setup.name, pending.setup.entry());
        known.condemned.retain(|condemned| !condemned.is(name, &entry));
        known.taken_over.retain(|setup| !setup.is(name, &entry));
        known.taken_over.push(pending.setup.clone());
        known.pending = Some(pending);
    }

    /// The epoch of what is pending holds: what took over from what.
    pub(crate) fn hold(&self, epoch: Epoch, paused: Duration, at_ms: i64) -> Option<Turn> {
        let mut known = self.lock();
        let Pending { operator, setup, answer, failure } = known.pending.take()?;
        let (name, to) = (setup.name.clone(), setup.entry());
        let before = std::mem::replace(known.running.get_mut(operator)?, setup);
        let from = before.entry();
        // One that failed is not gone back to.
        let is_condemned = known.condemned.iter().any(|condemned| condemned.is(&name, &from));
        if let Some(waits) = known.before.get_mut(operator) {
            *waits = (!is_condemned).then_some(before);
        }
        let took = weir_machine::since(answer.began);
        answer.give(Ok(Swapped::Done { epoch, paused, took }));
        Some(Turn { operator: name, epoch: epoch.0, at_ms, from, to, failure })
    }

    /// What runs the operator failed on probation, for this reason: gives what is to run again.
    pub(crate) fn condemn(&self, operator: usize) -> Option<OperatorSetup> {
        let mut known = self.lock();
        let before = known.before.get_mut(operator)?.take()?;
        let (name, failed) = known.running.get(operator).map(|failed| (failed.name.clone(), failed.entry()))?;
        known.condemned.push(Condemned { operator: name, failed, before: before.entry() });
        Some(before)
    }

    /// The plan that is restored, without what failed on probation since.
    pub(crate) fn amend(&self, plan: &mut Plan) {
        let known = self.lock();
        for entry in &mut plan.operators {
            if let Some(condemned) = known.condemned.iter().find(|condemned| condemned.is(&entry.name, &entry.plugin)) {
                entry.plugin = condemned.before.clone();
            }
        }
    }

    /// Nobody is told any more: the job has ended.
    pub(crate) fn end(&self) {
        let mut known = self.lock();
        let waiting = known.asked.take().map(|asked| asked.answer);
        waiting.into_iter().chain(known.pending.take().map(|pending| pending.answer)).for_each(|answer| {
            answer.give(Err(NotSwapped::Ended));
        });
    }
}

impl OperatorSetup {
    /// The same place with another version.
    pub(crate) fn with(&self, factory: Arc<dyn OperatorFactory>, took_over: Option<TookOver>) -> Self {
        let config = took_over.as_ref().and_then(|took_over| took_over.config.clone());
        let config = config.unwrap_or_else(|| self.config.clone());
        Self { factory, config, took_over, ..self.clone() }
    }

    /// The same place after `swap`, in a process that was `started` with that. Without a configuration of its own it keeps
    /// that of the version before.
    pub(crate) fn swapped_for(&self, swap: &Swap, started: &Self) -> Self {
        let (from, kept) = (started.factory.digest().clone(), swap.config.as_ref().unwrap_or(&self.config));
        let config = (*kept != started.config).then(|| kept.clone());
        // What the process was started with may take over again, and is then what it was.
        let is_another = from != *swap.factory.digest() || config.is_some();
        started.with(Arc::clone(&swap.factory), is_another.then_some(TookOver { from, config }))
    }

    /// Whether it is this version of an operator.
    fn is(&self, operator: &str, plugin: &PluginEntry) -> bool {
        self.name == operator && self.entry() == *plugin
    }

    /// What is recorded of its plugin.
    pub(crate) fn entry(&self) -> PluginEntry {
        let description = self.factory.description();
        let (name, version, digest) =
            (description.name.clone(), description.version.clone(), self.factory.digest().clone());
        PluginEntry { name, version, digest, took_over: self.took_over.clone() }
    }

    /// What is asked for with it, where its state is keyed by `key`.
    pub(crate) fn declared(&self, key: KeySpec) -> Declared {
        let tables = self.tables().into_iter();
        let declared = |t: TableDescription| {
            let expires = t.ttl.map(Ttl::domain);
            DeclaredTable { name: t.name, kind: t.kind, schema: t.schema, expires }
        };
        let tables = tables.map(declared).collect();
        Declared { name: self.name.clone(), key, plugin: self.entry(), tables }
    }

    /// What of `new` is otherwise than the graph and the tasks that run were made for.
    pub(crate) fn differences(&self, new: &Self) -> Vec<String> {
        let (was, is) = (self.factory.description(), new.factory.description());
        let mut differences = Vec::new();
        let mut note = |what: &str, was: String, is: String| {
            if was != is {
                differences.push(format!("{what} {is}, and the version that runs {was}"));
            }
        };
        let role = |setup: &Self| format!("{:?}", setup.factory.role()).to_lowercase();
        note("it is an", role(self), role(new));
        note("its inputs are", names(&was.inputs), names(&is.inputs));
        let broadcast = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        note("its broadcast inputs are", broadcast(&was.broadcast), broadcast(&is.broadcast));
        note("its outputs are", names(&was.outputs), names(&is.outputs));
        let keeps = |setup: &Self| if setup.tables().is_empty() { "keeps no state" } else { "keeps state" }.to_owned();
        note("it", keeps(self), keeps(new));
        let routes = |routes: bool| if routes { "routes records" } else { "routes no records" }.to_owned();
        note("it", routes(was.routes), routes(is.routes));
        let timers = |setup: &Self| {
            let tables = setup.factory.description().tables.iter().filter(|table| table.kind.timers_of().is_some());
            tables.map(|table| table.name.clone()).collect::<Vec<_>>()
        };
        let time =
            |setup: &Self| if setup.needs_time() { "goes by event time" } else { "has no event time" }.to_owned();
        note("it", time(self), time(new));
        note("its timers are in", names(&timers(self)), names(&timers(new)));
        differences
    }
}

fn names(names: &[String]) -> String {
    if names.is_empty() { "one without a name".to_owned() } else { names.join(", ") }
}

impl Job {
    /// What an operator of the graph is keyed by.
    pub(crate) fn key_of(&self, setup: &OperatorSetup) -> KeySpec {
        key_of(&self.graph, &setup.name)
    }
}

/// What the operator of this name is keyed by in `graph`.
pub(crate) fn key_of(graph: &Graph, name: &str) -> KeySpec {
    let node = graph.find(name).and_then(|id| graph.node(id)?.as_operator());
    node.map_or(KeySpec::Key, |operator| operator.key.clone())
}
