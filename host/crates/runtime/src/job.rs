//! A job: what runs, and the handle to watch and stop it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use weir_checkpoint::manifest::TookOver;
use weir_checkpoint::{Turn, Wanted};
use weir_core::key_group::{KeyGroup, key_hash};
use weir_core::ports::{
    EpochLog, OperatorFactory, RecordCheck, Reduce, SinkConnector, SourceConnector, StateStore, Table,
    TableDescription, TableKind, TimeDomain, TimestampsFactory, Ttl, WINDOW_LISTS, WINDOW_NEWS, WINDOW_TIMERS,
};
use weir_core::{
    Consent, Delivery, Digest, Epoch, JobName, KeySpec, OnError, OperatorId, Restart, ShardId, SourceName, Watermark,
};
use weir_operator::{PluginLabel, Reducing, RunnerOptions, Terms, TimerOptions, WindowOptions, WindowTables};
use weir_plan::{Graph, Kind, Node};
use weir_time::WindowSpec;
use weir_time::window::Assign;

use crate::attempt::MarkerPlace;
use crate::coordinate::Ending;
use crate::error::Error;
use crate::metrics::{self, JobMetrics};
use crate::pause::Pause;
use crate::status::{Board, JobState, JobStatus, OperatorStatus, SinkStatus};
use crate::supervisor::{self, Ended};
use crate::versions::{Shelf, Versions};

/// How long a job that ends waits for its history of versions.
const HISTORY_WITHIN: Duration = Duration::from_secs(1);

/// What a job promises and how it is paced.
#[derive(Debug, Clone)]
pub struct JobOptions {
    /// Its name.
    pub name: JobName,
    /// Its shard.
    pub shard: ShardId,
    /// What it promises.
    pub delivery: Delivery,
    /// Where its marker stands.
    pub marker_place: MarkerPlace,
    /// Time between two barriers.
    pub epoch_interval: Duration,
    /// How long an epoch may wait for the outside before the client counts as hung.
    pub stall_after: Duration,
    /// True where a sink may block for as long as its reader likes (a pipe): then only the commit is watched.
    pub has_patient_sink: bool,
    /// How long the outside lets the output of an epoch wait for its commit, before stretching. A job fenced without a
    /// rival waits a random part of its half.
    pub commit_within: Duration,
    /// What follows a failure that may pass.
    pub restart: Restart,
    /// How long calls outside of epochs may take.
    pub bounds: Bounds,
    /// What the user says of state that the pipeline does not use as it is.
    pub consent: Consent,
    /// Whether the last epoch is the end of time: everything that waits for a later time fires.
    pub drains: bool,
}

/// How long calls may take that happen outside of epochs: at a start, in a recovery, at the end. The clients have
/// time-outs of their own, all shorter; who is past these hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Questions to the source and to the group, opening source and sinks. Late, they are left behind.
    pub call: Duration,
    /// Fencing. It cannot be left behind: late, it would fence its own successor. The job ends.
    pub fence: Duration,
    /// Work on log and store outside of epochs. It cannot be left behind either.
    pub disk: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { call: Duration::from_secs(120), fence: Duration::from_secs(180), disk: Duration::from_secs(300) }
    }
}

/// One source.
#[derive(Clone)]
pub struct SourceSetup {
    /// Its name in the pipeline: its positions are found by it.
    pub name: SourceName,
    /// What is read.
    pub connector: Arc<dyn SourceConnector>,
    /// Whether the job's marker stands beside its positions ([`MarkerPlace::Splits`]).
    pub marked: bool,
    /// Its event time; `None` where nothing of the job asks for the time.
    pub time: Option<weir_time::Options>,
    /// What says when its records were made, where a plugin does.
    pub timestamps: Option<Arc<dyn TimestampsFactory>>,
}

/// Where an operator runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// Index of the operator in the pipeline.
    pub index: usize,
    /// Its number in the job's records.
    pub id: OperatorId,
    /// How far its event time has come.
    pub watermark: Watermark,
    /// What it is keyed by.
    pub key: KeySpec,
    /// The key groups of the task.
    pub groups: Range<u16>,
}

/// What runs an operator; how many tasks, what it is keyed by and what it reads is in the graph.
#[derive(Clone)]
pub struct OperatorSetup {
    /// Its name in the graph.
    pub name: String,
    /// Its plugin.
    pub factory: Arc<dyn OperatorFactory>,
    /// JSON for the plugin.
    pub config: String,
    /// What becomes of a record it fails on.
    pub on_error: OnError,
    /// Its windows, where its plugin is an aggregate.
    pub windows: Option<WindowSpec>,
    /// The longest chain of timers that set each other, all due at once.
    pub timer_rounds: u32,
    /// How long what is written in tables of these names stays, where that is not left to the plugin.
    pub ttl: BTreeMap<String, Ttl>,
    /// How its plugin came to run, where the process was not started with it.
    pub took_over: Option<TookOver>,
}

impl OperatorSetup {
    /// Whether it goes by event time: waits for the end of windows, or for timers that its plugin sets, or forgets by it.
    pub fn needs_time(&self) -> bool {
        let by_event_time = |table: &TableDescription| {
            table.kind == TableKind::Timer || table.ttl.is_some_and(|ttl| ttl.domain() == TimeDomain::Event)
        };
        self.windows.as_ref().is_some_and(|windows| windows.domain == TimeDomain::Event)
            || self.tables().iter().any(by_event_time)
    }

    /// What its plugin says of itself; `table` is what the table of a name is, but for how long it keeps what it has. `None`
    /// where one is not there.
    pub fn terms(&self, table: impl Fn(&str) -> Option<Table>) -> Option<Terms> {
        let description = self.factory.description();
        let all = self.tables();
        let own = all.get(..description.tables.len())?;
        let set = |own: &TableDescription| Some(Table { ttl: own.ttl, ..table(&own.name)? });
        let tables: Vec<Table> = own.iter().map(set).collect::<Option<_>>()?;
        let described = || tables.iter().zip(&description.tables);
        let prefetched = described().filter(|(_, own)| own.is_prefetched()).map(|(table, _)| *table).collect();
        let reducing = (0..).zip(described()).filter(|(_, (table, _))| table.kind == TableKind::Reducing);
        let reducing = reducing.map(|(index, (table, own))| {
            Some(Reducing { index, table: *table, reduce: Reduce::of_schema(&own.schema)? })
        });
        let reducing = reducing.collect::<Option<_>>()?;
        let (broadcast, origin) = (description.broadcast_inputs(), description.origin);
        let plugin = PluginLabel {
            name: format!("{} {}", description.name, description.version),
            digest: self.factory.digest().0.clone(),
        };
        Some(Terms { tables, prefetched, reducing, broadcast, origin, plugin })
    }

    /// How it is run at one place; `table` is what the table of a name is there, but for how long it keeps what it has, and
    /// `outputs` are what is asked of the records of each output. `None` where a table is not there.
    pub fn options(
        &self,
        place: Place,
        table: impl Fn(&str) -> Option<Table>,
        outputs: Vec<Vec<RecordCheck>>,
    ) -> Option<RunnerOptions> {
        let (terms, rounds_max) = (self.terms(&table)?, self.timer_rounds);
        let timers_in = |table, domain| TimerOptions { table, domain, groups: place.groups.clone(), rounds_max };
        let windows = match &self.windows {
            Some(spec) => {
                let kept = WindowTables { accumulators: *terms.tables.first()?, lists: table(WINDOW_LISTS) };
                let timers = timers_in(table(WINDOW_TIMERS)?, spec.domain);
                let early = table(WINDOW_NEWS).map(|table| timers_in(table, TimeDomain::Processing));
                Some(WindowOptions::new(spec, kept, timers, early)?)
            }
            None => None,
        };
        let timers = terms.tables.iter().filter_map(|table| Some(timers_in(*table, table.kind.timers_of()?))).collect();
        let writes_broadcast = place.groups.contains(&KeyGroup::of_hash(key_hash(b"")).0);
        Some(RunnerOptions {
            index: place.index,
            id: place.id,
            watermark: place.watermark,
            name: self.name.clone(),
            key: place.key,
            terms,
            outputs,
            on_error: self.on_error,
            letters: None,
            windows,
            timers,
            writes_broadcast,
        })
    }

    /// Its tables: the plugin's in their order, and behind them the host's own. Those of other windows are not theirs.
    pub fn tables(&self) -> Vec<TableDescription> {
        let hosts = |windows: &WindowSpec, name: &str, kind| {
            let (name, schema) = (name.to_owned(), windows.schema());
            TableDescription { name, kind, schema, prefetch: false, ttl: None }
        };
        let timers = self.windows.as_ref().map(|windows| hosts(windows, WINDOW_TIMERS, TableKind::WindowTimer));
        let windows = self.windows.as_ref();
        let listed = windows.filter(|windows| !matches!(Assign::of(windows), Assign::Tumbling(_)));
        let lists = listed.map(|windows| hosts(windows, WINDOW_LISTS, TableKind::Window));
        let early = windows.filter(|windows| windows.firing.early_every_ms.is_some());
        let news = early.map(|windows| hosts(windows, WINDOW_NEWS, TableKind::WindowTimer));
        let own = self.factory.description().tables.iter().cloned();
        let own = own.map(|table| TableDescription { ttl: self.ttl.get(&table.name).copied().or(table.ttl), ..table });
        own.chain(timers).chain(lists).chain(news).collect()
    }

    /// How many tasks run it in `graph`.
    pub(crate) fn tasks(&self, graph: &Graph) -> u16 {
        graph.find(&self.name).map_or(1, |id| graph.parallelism(id))
    }
}

/// One sink.
#[derive(Debug, Clone)]
pub struct SinkSetup {
    /// Its name in the graph.
    pub name: String,
    /// What it writes to, for people.
    pub target: String,
}

/// Everything a job needs. Connectors, store and log live as long as it does.
pub struct Job {
    /// Promises and pace.
    pub options: JobOptions,
    /// Where records come from; at least one.
    pub sources: Vec<SourceSetup>,
    /// Where records go and epochs are committed.
    pub sink: Arc<dyn SinkConnector>,
    /// Who reads whom. Its nodes are the sources, operators and sinks here, by name. This is what is asked for: what runs
    /// is the plan of an epoch.
    pub graph: Graph,
    /// What runs its operators.
    pub operators: Vec<OperatorSetup>,
    /// The sinks, in the order in which `sink` opens them.
    pub sinks: Vec<SinkSetup>,
    /// Keyed state.
    pub state: Arc<dyn StateStore>,
    /// Where plugins are found again that took over.
    pub shelf: Arc<dyn Shelf>,
}

/// How a job ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The newest epoch that holds.
    pub epoch: Epoch,
    /// True when a stop was asked for before the source ended.
    pub stopped: bool,
    /// Records read by this process.
    pub records_read: u64,
    /// Records written by this process.
    pub records_written: u64,
    /// Recoveries in place.
    pub restarts: u64,
    /// False where the store was too slow to be flushed before a stop: nothing is lost, the next start replays the log.
    pub flushed: bool,
}

/// Watches and stops a job from any thread.
#[derive(Clone)]
pub struct JobHandle {
    pub(crate) board: Board,
    /// When a stop was asked for.
    pub(crate) stop: Arc<OnceLock<Instant>>,
    pub(crate) pause: Pause,
    pub(crate) written: Vec<Arc<AtomicU64>>,
    pub(crate) versions: Versions,
}

impl JobHandle {
    /// A snapshot.
    pub fn status(&self) -> JobStatus {
        let mut status = self.board.read();
        status.is_paused = self.pause.is_on();
        for (sink, written) in status.sinks.iter_mut().zip(&self.written) {
            sink.records = written.load(Ordering::Relaxed);
        }
        status
    }

    /// What took over from what, the oldest first.
    pub fn history(&self) -> Vec<Turn> {
        self.versions.turns()
    }

    /// The digests of all plugins that run or may have to.
    pub fn plugins_in_use(&self) -> Vec<Digest> {
        self.versions.in_use()
    }

    /// Asks for a final barrier; the job commits it and leaves.
    pub fn stop(&self) {
        self.stop.get_or_init(weir_machine::now);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.get().is_some()
    }

    /// How long ago a stop was asked for: one clock for all that a stop has to do.
    pub(crate) fn stopping_for(&self) -> Option<Duration> {
        self.stop.get().map(|at| weir_machine::since(*at))
    }
}

impl Job {
    /// The handle; take it before [`Job::run`].
    pub fn handle(&self) -> JobHandle {
        let operators = self.operators.iter().map(|setup| OperatorStatus {
            name: setup.name.clone(),
            parallelism: setup.tasks(&self.graph),
            plugin: setup.entry(),
            state_bytes: 0,
            watermark: Watermark::NONE,
        });
        let sinks = self.sinks.iter().map(|sink| SinkStatus { target: sink.target.clone(), records: 0 });
        let board = Board::new(JobStatus {
            job: self.options.name.clone(),
            shard: self.options.shard,
            state: JobState::Starting,
            is_paused: false,
            delivery: self.options.delivery,
            epoch: Epoch::default(),
            attempt: None,
            restarts: 0,
            last_error: None,
            next_attempt: None,
            waiting: None,
            running_since: None,
            operators: operators.collect(),
            splits: Vec::new(),
            sinks: sinks.collect(),
            records_read: 0,
            records_read_in_attempt: 0,
        });
        let written = self.sinks.iter().map(|_| Arc::default()).collect();
        JobHandle {
            board,
            stop: Arc::default(),
            pause: Pause::default(),
            written,
            versions: Versions::new(&self.operators, &self.shelf),
        }
    }

    /// What this process is asked to run.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            graph: self.graph.clone(),
            marker: self.options.marker_place.clone(),
            operators: self.operators.iter().map(|setup| setup.declared(self.key_of(setup))).collect(),
            consent: self.options.consent.clone(),
        }
    }

    /// The place of a node among the operators, if it is one.
    pub(crate) fn operator_of(&self, node: &Node) -> Option<usize> {
        node.as_operator()?;
        self.operators.iter().position(|setup| setup.name == node.name)
    }

    /// The place of a node among the sinks, if it is one.
    pub(crate) fn sink_of(&self, node: &Node) -> Option<usize> {
        let is_sink = node.kind == Kind::Sink;
        self.sinks.iter().position(|sink| is_sink && sink.name == node.name)
    }

    /// Runs until the source ends, someone stops it, or an error ends it. Blocks the calling thread, which becomes the
    /// coordinator. `log` is the job's epoch log; it goes from attempt to attempt.
    pub fn run(&self, log: Box<dyn EpochLog>, handle: &JobHandle) -> Result<Summary, Error> {
        metrics::describe();
        let metrics = JobMetrics::new(&self.options);
        let supervised = AssertUnwindSafe(|| supervisor::supervise(self, log, handle, &metrics));
        let outcome = catch_unwind(supervised);
        handle.versions.end();
        handle.versions.write_rest(HISTORY_WITHIN);
        let outcome = outcome.unwrap_or_else(|_| Err(Error::Panicked("(coordinator)".into())));
        let state = if outcome.is_ok() { JobState::Finished } else { JobState::Failed };
        handle.board.change(|status| status.state = state);
        outcome.map(|Ended { ending, flushed }| {
            let stopped = ending == Ending::Stopped;
            let status = handle.status();
            let records_written = status.sinks.iter().map(|s| s.records).sum();
            let (epoch, restarts, records_read) = (status.epoch, status.restarts, status.records_read);
            Summary { epoch, stopped, records_read, records_written, restarts, flushed }
        })
    }
}
