//! A plugin on a stage: the runner of a job, with state of its own, and no job around it. A case is played in several ways, of
//! which all must make the same of it.

use std::iter;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use weir_core::frame::{NO_TIMESTAMP, encode_headers};
use weir_core::key_group::KEY_GROUPS;
use weir_core::ports::{CallError, OperatorFactory, StateStore, Table, TableDescription};
use weir_core::{
    Batch, Digest, Epoch, FrameWriter, JobName, OperatorId, Origin, PortError, RecordId, RecordView, SourceName,
    SplitId, SplitState, TableId, Watermark,
};
use weir_operator::{Advanced, Driver, Runner, SplitTable};
use weir_pipeline::plan::OperatorPlan;
use weir_runtime::{OperatorSetup, Place};
use weir_state::StateDir;
use weir_time::WindowSpec;

use super::Seen;
use super::case::{Case, Record, Step};
use crate::compose::SHARD;
use crate::compose::operators::{self, LoadOperator};

/// What the job would be called.
const JOB: &str = "golden";
/// What records say that they were read from.
const SPLIT: &str = "in";
/// For all that the cases of a file keep.
const STATE_BYTES: u64 = 64 << 20;

/// How a case is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    /// So many records come at once, at most.
    pub(crate) batch: usize,
    /// What begins anew after each batch.
    pub(crate) anew: Anew,
}

/// What begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anew {
    /// Nothing.
    Nothing,
    /// The instance: whatever the plugin keeps outside of tables is gone.
    Instance,
    /// All but what an epoch keeps: state comes back from the store, as after a crash.
    All,
}

impl Way {
    /// How a case of so many records is played; in more ways if it is to be `thorough`.
    pub(crate) fn all(records: usize, is_thorough: bool) -> Vec<Self> {
        let way = |batch, anew| Self { batch, anew };
        let most = records.max(1);
        let mut ways = vec![way(most, Anew::Nothing), way(1, Anew::Nothing), way(1, Anew::Instance)];
        if is_thorough {
            ways.extend((2..most).map(|batch| way(batch, Anew::Nothing)));
            ways.push(way(1, Anew::All));
        }
        ways
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.anew, self.batch) {
            (Anew::Nothing, 1) => f.write_str("record by record"),
            (Anew::Nothing, batch) => write!(f, "in batches of {batch}"),
            (Anew::Instance, _) => f.write_str("record by record, each with a new instance"),
            (Anew::All, _) => f.write_str("record by record, restored after each"),
        }
    }
}

/// Where the cases of one plugin are played. See the module.
pub(crate) struct Stage {
    plan: OperatorPlan,
    factory: Arc<dyn OperatorFactory>,
    job: JobName,
    store: Arc<dyn StateStore>,
    /// How many plays there were: each has an operator of its own in the store.
    plays: u16,
    /// The last epoch of any of them.
    epoch: Epoch,
    _dir: TempDir,
}

/// What is played of a case: the plugin in its configuration, its tables, what it tells.
struct Cast {
    setup: OperatorSetup,
    tables: Vec<(String, Table)>,
    place: Place,
    told: Told,
}

impl Stage {
    /// For the plugin of this file, with an empty store.
    pub(crate) fn new(plugin: &Path, loader: &dyn LoadOperator) -> Result<Self> {
        let plan = operators::alone(plugin);
        let factory = loader.load(&plan)?;
        let dir =
            TempDir::with_prefix("weir-test-").context("failed to make a directory for the state of the cases")?;
        let job = JobName::new(JOB)?;
        let state = StateDir::open(dir.path(), &job, SHARD).map_err(PortError::from)?;
        let store: Arc<dyn StateStore> = state.store(STATE_BYTES).map_err(PortError::from)?;
        Ok(Self { plan, factory, job, store, plays: 0, epoch: Epoch(0), _dir: dir })
    }

    /// What a case makes of its input, played this way. Time ends with it.
    pub(crate) fn play(&mut self, case: &Case, way: Way) -> Result<Seen> {
        let cast = self.cast(case)?;
        let mut runner = self.runner(&cast, Watermark::NONE)?;
        let (mut seen, mut reached, mut out) = (Seen::default(), Watermark::NONE, Vec::new());
        let mut steps = (0..).zip(&case.steps).peekable();
        while let Some((at, step)) = steps.next() {
            match step {
                Step::Watermark(ms) => {
                    reached = reached.max(Watermark::at(*ms));
                    advance(&mut runner, reached, &mut out)?;
                }
                Step::Clock(ms) => {
                    cast.told.get().now_ms = *ms;
                    while runner.wake(*ms, &mut out)? == Advanced::More {}
                }
                Step::Record { input, record } => {
                    let mut batch = vec![(at, record)];
                    let more =
                        |step: &(usize, &Step)| matches!(step.1, Step::Record { input: other, .. } if other == input);
                    let rest =
                        iter::from_fn(|| steps.next_if(more)).filter_map(|(at, step)| Some((at, step.record()?)));
                    batch.extend(rest.take(way.batch.saturating_sub(1)));
                    runner.run(*input, &frame(&batch), &mut out)?;
                }
            }
            seen.take(&mut out);
            if way.anew != Anew::Nothing {
                runner = self.anew(runner, &cast, way, reached)?;
            }
        }
        advance(&mut runner, Watermark::END, &mut out)?;
        seen.take(&mut out);
        drop(runner);
        let told = cast.told.get();
        seen.failures.clone_from(&told.failures);
        seen.late = told.late;
        seen.failed_due.clone_from(&told.failed_due);
        Ok(seen)
    }

    /// The plugin as the case wants it; whoever does not open is told of.
    fn cast(&mut self, case: &Case) -> Result<Cast> {
        let window = case.window.as_ref().map(|words| WindowSpec::from_table(&words.0)).transpose()?;
        let plan = OperatorPlan { config: case.config.clone().into(), window, ..self.plan.clone() };
        let setup = operators::setup(&plan, Arc::clone(&self.factory))?;
        setup.check(&self.job, SHARD, 1).context("it does not start with the configuration of the case")?;
        let numbered = |(id, table): (u16, TableDescription)| {
            (table.name, Table { id: TableId(id), kind: table.kind, ttl: table.ttl })
        };
        let tables = (0..).zip(setup.tables()).map(numbered).collect();
        self.plays += 1;
        let (id, key) = (OperatorId(self.plays), case.key.clone());
        let place = Place { index: 0, id, watermark: Watermark::NONE, key, groups: 0..KEY_GROUPS };
        Ok(Cast { setup, tables, place, told: Told::default() })
    }

    fn runner(&self, cast: &Cast, watermark: Watermark) -> Result<Runner> {
        let Cast { setup, tables, place, told } = cast;
        let find = |name: &str| tables.iter().find(|(own, _)| own == name).map(|(_, table)| *table);
        let outputs = setup.factory.description().output_count();
        let place = Place { watermark, ..place.clone() };
        let id = place.id;
        let options = setup.options(place, find, vec![Vec::new(); outputs as usize]);
        let options = options.context("a table of it is not there")?;
        let state = (!options.terms.tables.is_empty()).then(|| self.store.open(id, (1, 1)));
        let instance = setup.open(&self.job, SHARD, (0, 1))?;
        Ok(Runner::new(options, instance, state, Box::new(told.clone())))
    }

    /// What is left of `runner` after a batch.
    fn anew(&mut self, mut runner: Runner, cast: &Cast, way: Way, reached: Watermark) -> Result<Runner> {
        if way.anew == Anew::Instance {
            runner.renew_instance();
            return Ok(runner);
        }
        self.epoch = Epoch(self.epoch.0 + 1);
        if let Some(state) = runner.state() {
            let delta = state.seal(self.epoch);
            state.commit(self.epoch);
            let record = RecordId { epoch: self.epoch, digest: Digest(self.epoch.to_string()) };
            self.store.apply(&record, vec![delta])?;
            self.store.join()?;
        }
        drop(runner);
        self.runner(cast, reached)
    }
}

/// Fires all that is due.
fn advance(runner: &mut Runner, to: Watermark, out: &mut Vec<(u32, Batch)>) -> Result<()> {
    while runner.advance(to, out)? == Advanced::More {}
    Ok(())
}

/// A batch of steps of a case.
fn frame(steps: &[(usize, &Record)]) -> Batch {
    let (mut writer, mut headers) = (FrameWriter::new(Vec::new()), Vec::new());
    for (source, (_, record)) in (0..).zip(steps) {
        encode_headers(record.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())), &mut headers);
        writer.push(RecordView {
            timestamp_ms: record.timestamp.unwrap_or(NO_TIMESTAMP),
            source,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        });
    }
    let origins = steps.iter().map(|(at, _)| Origin::new(0, i64::try_from(*at).unwrap_or(i64::MAX))).collect();
    Batch { frame: writer.finish(), origins }
}

impl Seen {
    fn take(&mut self, out: &mut Vec<(u32, Batch)>) {
        for (output, batch) in out.drain(..) {
            self.output.extend(batch.frame.records().map(|record| (output, Record::of(&record).to_string())));
        }
    }
}

/// What a runner tells of records.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Tally>>);

#[derive(Default)]
struct Tally {
    failures: Vec<usize>,
    failed_due: Vec<String>,
    late: usize,
    /// What the clock says.
    now_ms: i64,
}

impl Told {
    fn get(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for Told {
    fn processed(&self, _: usize) {}

    fn late(&self, records: usize) {
        self.get().late += records;
    }

    fn skipped(&self, origin: Origin, why: &CallError) {
        let mut told = self.get();
        match Some(origin).filter(|origin| *origin != Origin::NONE) {
            Some(Origin { offset, .. }) => told.failures.push(usize::try_from(offset).unwrap_or(usize::MAX)),
            None => told.failed_due.push(why.to_string()),
        }
    }

    fn dead_lettered(&self) {}

    fn now_ms(&self) -> i64 {
        self.get().now_ms
    }

    fn with_splits(&self, look: &mut dyn FnMut(&SplitTable)) {
        let mut splits = SplitTable::new([SourceName::new(SPLIT)]);
        let split = SplitId::new(SPLIT, 0);
        splits.name(0, &[SplitState { split, position: 0, end: None, identity: None, term: None }]);
        look(&splits);
    }
}
