//! What may be asked of a running job: another version of an operator, and its history.

use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use weir_api::control::{Control, SwapRequest};
use weir_api::model::{self, Refusal, RefusalKind};
use weir_checkpoint::{PluginEntry, Turn};
use weir_core::ports::OperatorFactory;
use weir_core::{Digest, Fault, PortError};
use weir_pipeline::plan::{OperatorPlan, Plan};
use weir_runtime::{Held, JobHandle, JobState, NotSwapped, OperatorSetup, Shelf, Swap, Swapped};
use weir_state::PluginFiles;

use crate::compose::operators::{self, LoadOperator};
use crate::signals::Signals;
use crate::{exit, view};

/// The plugins beside the state of a job, loaded as its plan says.
pub(crate) struct PluginShelf {
    files: PluginFiles,
    loader: Arc<dyn LoadOperator>,
    operators: Vec<OperatorPlan>,
}

impl PluginShelf {
    pub(crate) fn new(files: PluginFiles, loader: Arc<dyn LoadOperator>, plan: &Plan) -> Self {
        Self { files, loader, operators: plan.operators.clone() }
    }

    /// Keeps the files that the process was started with, whose digests these are: whoever goes back to one of them finds it,
    /// whatever became of it. A file that cannot be kept is told, and cannot be gone back to. A pipe was read to its end
    /// already.
    pub(crate) fn keep_started<'a>(&self, digests: impl Iterator<Item = &'a Digest>) {
        let is_file = |(operator, _): &(&OperatorPlan, _)| operator.plugin.metadata().is_ok_and(|file| file.is_file());
        for (operator, digest) in self.operators.iter().zip(digests).filter(is_file) {
            let why = match self.files.keep_loaded(&operator.plugin, digest) {
                Ok(true) => continue,
                Ok(false) => "it has changed since it was loaded".to_owned(),
                Err(error) => format!("{:#}", anyhow::Error::from(PortError::from(error))),
            };
            tracing::warn!(operator = %operator.name, "the plugin is not kept beside the state: {why}");
        }
    }

    /// Keeps a file that is to take over; says whether it is new here. Whoever asks for it says in the end what came of it:
    /// [`PluginShelf::settle`].
    fn keep(&self, bytes: &[u8]) -> Result<(Digest, bool)> {
        Ok(self.files.keep(bytes).map_err(PortError::from)?)
    }

    /// A `new` file that nothing came of goes again; so do others, where there are too many that are not `in_use`.
    fn settle(&self, new: Option<&Digest>, in_use: &[Digest]) {
        let unused = new.filter(|new| !in_use.contains(new));
        let settled = unused.map_or(Ok(()), |unused| self.files.forget(unused)).and_then(|()| self.files.trim(in_use));
        if let Err(error) = settled.map_err(PortError::from) {
            tracing::warn!("plugins that are not used any more are not removed: {:#}", anyhow::Error::from(error));
        }
    }

    /// Loads the file of this digest as the plugin of an operator, as the pipeline would run it.
    fn load(&self, operator: &str, digest: &Digest) -> Result<OperatorSetup> {
        let plan = self.operators.iter().find(|plan| plan.name == operator);
        let plan = plan.with_context(|| format!("the pipeline has no operator {operator:?}"))?;
        let plan = OperatorPlan { plugin: self.files.path(digest), ..plan.clone() };
        let factory = self.loader.load(&plan)?;
        Ok(operators::setup(&plan, factory).map_err(|error| PortError::new(Fault::Config, error))?)
    }
}

impl Shelf for PluginShelf {
    fn find(&self, operator: &str, digest: &Digest) -> Result<Arc<dyn OperatorFactory>, PortError> {
        let found = self.load(operator, digest).and_then(|OperatorSetup { factory, .. }| {
            let is_itself = factory.digest() == digest;
            is_itself.then_some(factory).with_context(|| format!("{} is damaged", self.files.path(digest).display()))
        });
        found.map_err(|error| PortError::new(exit::fault(&error), error))
    }

    fn history(&self) -> Vec<Turn> {
        let lines = self.files.history().unwrap_or_else(|error| {
            tracing::warn!(%error, "the history of versions cannot be read");
            Vec::new()
        });
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn note(&self, turn: &Turn) {
        let line = serde_json::to_string(turn).map_err(anyhow::Error::from);
        let noted = line.and_then(|line| Ok(self.files.note(&line).map_err(PortError::from)?));
        if let Err(error) = noted {
            tracing::warn!("the history of versions cannot be written: {error:#}");
        }
    }
}

/// Changes a job once there is one.
#[derive(Clone)]
pub(crate) struct JobControl(Arc<Shared>);

struct Shared {
    job: OnceLock<(JobHandle, Arc<PluginShelf>)>,
    signals: Signals,
    /// Held while a file is kept and takes over: one at a time.
    changing: Mutex<()>,
}

impl JobControl {
    pub(crate) fn new(signals: Signals) -> Self {
        Self(Arc::new(Shared { job: OnceLock::new(), signals, changing: Mutex::default() }))
    }

    /// From now on this job is changed.
    pub(crate) fn show(&self, handle: JobHandle, shelf: Arc<PluginShelf>) {
        drop(self.0.job.set((handle, shelf)));
    }

    fn get(&self) -> Result<&(JobHandle, Arc<PluginShelf>), Refusal> {
        let starting = || Refusal::new(RefusalKind::Busy, "the job is starting; try again once it runs");
        self.0.job.get().ok_or_else(starting)
    }

    /// Has the plugin of `bytes` take over.
    pub(crate) fn take_over(&self, operator: &str, request: SwapRequest) -> Result<model::Swapped, Refusal> {
        let (handle, shelf) = self.get()?;
        let SwapRequest { plugin, config, probation, dry_run } = request;
        let config = config.map(|text| json(&text)).transpose()?;
        known(handle, operator)?;
        // Before anything is written or compiled for it.
        let state = handle.status().state;
        if state != JobState::Running {
            return Err(refused(NotSwapped::NotRunning(state.word())));
        }
        let changing = match self.0.changing.try_lock() {
            Ok(changing) => changing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(refused(NotSwapped::Busy)),
        };
        let (digest, is_new) = shelf.keep(&plugin).map_err(because(RefusalKind::Failed))?;
        let loaded = shelf.load(operator, &digest).map_err(because(RefusalKind::Unfit));
        let swapped = loaded.and_then(|OperatorSetup { factory, windows, .. }| {
            let swap = Swap { operator: operator.to_owned(), factory, windows, config, probation, dry_run };
            handle.swap(swap).map(swapped).map_err(refused)
        });
        // Where nobody knows whether it holds, the next start may need it.
        let is_in_doubt = swapped.as_ref().is_err_and(|refusal| refusal.kind == RefusalKind::Failed);
        shelf.settle(Some(&digest).filter(|_| is_new && !is_in_doubt), &handle.plugins_in_use());
        drop(changing);
        swapped
    }
}

fn swapped(swapped: Swapped) -> model::Swapped {
    let plugin = plugin(swapped.plugin);
    let Some(Held { epoch, paused, took }) = swapped.held else {
        return model::Swapped { plugin, epoch: None, paused_ms: None, took_ms: None };
    };
    model::Swapped { plugin, epoch: Some(epoch.0), paused_ms: Some(ms(paused)), took_ms: Some(ms(took)) }
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn json(text: &str) -> Result<String, Refusal> {
    let value: Result<serde_json::Value, _> = serde_json::from_str(text);
    value
        .map(|value| value.to_string())
        .map_err(|error| Refusal::new(RefusalKind::Unfit, format!("the configuration is no JSON: {error}")))
}

/// Before anything is kept for it.
fn known(handle: &JobHandle, operator: &str) -> Result<(), Refusal> {
    let known: Vec<_> = handle.status().operators.into_iter().map(|operator| operator.name).collect();
    if known.iter().any(|name| name == operator) {
        return Ok(());
    }
    Err(refused(NotSwapped::Unknown { name: operator.to_owned(), known }))
}

fn refused(error: NotSwapped) -> Refusal {
    let kind = match error {
        NotSwapped::Unknown { .. } => RefusalKind::Unknown,
        NotSwapped::State(_) => RefusalKind::State,
        NotSwapped::Place { .. } | NotSwapped::Open(_) => RefusalKind::Unfit,
        NotSwapped::Same(_) | NotSwapped::NoneBefore(_) => RefusalKind::Conflict,
        NotSwapped::NotRunning(_) | NotSwapped::Late | NotSwapped::Busy | NotSwapped::Undone => RefusalKind::Busy,
        NotSwapped::Gone(_) | NotSwapped::Ended => RefusalKind::Failed,
    };
    because(kind)(error.into())
}

/// A refusal of this kind, for an error with its causes.
fn because(kind: RefusalKind) -> impl Fn(anyhow::Error) -> Refusal {
    move |error| Refusal::new(kind, format!("{error:#}"))
}

impl Control for JobControl {
    fn swap(&self, operator: &str, request: SwapRequest) -> Result<model::Swapped, Refusal> {
        self.take_over(operator, request)
    }

    fn rollback(&self, operator: &str) -> Result<model::Swapped, Refusal> {
        let (handle, _) = self.get()?;
        handle.rollback(operator).map(swapped).map_err(refused)
    }

    fn versions(&self, operator: &str) -> Result<Vec<model::Turn>, Refusal> {
        let (handle, _) = self.get()?;
        known(handle, operator)?;
        let turns = handle.history().into_iter().filter(|turn| turn.operator == operator);
        Ok(turns.map(turn).collect())
    }

    fn pause(&self) -> Result<model::Standing, Refusal> {
        let (handle, _) = self.get()?;
        standing(handle)?;
        handle.pause();
        standing(handle)
    }

    fn resume(&self) -> Result<model::Standing, Refusal> {
        let (handle, _) = self.get()?;
        standing(handle)?;
        handle.resume();
        standing(handle)
    }

    fn stop(&self) -> Result<model::Standing, Refusal> {
        let stopped = self.0.signals.stop();
        stopped.map_err(|error| Refusal::new(RefusalKind::Failed, format!("failed to start a thread: {error}")))?;
        let epoch = self.0.job.get().map_or(0, |(handle, _)| handle.status().epoch.0);
        Ok(model::Standing { state: model::State::Stopping, epoch })
    }
}

/// Where a job stands that goes on.
fn standing(handle: &JobHandle) -> Result<model::Standing, Refusal> {
    let status = handle.status();
    match status.state {
        JobState::Stopping | JobState::Finished | JobState::Failed => {
            let text = format!("the job does not go on: it is {}", status.state.word());
            Err(Refusal::new(RefusalKind::Conflict, text))
        }
        JobState::Starting | JobState::Running | JobState::Recovering => {
            Ok(model::Standing { state: view::state(&status), epoch: status.epoch.0 })
        }
    }
}

fn turn(turn: Turn) -> model::Turn {
    let (from, to) = (plugin(turn.from), plugin(turn.to));
    model::Turn { epoch: turn.epoch, at_ms: turn.at_ms, from, to, failure: turn.failure }
}

fn plugin(entry: PluginEntry) -> model::Plugin {
    model::Plugin { name: entry.name, version: entry.version, digest: entry.digest.0 }
}
