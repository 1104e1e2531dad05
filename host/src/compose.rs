//! The composition root: from a plan to a job. With the files below it, the only one that names concrete adapters.

/// A job's Kafka while it does not run.
pub mod cluster;
/// A job's state directory while it does not run.
pub mod directory;
/// Operators and what they need, before anything starts.
pub mod operators;
/// A job forgets.
pub mod reset;
/// State on the move.
pub mod savepoint;
/// What a refused start leaves.
pub mod traces;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use weir_core::ports::{Committed, EpochLog, MarkerRead, Outputs, Sink, SinkConnector, SourceConnector, StateStore};
use weir_core::{Consent, Delivery, Fault, PortError, ShardId, SourceName, SplitId};
use weir_kafka::admin::{Creation, NewTopic};
use weir_kafka::advice::Needs;
use weir_kafka::{
    ClientOptions, KafkaSink, KafkaSource, Properties, SinkSideOptions, SourceOptions, TopicOptions, Topics,
};
use weir_local::{
    FileSource, GenerateOptions, Generator, GeneratorSource, LineFormat, LocalConnector, LocalSink, StdinSource,
};
use weir_pipeline::lines;
use weir_pipeline::plan::{self, KafkaPlan, Plan, SinkKind, SinkPlan, SourceKind, SourcePlan};
use weir_runtime::{Bounds, Error, Job, JobHandle, JobOptions, MarkerPlace, SourceSetup, Summary};
use weir_state::StateDir;

use operators::Loaded;

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
/// Which windows an operator has.
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
    /// Removed at the end.
    temporary: Option<TempDir>,
}

impl Composed {
    /// Watches and stops the job.
    pub fn handle(&self) -> JobHandle {
        self.handle.clone()
    }

    /// Runs it to its end, on this thread.
    pub fn run(self) -> Result<Summary, Error> {
        let Self { job, log, handle, temporary } = self;
        let outcome = job.run(log, &handle);
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
pub fn compose(plan: &Plan, Wishes { consent, drains }: Wishes, loaded: Loaded) -> Result<Composed> {
    let Loaded { graph, operators, sinks } = loaded;
    let client = client(plan)?;
    for unread in outputs::unread(&graph) {
        tracing::warn!(operator = %unread.operator, output = %unread.output, "{unread}");
    }
    keys::missing(plan, &graph).iter().for_each(|keyless| tracing::warn!("{keyless}"));
    // What can be refused is refused before anything is made.
    let sources = sources(plan, client.as_ref())?;
    let sink = sink(plan, client.clone())?;
    let (dir, temporary) = state_dir(plan)?;
    let log = dir.log().map_err(PortError::from)?;
    let state: Arc<dyn StateStore> = dir.store(plan.state.memory_bytes).map_err(PortError::from)?;
    if let (true, Some(client)) = (dir.is_empty() && kafka_sources(plan).next().is_some(), &client) {
        kin::warn_of(client.clone(), sources.clone());
    }
    let has_windows = operators.iter().any(|operator| operator.windows.is_some());
    let has_time = has_windows || plan.sources.iter().any(|source| source.watermark.is_some());
    let set_up = |(planned, connector): (&SourcePlan, Arc<dyn SourceConnector>)| {
        let marked = matches!(planned.kind, SourceKind::Kafka { .. });
        let time = has_time.then(|| planned.event_time());
        SourceSetup { name: SourceName::new(planned.name.as_str()), connector, marked, time }
    };
    #[cfg(feature = "crash-points")]
    let (sources, sink) = (sources.into_iter().map(sabotage::source), sabotage::sink(sink));
    let sources = plan.sources.iter().zip(sources).map(set_up).collect();
    let job = Job { options: options(plan, consent, drains), sources, sink, graph, operators, sinks, state };
    let handle = job.handle();
    if let Some(client) = client {
        let outputs = kafka_topics(plan).map(str::to_owned).collect();
        let needs = Needs { outputs, transactions: plan.delivery == Delivery::ExactlyOnce };
        advice::give_when_it_runs(client, needs, handle.clone());
    }
    Ok(Composed { job, log, handle, temporary })
}

/// How every client of the job's cluster is set up but the one that reads.
fn client(plan: &Plan) -> Result<Option<ClientOptions>> {
    let Some(kafka) = &plan.kafka else { return Ok(None) };
    let properties = Properties::new(&kafka.properties).map_err(PortError::from)?;
    let client = ClientOptions { brokers: kafka.brokers.clone(), properties, job: plan.job.clone(), shard: SHARD };
    client.check().map_err(PortError::from)?;
    Ok(Some(client))
}

/// Checks what `plan` says to the Kafka client, without a broker.
pub fn check_clients(plan: &Plan) -> Result<()> {
    let client = client(plan)?;
    kafka_sources(plan).try_for_each(|kafka| source(kafka, client.as_ref()).map(drop))
}

/// The consumer group of a job with Kafka.
pub fn group(plan: &Plan) -> Option<String> {
    let KafkaPlan { brokers, .. } = plan.kafka.clone()?;
    let properties = Properties::default();
    Some(ClientOptions { brokers, properties, job: plan.job.clone(), shard: SHARD }.group())
}

fn options(plan: &Plan, consent: Consent, drains: bool) -> JobOptions {
    let to_stdout = plan.sinks.iter().any(|s| matches!(s.kind, SinkKind::Stdout { .. }));
    let transaction_timeout = plan.epochs.transaction_timeout;
    JobOptions {
        name: plan.job.clone(),
        shard: SHARD,
        delivery: plan.delivery,
        marker_place: marker_place(plan),
        epoch_interval: plan.epochs.interval,
        stall_after: transaction_timeout + STALL_SLACK,
        has_patient_sink: to_stdout,
        commit_within: transaction_timeout,
        restart: plan.restart,
        bounds: Bounds::default(),
        consent,
        drains,
    }
}

/// Beside the positions of the Kafka sources; on partition 0 of the first sink topic where all sources are others that can
/// be read again; nowhere for stdin, whose positions mean nothing to the next run.
fn marker_place(plan: &Plan) -> MarkerPlace {
    let comes_once = plan.sources.iter().any(|source| !source.kind.is_replayable());
    if kafka_sources(plan).next().is_some() {
        return MarkerPlace::Splits;
    }
    match kafka_topics(plan).next().filter(|_| !comes_once) {
        Some(topic) => MarkerPlace::Fixed(SplitId::new(topic, 0)),
        None => MarkerPlace::Nowhere,
    }
}

fn kafka_sources(plan: &Plan) -> impl Iterator<Item = &SourcePlan> {
    plan.sources.iter().filter(|source| matches!(source.kind, SourceKind::Kafka { .. }))
}

fn kafka_topics(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.sinks.iter().flat_map(|sink| sink.kind.topics())
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
fn sources(plan: &Plan, client: Option<&ClientOptions>) -> Result<Vec<Arc<dyn SourceConnector>>> {
    plan.sources.iter().map(|planned| source(planned, client)).collect()
}

fn source(source: &SourcePlan, client: Option<&ClientOptions>) -> Result<Arc<dyn SourceConnector>> {
    Ok(match &source.kind {
        SourceKind::Kafka { topics, properties } => {
            let client = client.context("a Kafka source needs brokers")?;
            let properties = Properties::new(properties).map_err(PortError::from)?;
            let client = ClientOptions { properties, ..client.clone() };
            let topics = match topics {
                plan::Topics::Named(names) => Topics::Named(names.clone()),
                plan::Topics::Pattern(pattern) => Topics::Pattern(pattern.clone()),
            };
            let options = SourceOptions {
                start: source.start.clone(),
                until: source.until.clone(),
                max_rate: source.max_rate.map(std::num::NonZeroU64::get),
                discovery_interval: source.discovery_interval,
                holds: source.watermark.as_ref().is_some_and(|watermark| watermark.max_drift_ms.is_some()),
                ..SourceOptions::new(topics)
            };
            Arc::new(KafkaSource::new(client, options).map_err(PortError::from)?)
        }
        SourceKind::Stdin { format } => Arc::new(StdinSource::new(line_format(format))),
        SourceKind::File { path, format } => Arc::new(FileSource::new(path, line_format(format))),
        SourceKind::Generate(generate) => Arc::new(GeneratorSource::new(GenerateOptions {
            generator: match generate.generator {
                plan::Generator::Sequence => Generator::Sequence,
                plan::Generator::Clicks => Generator::Clicks,
            },
            rate: generate.rate,
            keys: generate.keys,
            count: generate.count,
            bytes: generate.bytes,
        })),
    })
}

fn sink(plan: &Plan, client: Option<ClientOptions>) -> Result<Arc<dyn SinkConnector>> {
    let local: Vec<_> = plan.sinks.iter().filter_map(local_sink).collect();
    let local = LocalConnector::new(local);
    let Some(client) = client else { return Ok(Arc::new(local)) };
    let options = SinkSideOptions {
        sinks: plan.sinks.iter().filter_map(topic_options).collect(),
        delivery: plan.delivery,
        transaction_timeout: plan.epochs.transaction_timeout,
    };
    let mut kafka = KafkaSink::new(client, options).map_err(PortError::from)?;
    if plan.create_topics {
        kafka = kafka.creating(creation(plan));
    }
    let is_kafka = plan.sinks.iter().map(|s| matches!(s.kind, SinkKind::Kafka { .. })).collect();
    Ok(Arc::new(MixedSinks { kafka, local, is_kafka }))
}

fn topic_options(sink: &SinkPlan) -> Option<TopicOptions> {
    match &sink.kind {
        SinkKind::Kafka { topic, routes } => Some(TopicOptions { topic: topic.clone(), routes: routes.clone() }),
        SinkKind::Stdout { .. } | SinkKind::File { .. } => None,
    }
}

fn local_sink(sink: &SinkPlan) -> Option<LocalSink> {
    match &sink.kind {
        SinkKind::Kafka { .. } => None,
        SinkKind::Stdout { format } => Some(LocalSink::Stdout(line_format(format))),
        SinkKind::File { path, format } => Some(LocalSink::File(path.clone(), line_format(format))),
    }
}

fn line_format(format: &lines::LineFormat) -> LineFormat {
    match format {
        lines::LineFormat::Value => LineFormat::Value,
        lines::LineFormat::KeyValue { separator } => LineFormat::KeyValue { separator: separator.clone().into_bytes() },
        lines::LineFormat::Json => LineFormat::Json,
    }
}

/// Kafka and local sinks in one job: Kafka commits for both, after the local ones are flushed.
struct MixedSinks {
    kafka: KafkaSink,
    local: LocalConnector,
    /// In the order of the pipeline's sinks.
    is_kafka: Vec<bool>,
}

impl SinkConnector for MixedSinks {
    fn read_marker(&self, splits: &[SplitId], read: MarkerRead) -> Result<Vec<Committed>, PortError> {
        self.kafka.read_marker(splits, read)
    }

    fn committed(&self) -> Result<Vec<Committed>, PortError> {
        self.kafka.committed()
    }

    fn fence(&self) -> Result<(), PortError> {
        self.kafka.fence()
    }

    fn stretch(&self, factor: u32) {
        self.kafka.stretch(factor);
    }

    fn open(&self) -> Result<Outputs, PortError> {
        let Outputs { sinks, committer } = self.kafka.open()?;
        let mut kafka = sinks.into_iter();
        let mut local = self.local.open()?.sinks.into_iter();
        let next = |is_kafka: &bool| if *is_kafka { kafka.next() } else { local.next() };
        let sinks: Vec<Box<dyn Sink>> = self.is_kafka.iter().filter_map(next).collect();
        Ok(Outputs { sinks, committer })
    }

    fn marker_home(&self) -> Option<String> {
        self.kafka.marker_home()
    }
}

/// The sink topics; those that are read are misspelt, or not there yet, where they are missing.
fn creation(plan: &Plan) -> Creation {
    let named = plan.sources.iter().filter_map(|source| match &source.kind {
        SourceKind::Kafka { topics: plan::Topics::Named(names), .. } => Some(names.clone()),
        _ => None,
    });
    let topics = plan.sinks.iter().flat_map(|sink| sink.kind.topics().map(move |topic| (topic, sink)));
    let wanted = topics.map(|(topic, sink)| (topic.to_owned(), new_topic(sink)));
    Creation { topics: wanted.collect(), like: named.flatten().collect() }
}

fn new_topic(sink: &SinkPlan) -> NewTopic {
    let plan::TopicCreation { partitions: chosen, replication, config } = &sink.creation;
    NewTopic {
        partitions: chosen.map(|chosen| chosen.get().into()),
        replication: replication.map(|replication| replication.get().into()),
        settings: config.iter().map(|(key, value)| (key.clone(), value.expose().to_owned())).collect(),
    }
}
