//! A plan for programs: durations in milliseconds, sizes in bytes. Kafka's properties are left out, since they hold
//! passwords.

use std::time::Duration;

use serde::Serialize;
use weir_core::{Delivery, KeySpec, OnError};

use super::{edge_into, input_words, sink_words, source_words};
use crate::plan::{ApiPlan, OperatorPlan, Plan, SourceKind, StateDir};

/// A plan, to be serialised.
#[derive(Debug, Serialize)]
pub struct PlanView<'a> {
    job: &'a str,
    delivery: Delivery,
    epochs: EpochsView,
    /// Brokers; `None` where neither end is Kafka.
    brokers: Option<&'a str>,
    create_topics: bool,
    state: StateView,
    restart: String,
    /// `None`: off.
    api: Option<String>,
    source: SourceView<'a>,
    operators: Vec<OperatorView<'a>>,
    sinks: Vec<SinkView<'a>>,
}

#[derive(Debug, Serialize)]
struct EpochsView {
    interval_ms: u64,
    transaction_timeout_ms: u64,
}

#[derive(Debug, Serialize)]
struct StateView {
    /// Where it is kept, or where its temporary directory is made.
    dir: Option<String>,
    is_temporary: bool,
    memory_bytes: u64,
}

#[derive(Debug, Serialize)]
struct SourceView<'a> {
    name: &'a str,
    reads: String,
    start: Option<String>,
    until: Option<String>,
    max_rate: Option<u64>,
    discovery_interval_ms: Option<u64>,
    is_bounded: bool,
}

#[derive(Debug, Serialize)]
struct OperatorView<'a> {
    name: &'a str,
    plugin: String,
    input: String,
    edge: &'static str,
    key: String,
    parallelism: u16,
    /// First and last of each task.
    key_groups: Vec<(u16, u16)>,
    on_error: &'static str,
    limits: LimitsView,
    config: &'a serde_json::Value,
}

#[derive(Debug, Serialize)]
struct LimitsView {
    memory_bytes: u64,
    call_deadline_ms: u64,
}

#[derive(Debug, Serialize)]
struct SinkView<'a> {
    name: &'a str,
    input: String,
    writes: String,
}

impl<'a> PlanView<'a> {
    /// What `plan` says.
    pub fn of(plan: &'a Plan) -> Self {
        let sinks = plan.sinks.iter().map(|sink| SinkView {
            name: &sink.name,
            input: input_words(plan, &sink.input),
            writes: sink_words(&sink.kind),
        });
        Self {
            job: plan.job.as_str(),
            delivery: plan.delivery,
            epochs: EpochsView {
                interval_ms: ms(plan.epochs.interval),
                transaction_timeout_ms: ms(plan.epochs.transaction_timeout),
            },
            brokers: plan.kafka.as_ref().map(|kafka| kafka.brokers.as_str()),
            create_topics: plan.create_topics,
            state: state(plan),
            restart: plan.restart.to_string(),
            api: match &plan.api {
                ApiPlan::Off => None,
                ApiPlan::Listen { host, port, .. } => Some(format!("{host}:{port}")),
            },
            source: source(plan),
            operators: plan.operators.iter().enumerate().map(|(index, o)| operator(plan, index, o)).collect(),
            sinks: sinks.collect(),
        }
    }
}

fn state(plan: &Plan) -> StateView {
    let (dir, is_temporary) = match &plan.state.dir {
        StateDir::Kept(dir) => (Some(dir), false),
        StateDir::Temporary { under } => (under.as_ref(), true),
    };
    StateView { dir: dir.map(|dir| dir.display().to_string()), is_temporary, memory_bytes: plan.state.memory_bytes }
}

/// Start, end and pace are Kafka's alone.
fn source(plan: &Plan) -> SourceView<'_> {
    let source = &plan.source;
    let is_kafka = matches!(source.kind, SourceKind::Kafka { .. });
    SourceView {
        name: &source.name,
        reads: source_words(&source.kind),
        start: is_kafka.then(|| source.start.to_string()),
        until: source.until.as_ref().map(ToString::to_string),
        max_rate: source.max_rate.map(std::num::NonZeroU64::get),
        discovery_interval_ms: is_kafka.then(|| ms(source.discovery_interval)),
        is_bounded: source.is_bounded(),
    }
}

fn operator<'a>(plan: &Plan, index: usize, operator: &'a OperatorPlan) -> OperatorView<'a> {
    OperatorView {
        name: &operator.name,
        plugin: operator.plugin.display().to_string(),
        input: input_words(plan, &operator.input),
        edge: edge_into(plan, index).words(),
        key: match &operator.key {
            KeySpec::Key => "key".to_owned(),
            KeySpec::Header(name) => format!("header:{name}"),
        },
        parallelism: operator.parallelism.get(),
        key_groups: operator.key_groups().collect(),
        on_error: match operator.on_error {
            OnError::Fail => "fail",
            OnError::Skip => "skip",
        },
        limits: LimitsView {
            memory_bytes: operator.limits.memory_bytes,
            call_deadline_ms: ms(operator.limits.call_deadline),
        },
        config: &operator.config,
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
