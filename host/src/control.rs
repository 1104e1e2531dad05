//! What may be asked of a running job: another version of an operator, and its history.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use weir_api::control::{Control, SwapRequest};
use weir_api::model::{self, Refusal, RefusalKind};
use weir_checkpoint::{PluginEntry, Turn};
use weir_core::ports::OperatorFactory;
use weir_core::{Digest, Fault, PortError};
use weir_pipeline::plan::{OperatorPlan, Plan};
use weir_runtime::{JobHandle, JobState, NotSwapped, Shelf, Swap, Swapped};
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

    /// Keeps the files that the process is started with: whoever goes back to one of them finds it, whatever became of it. A
    /// file that cannot be kept is told, and cannot be gone back to. A pipe was read to its end already.
    pub(crate) fn keep_started(&self) {
        let is_file = |operator: &&OperatorPlan| operator.plugin.metadata().is_ok_and(|file| file.is_file());
        for operator in self.operators.iter().filter(is_file) {
            let kept = std::fs::read(&operator.plugin).map_err(Into::into).and_then(|bytes| self.keep(&bytes));
            if let Err(error) = kept {
                tracing::warn!(operator = %operator.name, "the plugin is not kept beside the state: {error:#}");
            }
        }
    }

    fn keep(&self, bytes: &[u8]) -> Result<Digest> {
        Ok(self.files.keep(bytes).map_err(PortError::from)?)
    }

    /// What the process was started with.
    fn config(&self, operator: &str) -> Option<String> {
        self.operators.iter().find(|plan| plan.name == operator).map(|plan| plan.config.to_string())
    }

    /// Loads the file of this digest as the plugin of an operator, and checks that it fits what the pipeline says of it.
    fn load(&self, operator: &str, digest: &Digest) -> Result<Arc<dyn OperatorFactory>> {
        let plan = self.operators.iter().find(|plan| plan.name == operator);
        let plan = plan.with_context(|| format!("the pipeline has no operator {operator:?}"))?;
        let plan = OperatorPlan { plugin: self.files.path(digest), ..plan.clone() };
        let factory = self.loader.load(&plan)?;
        operators::setup(&plan, Arc::clone(&factory)).map_err(|error| PortError::new(Fault::Config, error))?;
        Ok(factory)
    }
}

impl Shelf for PluginShelf {
    fn find(&self, operator: &str, digest: &Digest) -> Result<Arc<dyn OperatorFactory>, PortError> {
        let found = self.load(operator, digest).and_then(|factory| {
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
pub(crate) struct JobControl {
    job: Arc<OnceLock<(JobHandle, Arc<PluginShelf>)>>,
    signals: Signals,
}

impl JobControl {
    pub(crate) fn new(signals: Signals) -> Self {
        Self { job: Arc::default(), signals }
    }

    /// From now on this job is changed.
    pub(crate) fn show(&self, handle: JobHandle, shelf: Arc<PluginShelf>) {
        drop(self.job.set((handle, shelf)));
    }

    fn get(&self) -> Result<&(JobHandle, Arc<PluginShelf>), Refusal> {
        self.job.get().ok_or_else(|| Refusal::new(RefusalKind::Conflict, "the job is starting; try again once it runs"))
    }

    /// Has the plugin of `bytes` take over.
    pub(crate) fn take_over(&self, operator: &str, request: SwapRequest) -> Result<model::Swapped, Refusal> {
        let (handle, shelf) = self.get()?;
        let SwapRequest { plugin, config, probation, dry_run } = request;
        let config = config.map(|text| json(&text)).transpose()?;
        known(handle, operator)?;
        let digest = shelf.keep(&plugin).map_err(because(RefusalKind::Failed))?;
        let factory = shelf.load(operator, &digest).map_err(because(RefusalKind::Unfit))?;
        swap(handle, Swap { operator: operator.to_owned(), factory, config, probation, dry_run, goes_back: false })
    }
}

fn swap(handle: &JobHandle, swap: Swap) -> Result<model::Swapped, Refusal> {
    let (description, digest) = (swap.factory.description(), swap.factory.digest().0.clone());
    let plugin = model::Plugin { name: description.name.clone(), version: description.version.clone(), digest };
    match handle.swap(swap).map_err(refused)? {
        Swapped::Possible => Ok(model::Swapped { plugin, epoch: None, paused_ms: None, took_ms: None }),
        Swapped::Done { epoch, paused, took } => {
            let (paused_ms, took_ms) = (Some(ms(paused)), Some(ms(took)));
            Ok(model::Swapped { plugin, epoch: Some(epoch.0), paused_ms, took_ms })
        }
    }
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
        NotSwapped::Same(_) | NotSwapped::NotRunning(_) | NotSwapped::Busy => RefusalKind::Conflict,
        NotSwapped::Undone | NotSwapped::Ended => RefusalKind::Failed,
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
        let (handle, shelf) = self.get()?;
        known(handle, operator)?;
        let history = shelf.history();
        let last = history.iter().rev().find(|turn| turn.operator == operator);
        let nothing = format!("no version of operator {operator:?} took over from another");
        let nothing = || Refusal::new(RefusalKind::Conflict, nothing);
        let PluginEntry { digest, took_over, .. } = &last.ok_or_else(nothing)?.from;
        let config = took_over.as_ref().and_then(|took_over| took_over.config.clone());
        let config = config.or_else(|| shelf.config(operator));
        let factory = shelf.load(operator, digest).map_err(because(RefusalKind::Failed))?;
        let (operator, probation) = (operator.to_owned(), Duration::ZERO);
        swap(handle, Swap { operator, factory, config, probation, dry_run: false, goes_back: true })
    }

    fn versions(&self, operator: &str) -> Result<Vec<model::Turn>, Refusal> {
        let (handle, shelf) = self.get()?;
        known(handle, operator)?;
        let turns = shelf.history().into_iter().filter(|turn| turn.operator == operator);
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
        let stopped = self.signals.stop();
        stopped.map_err(|error| Refusal::new(RefusalKind::Failed, format!("failed to start a thread: {error}")))?;
        let epoch = self.job.get().map_or(0, |(handle, _)| handle.status().epoch.0);
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
    let plugin =
        |entry: PluginEntry| model::Plugin { name: entry.name, version: entry.version, digest: entry.digest.0 };
    let (from, to) = (plugin(turn.from), plugin(turn.to));
    model::Turn { epoch: turn.epoch, at_ms: turn.at_ms, from, to, failure: turn.failure }
}
