//! The versions of a job's operators: those that its process was started with, and those that take over while it runs.
//!
//! ```text
//! JobHandle::swap      its instances are opened, beside the job
//!   coordinator        checks that it can go on with the state; the next epoch's record has its plan
//!   barrier of N       each task of the operator takes its instance, between two batches
//!   epoch N holds      it is what the job runs; whoever asked is told
//! ```
//! Where an attempt ends before that, the epoch that is restored says which version runs, as for everything else of a plan:
//! unless that version has failed on probation since, in a task. Then what ran before it is to run again, everywhere and
//! under whatever attempt: what is owed follows from what runs and from the history, and is not lost with whoever noticed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_checkpoint::inherit::{Declared, DeclaredTable, Mismatch};
use weir_checkpoint::manifest::TookOver;
use weir_checkpoint::{PluginEntry, Turn};
use weir_core::ports::{Operator, OperatorFactory, TableDescription, Ttl};
use weir_core::{Digest, Epoch, KeySpec, PortError};
use weir_machine::channel::Sender;
use weir_plan::Graph;
use weir_time::WindowSpec;

use crate::job::{Job, OperatorSetup};

/// How a version is asked for, and opened beside the job.
mod ask;
/// What runs, what ran before it, and what is asked for.
mod known;

pub(crate) use known::{Heirs, Versions, Witness, drop_surplus};

/// Where plugins are found again that took over while the job ran, and their history.
pub trait Shelf: Send + Sync {
    /// What took over from what, the oldest first.
    fn history(&self) -> Vec<Turn>;

    /// Adds to it. What cannot be written is lost to those who come later, and to nobody else: it is told, and no error.
    /// May block.
    fn note(&self, turn: &Turn);

    /// The plugin of this digest, for the operator of this name. May take as long as compiling it does.
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
    /// The windows that it would have by its own description and the pipeline's.
    pub windows: Option<WindowSpec>,
    /// JSON for the plugin, if another than the version before has.
    pub config: Option<String>,
    /// For how long the version before waits to take over again.
    pub probation: Duration,
    /// Whether it is only to be said what would happen.
    pub dry_run: bool,
}

/// What came of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    /// What takes over.
    pub plugin: PluginEntry,
    /// Since when; `None` where it only would.
    pub held: Option<Held>,
}

/// The epoch from whose end on a version runs holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The epoch.
    pub epoch: Epoch,
    /// How long a task stood still for it, at most.
    pub paused: Duration,
    /// From the question to the answer.
    pub took: Duration,
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
    /// There is nothing to go back to.
    #[error("operator {0:?} runs a version that took over from no other, or from one that failed")]
    NoneBefore(String),
    /// What was there to go back to is not any more.
    #[error("the version before cannot be loaded")]
    Gone(#[source] PortError),
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
    /// It does not come to the end of an epoch.
    #[error("the job's epoch has not ended for a minute, and nothing was changed; see in /healthz what it waits for")]
    Late,
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
    pub(crate) reason: Reason,
    pub(crate) answer: Answer,
}

/// Why a version is to take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Somebody asks for it.
    Wanted,
    /// Somebody goes back to it: tables that only the version that runs has are dropped.
    Back,
    /// The version that runs failed on probation: as [`Reason::Back`], and nobody waits for an answer.
    Failure,
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
    pub(crate) probation: Duration,
    pub(crate) reason: Reason,
    /// How it failed in a task, if it did: noted once it holds.
    pub(crate) failure: Option<String>,
    pub(crate) answer: Answer,
}

impl OperatorSetup {
    /// The same place after `swap`, in a process that was `started` with that. Without a configuration of its own it keeps
    /// that of the version before.
    pub(crate) fn swapped_for(&self, swap: &Swap, started: &Self) -> Self {
        let (factory, config) = (Arc::clone(&swap.factory), swap.config.as_ref().unwrap_or(&self.config).clone());
        Self { windows: swap.windows.clone(), ..started.taken_over(factory, config) }
    }

    /// The same place with another version, in a process that was started with this: the next one that is goes on with it.
    pub(crate) fn taken_over(&self, factory: Arc<dyn OperatorFactory>, config: String) -> Self {
        let from = self.factory.digest().clone();
        let other = (config != self.config).then(|| config.clone());
        // What the process was started with may take over again, and is then what it was.
        let is_another = from != *factory.digest() || other.is_some();
        let took_over = is_another.then_some(TookOver { from, config: other });
        Self { factory, config, took_over, ..self.clone() }
    }

    /// Whether it is this version of an operator.
    pub(crate) fn is(&self, operator: &str, plugin: &PluginEntry) -> bool {
        self.name == operator && self.entry().is(plugin)
    }

    /// What is recorded of its plugin.
    pub(crate) fn entry(&self) -> PluginEntry {
        let description = self.factory.description();
        let (name, version, digest) =
            (description.name.clone(), description.version.clone(), self.factory.digest().clone());
        PluginEntry { name, version, digest, took_over: self.took_over.clone() }
    }

    /// What is asked for with it, where its state is keyed by `key`.
    pub fn declared(&self, key: KeySpec) -> Declared {
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
        let unless = |names: &[String], none: &str| if names.is_empty() { none.to_owned() } else { names.join(", ") };
        let ports = |names: &[String]| unless(names, "one without a name");
        note("its inputs are", ports(&was.inputs), ports(&is.inputs));
        note("its broadcast inputs are", unless(&was.broadcast, "none"), unless(&is.broadcast, "none"));
        note("its outputs are", ports(&was.outputs), ports(&is.outputs));
        let keeps = |setup: &Self| if setup.tables().is_empty() { "keeps no state" } else { "keeps state" }.to_owned();
        note("it", keeps(self), keeps(new));
        let routes = |routes: bool| if routes { "routes records" } else { "routes no records" }.to_owned();
        note("it", routes(was.routes), routes(is.routes));
        let time =
            |setup: &Self| if setup.needs_time() { "goes by event time" } else { "has no event time" }.to_owned();
        note("it", time(self), time(new));
        let windows =
            |setup: &Self| setup.windows.as_ref().map_or_else(|| "none".to_owned(), |windows| format!("{windows:?}"));
        note("its windows are", windows(self), windows(new));
        // A due list names the table of its timers by its place, and may be on its way.
        let timers = |setup: &Self| {
            let tables = setup.factory.description().tables.iter().enumerate();
            let timers = tables.filter(|(_, table)| table.kind.timers_of().is_some());
            let timers: Vec<_> = timers.map(|(at, table)| format!("{} (number {})", table.name, at + 1)).collect();
            unless(&timers, "no table")
        };
        note("its timers are in", timers(self), timers(new));
        differences
    }
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
