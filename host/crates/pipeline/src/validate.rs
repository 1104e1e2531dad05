//! From a spec to a plan, or why not. Every default is filled in here and nowhere else.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_core::key_group::KEY_GROUPS;
use weir_core::{JobName, KeySpec, OnError, Start, Until};

use crate::address::{GENERATED_BYTES_TOO_MANY, topic_name};
use crate::cluster::Clusters;
use crate::delivery;
use crate::error::{Error, closest};
use crate::graph;
use crate::name::{default_name, plain};
use crate::plan::{
    ApiPlan, EpochsPlan, GeneratePlan, Generator, Input, Limits, OperatorPlan, Plan, SinkKind, SinkPlan, SourceKind,
    SourcePlan, StateDir, StatePlan, TopicCreation, Topics,
};
use crate::spec::{GenerateSpec, KafkaSourceSpec, OnErrorSpec, OperatorSpec, SinkSpec, SourceSpec, Spec};

/// What holds where nothing is said.
mod defaults {
    use super::Duration;

    pub(super) const API: (&str, u16) = ("127.0.0.1", 7070);
    pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(1);
    pub(super) const DISCOVERY_INTERVAL: Duration = Duration::from_secs(30);
    pub(super) const EPOCH_INTERVAL: Duration = Duration::from_millis(100);
    pub(super) const GENERATOR_KEYS: u64 = 1000;
    pub(super) const PLUGIN_MEMORY_BYTES: u64 = 64 << 20;
    pub(super) const STATE_MEMORY_BYTES: u64 = 128 << 20;
    pub(super) const STATE_ROOT: &str = ".weir";
    pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);
}

/// As much as a line may have.
const GENERATED_BYTES_MAX: u32 = 64 << 20;
/// Below this RocksDB alone does not fit.
const STATE_MEMORY_BYTES_MIN: u64 = 8 << 20;
const TRANSACTION_TIMEOUT_MIN: Duration = Duration::from_secs(1);
const EPOCH_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Checks `spec` from end to end.
pub fn validate(spec: &Spec) -> Result<Plan, Error> {
    let graph = graph::order(spec)?;
    let mut clusters = Clusters::new(&spec.kafka);
    let mut source = named(&spec.sources, graph.source, |name, spec| source_plan(name, spec, &mut clusters))?;
    let operators = graph
        .operators
        .into_iter()
        .map(|(name, input)| named(&spec.operators, name, |name, spec| operator_plan(name, spec, input)));
    let operators = operators.collect::<Result<Vec<_>, _>>()?;
    let sinks = graph
        .sinks
        .into_iter()
        .map(|(name, input)| named(&spec.sinks, name, |name, spec| sink_plan(name, spec, input, &mut clusters)));
    let sinks = sinks.collect::<Result<Vec<_>, _>>()?;
    check_outputs(&source.kind, &sinks)?;
    if let SourceKind::Kafka { properties, .. } = &mut source.kind {
        clusters.complete(properties);
    }
    let kafka = clusters.finish()?;
    let job = match &spec.job {
        Some(name) => JobName::new(name.as_str()).map_err(|error| Error::invalid("job (--job)", error.to_string()))?,
        None => default_name(&source.kind, &operators, &sinks),
    };
    Ok(Plan {
        delivery: delivery::choose(spec.delivery, &source.kind, &sinks)?,
        epochs: epochs_plan(spec)?,
        state: state_plan(spec, &job, &source.kind, kafka.is_some())?,
        api: api_plan(spec.api.as_deref())?,
        create_topics: spec.kafka.create_topics.unwrap_or(false),
        restart: spec.restart.plan()?,
        job,
        source,
        operators,
        sinks,
        kafka,
    })
}

/// Looks up what `graph` ordered.
fn named<T, P>(
    nodes: &BTreeMap<String, T>,
    name: &str,
    plan: impl FnOnce(&str, &T) -> Result<P, Error>,
) -> Result<P, Error> {
    plan(name, nodes.get(name).expect("the graph is made of the spec's own names"))
}

fn source_plan(name: &str, spec: &SourceSpec, clusters: &mut Clusters<'_>) -> Result<SourcePlan, Error> {
    let at = format!("sources.{name}");
    let kinds = [
        ("kafka", spec.kafka.is_some()),
        ("file", spec.file.is_some()),
        ("generate", spec.generate.is_some()),
        ("stdin", spec.stdin.is_some()),
    ];
    exactly_one(&at, &kinds)?;
    if spec.watermark.is_some() {
        return Err(Error::not_yet(format!("{at}.watermark: event time"), "leave it out"));
    }
    let kind = if let Some(kafka) = &spec.kafka {
        let properties = clusters.join(&at, kafka.brokers.as_deref(), &kafka.properties)?;
        SourceKind::Kafka { topics: topics(&at, kafka)?, properties }
    } else if let Some(file) = &spec.file {
        SourceKind::File { path: path(&at, &file.path)?, format: file.lines().plan(&at)? }
    } else if let Some(generate) = &spec.generate {
        SourceKind::Generate(generate_plan(&at, generate)?)
    } else {
        SourceKind::Stdin { format: spec.stdin.clone().unwrap_or_default().plan(&at)? }
    };
    check_kafka_only(&at, spec, &kind)?;
    Ok(SourcePlan {
        name: name.to_owned(),
        kind,
        start: spec.start.clone().unwrap_or_default(),
        until: spec.until.clone(),
        max_rate: spec.max_rate,
        discovery_interval: positive(
            &format!("{at}.discovery-interval (--discovery-interval)"),
            spec.discovery_interval.map_or(defaults::DISCOVERY_INTERVAL, |s| s.0),
        )?,
    })
}

/// Settings that only a Kafka source has.
fn check_kafka_only(at: &str, spec: &SourceSpec, kind: &SourceKind) -> Result<(), Error> {
    let (what, ends) = match kind {
        SourceKind::Kafka { .. } => return Ok(()),
        SourceKind::Stdin { .. } => ("stdin", "it is read to its end"),
        SourceKind::File { .. } => ("a file", "it is read to the end that it has at the first start"),
        SourceKind::Generate(_) => ("a generator", "give it count=N"),
    };
    let refuse =
        |key: &str, reason: &str| Err(Error::conflict(format!("{at}.{key} (--{key})"), what, reason.to_owned()));
    if spec.start.as_ref().is_some_and(|start| *start != Start::Earliest) {
        return refuse("start", "it is always read from its beginning; only Kafka topics have other starts");
    }
    // "To the end it has now" is what a file and stdin do anyway.
    let generated = matches!(kind, SourceKind::Generate(_));
    if spec.until.as_ref().is_some_and(|until| generated || *until != Until::Latest) {
        return refuse("until", ends);
    }
    if spec.max_rate.is_some() {
        let cure = if generated { "give it rate=N" } else { "only Kafka sources have a rate" };
        return refuse("max-rate", cure);
    }
    if spec.discovery_interval.is_some() {
        return refuse("discovery-interval", "there are no partitions to discover");
    }
    Ok(())
}

fn exactly_one(at: &str, kinds: &[(&str, bool)]) -> Result<(), Error> {
    let given: Vec<&str> = kinds.iter().filter(|(_, given)| *given).map(|(kind, _)| *kind).collect();
    match given.as_slice() {
        [_] => Ok(()),
        [] => {
            let known: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
            Err(Error::missing(at, format!("give it one of {}", known.join(", "))))
        }
        [one, other, ..] => {
            Err(Error::conflict(format!("{at}.{one}"), format!("{at}.{other}"), "only one of them can be meant"))
        }
    }
}

fn topics(at: &str, kafka: &KafkaSourceSpec) -> Result<Topics, Error> {
    let kinds =
        [("topic", kafka.topic.is_some()), ("topics", kafka.topics.is_some()), ("pattern", kafka.pattern.is_some())];
    exactly_one(&format!("{at}.kafka"), &kinds)?;
    if let Some(pattern) = &kafka.pattern {
        let at = format!("{at}.kafka.pattern");
        regex::Regex::new(pattern).map_err(|error| Error::invalid(at, format!("not a regular expression: {error}")))?;
        return Ok(Topics::Pattern(pattern.clone()));
    }
    let mut names = kafka.topics.clone().unwrap_or_default();
    names.extend(kafka.topic.clone());
    if names.is_empty() {
        return Err(Error::missing(format!("{at}.kafka.topics"), "name at least one topic"));
    }
    for (index, name) in names.iter().enumerate() {
        topic_name(name, name)?;
        if names.iter().skip(index + 1).any(|other| other == name) {
            return Err(Error::invalid(format!("{at}.kafka.topics"), format!("{name:?} is named twice")));
        }
    }
    Ok(Topics::Named(names))
}

fn generate_plan(at: &str, spec: &GenerateSpec) -> Result<GeneratePlan, Error> {
    let Some((_, generator)) = Generator::ALL.into_iter().find(|(name, _)| *name == spec.name) else {
        let close = closest(&spec.name, Generator::ALL.map(|(name, _)| name));
        let known = Generator::ALL.map(|(name, _)| name).join(", ");
        let cure = close.map_or_else(|| format!("known are {known}"), |close| format!("did you mean {close:?}?"));
        return Err(Error::invalid(format!("{at}.generate"), format!("no generator is named {:?}; {cure}", spec.name)));
    };
    let default = NonZeroU64::new(defaults::GENERATOR_KEYS).expect("the default is not zero");
    let keys = spec.keys.unwrap_or(default);
    let at = format!("{at}.generate");
    if spec.bytes.is_some_and(|bytes| bytes > GENERATED_BYTES_MAX) {
        return Err(Error::invalid(at, GENERATED_BYTES_TOO_MANY));
    }
    if spec.count.is_some_and(|count| i64::try_from(count).is_err()) {
        return Err(Error::invalid(at, "count is at most 9223372036854775807, the last offset there is"));
    }
    Ok(GeneratePlan { generator, rate: spec.rate, keys, count: spec.count, bytes: spec.bytes })
}

fn path(at: &str, path: &Path) -> Result<PathBuf, Error> {
    match path.as_os_str().is_empty() {
        true => Err(Error::missing(format!("{at}: the path"), "write the path of a file")),
        false => Ok(path.to_owned()),
    }
}

fn operator_plan(name: &str, spec: &OperatorSpec, input: Input) -> Result<OperatorPlan, Error> {
    let at = format!("operators.{name}");
    let on_error = match &spec.on_error {
        None | Some(OnErrorSpec::Fail) => OnError::Fail,
        Some(OnErrorSpec::Skip) => OnError::Skip,
        Some(OnErrorSpec::DeadLetter(topic)) => {
            return Err(Error::not_yet(
                format!("{at}.on-error (--on-error) = dead-letter:{topic}"),
                "use fail or skip",
            ));
        }
    };
    let parallelism = spec.parallelism.unwrap_or(NonZeroU16::MIN);
    if parallelism.get() > KEY_GROUPS {
        let reason = format!("{parallelism} tasks are more than the {KEY_GROUPS} key groups there are");
        return Err(Error::invalid(format!("{at}.parallelism (--parallelism)"), reason));
    }
    let memory_bytes = spec.limits.memory.map_or(defaults::PLUGIN_MEMORY_BYTES, |size| size.0);
    if memory_bytes == 0 {
        return Err(Error::invalid(
            format!("{at}.limits.memory (--memory-limit)"),
            "a plugin needs some memory, 64MiB by default",
        ));
    }
    let call_deadline = spec.limits.call_deadline.map_or(defaults::CALL_DEADLINE, |span| span.0);
    let call_deadline = positive(&format!("{at}.limits.call-deadline (--call-deadline)"), call_deadline)?;
    Ok(OperatorPlan {
        name: name.to_owned(),
        plugin: path(&at, &spec.plugin)?,
        input,
        key: spec.key.clone().map_or(KeySpec::Key, |key| key.0),
        parallelism,
        config: spec.config.clone().into(),
        on_error,
        limits: Limits { memory_bytes, call_deadline },
    })
}

fn sink_plan(name: &str, spec: &SinkSpec, input: Input, clusters: &mut Clusters<'_>) -> Result<SinkPlan, Error> {
    let at = format!("sinks.{name}");
    let kinds = [("kafka", spec.kafka.is_some()), ("file", spec.file.is_some()), ("stdout", spec.stdout.is_some())];
    exactly_one(&at, &kinds)?;
    let kind = if let Some(kafka) = &spec.kafka {
        clusters.join_sink(&at, kafka.brokers.as_deref(), &kafka.properties)?;
        SinkKind::Kafka { topic: topic_name(&kafka.topic, &kafka.topic)? }
    } else if let Some(file) = &spec.file {
        SinkKind::File { path: path(&at, &file.path)?, format: file.lines().plan(&at)? }
    } else {
        SinkKind::Stdout { format: spec.stdout.clone().unwrap_or_default().plan(&at)? }
    };
    let creation = spec.kafka.as_ref().map(|kafka| TopicCreation {
        partitions: kafka.partitions,
        replication: kafka.replication,
        config: kafka.config.0.clone(),
    });
    Ok(SinkPlan { name: name.to_owned(), input, kind, creation: creation.unwrap_or_default() })
}

/// Nothing may be written where it is read, nor twice to one file.
fn check_outputs(source: &SourceKind, sinks: &[SinkPlan]) -> Result<(), Error> {
    for (index, sink) in sinks.iter().enumerate() {
        let at = format!("sinks.{}", sink.name);
        if is_read(source, &sink.kind) {
            return Err(Error::conflict(at, "the source", "the job would read its own output, for ever"));
        }
        let before = || sinks.iter().take(index);
        if let Some(other) = before().find(|other| other.kind == sink.kind && other.creation != sink.creation) {
            return Err(Error::conflict(at, format!("sinks.{}", other.name), "they make the same topic in two ways"));
        }
        if let Some(other) = before().find(|other| is_one_place(&other.kind, &sink.kind)) {
            return Err(Error::conflict(at, format!("sinks.{}", other.name), "they would mix their lines"));
        }
    }
    Ok(())
}

fn is_read(source: &SourceKind, sink: &SinkKind) -> bool {
    match (source, sink) {
        (SourceKind::Kafka { topics: Topics::Named(topics), .. }, SinkKind::Kafka { topic }) => topics.contains(topic),
        (SourceKind::Kafka { topics: Topics::Pattern(pattern), .. }, SinkKind::Kafka { topic }) => {
            // Checked before; the whole name must match.
            regex::Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(topic))
        }
        (SourceKind::File { path, .. }, SinkKind::File { path: other, .. }) => plain(path) == plain(other),
        _ => false,
    }
}

fn is_one_place(one: &SinkKind, other: &SinkKind) -> bool {
    match (one, other) {
        (SinkKind::Stdout { .. }, SinkKind::Stdout { .. }) => true,
        (SinkKind::File { path: one, .. }, SinkKind::File { path: other, .. }) => plain(one) == plain(other),
        _ => false,
    }
}

fn epochs_plan(spec: &Spec) -> Result<EpochsPlan, Error> {
    let interval = spec.epochs.interval.map_or(defaults::EPOCH_INTERVAL, |span| span.0);
    let timeout = spec.epochs.transaction_timeout.map_or(defaults::TRANSACTION_TIMEOUT, |span| span.0);
    if interval < EPOCH_INTERVAL_MIN {
        return Err(Error::invalid(
            "epochs.interval (--epoch-interval)",
            "an epoch lasts at least 1ms, 100ms by default",
        ));
    }
    if timeout < TRANSACTION_TIMEOUT_MIN || timeout.as_millis() > i32::MAX as u128 {
        return Err(Error::invalid(
            "epochs.transaction-timeout (--transaction-timeout)",
            "Kafka wants at least 1s and at most 24 days",
        ));
    }
    if interval > timeout / 3 {
        let [interval, timeout, most] = [interval, timeout, timeout / 3].map(crate::units::Span);
        let reason = format!("the broker could abort what is not committed in time; an interval may be {most} at most");
        let (one, other) = (
            format!("epochs.interval (--epoch-interval) = {interval}"),
            format!("epochs.transaction-timeout (--transaction-timeout) = {timeout}"),
        );
        return Err(Error::conflict(one, other, reason));
    }
    Ok(EpochsPlan { interval, transaction_timeout: timeout })
}

fn state_plan(spec: &Spec, job: &JobName, source: &SourceKind, has_kafka: bool) -> Result<StatePlan, Error> {
    let memory_bytes = spec.state.memory.map_or(defaults::STATE_MEMORY_BYTES, |size| size.0);
    if memory_bytes < STATE_MEMORY_BYTES_MIN {
        return Err(Error::invalid(
            "state.memory (--state-memory)",
            "caches and overlays need at least 8MiB, 128MiB by default",
        ));
    }
    let given = spec.state.dir.clone();
    let dir = if matches!(source, SourceKind::Stdin { .. }) || (given.is_none() && spec.job.is_none() && !has_kafka) {
        // What came from stdin cannot come again: state that outlived the process would belong to nothing.
        StateDir::Temporary { under: given }
    } else {
        StateDir::Kept(given.unwrap_or_else(|| Path::new(defaults::STATE_ROOT).join(job.as_str())))
    };
    Ok(StatePlan { dir, memory_bytes })
}

fn api_plan(address: Option<&str>) -> Result<ApiPlan, Error> {
    let Some(address) = address else {
        let (host, port) = defaults::API;
        return Ok(ApiPlan::Listen { host: host.to_owned(), port, explicit: false });
    };
    if address == "off" {
        return Ok(ApiPlan::Off);
    }
    let parsed = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parsed {
        Some((host, port)) if !host.is_empty() => Ok(ApiPlan::Listen { host: host.to_owned(), port, explicit: true }),
        _ => Err(Error::invalid(
            "api (--api)",
            format!("{address:?} is neither HOST:PORT, as in 127.0.0.1:7070, nor off"),
        )),
    }
}

fn positive(at: &str, span: Duration) -> Result<Duration, Error> {
    match span.is_zero() {
        true => Err(Error::invalid(at, "it must be longer than nothing")),
        false => Ok(span),
    }
}

#[cfg(test)]
mod tests;
