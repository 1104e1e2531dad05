//! A plan for programs: durations in milliseconds, sizes in bytes. Properties of clients are left out, since they hold
//! passwords.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use weir_core::{Delivery, OnError};
use weir_plan::{Graph, Shown, key_groups, layout};

use crate::plan::{ApiPlan, Input, OperatorPlan, Plan, SourcePlan, StateDir};

/// A plan, to be serialised.
#[derive(Debug, Serialize)]
pub struct PlanView<'a> {
    job: &'a str,
    delivery: Delivery,
    epochs: EpochsView,
    /// Where the cluster is; `None` where nothing commits for the job.
    brokers: Option<&'a str>,
    create_topics: bool,
    state: StateView,
    restart: String,
    /// `None`: off.
    api: Option<String>,
    sources: Vec<SourceView<'a>>,
    operators: Vec<OperatorView<'a>>,
    sinks: Vec<SinkView<'a>>,
    /// Which threads there are, and how records get from node to node.
    #[serde(flatten)]
    shown: Shown,
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
    /// As `--watermark` says it.
    watermark: Option<String>,
    is_bounded: bool,
}

#[derive(Debug, Serialize)]
struct OperatorView<'a> {
    name: &'a str,
    plugin: String,
    inputs: Vec<String>,
    key: String,
    parallelism: u16,
    /// First and last of each task.
    key_groups: Vec<(u16, u16)>,
    /// `None`: what its plugin names, if it has windows.
    window: Option<String>,
    /// Tables that keep what is written for so long, and not as their plugin says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ttl: BTreeMap<&'a str, String>,
    on_error: &'static str,
    limits: LimitsView,
    config: &'a serde_json::Value,
}

#[derive(Debug, Serialize)]
struct LimitsView {
    memory_bytes: u64,
    call_deadline_ms: u64,
    timer_rounds: u32,
}

#[derive(Debug, Serialize)]
struct SinkView<'a> {
    name: &'a str,
    inputs: Vec<String>,
    writes: String,
}

impl<'a> PlanView<'a> {
    /// What `plan` says; `graph` is its own.
    pub fn of(plan: &'a Plan, graph: &Graph) -> Self {
        let sinks = plan.sinks.iter().map(|sink| SinkView {
            name: &sink.name,
            inputs: words(&sink.inputs),
            writes: sink.writes.words(),
        });
        Self {
            job: plan.job.as_str(),
            delivery: plan.delivery,
            epochs: EpochsView {
                interval_ms: ms(plan.epochs.interval),
                transaction_timeout_ms: ms(plan.epochs.transaction_timeout),
            },
            brokers: plan.cluster.as_ref().map(|cluster| cluster.address()),
            create_topics: plan.cluster.as_ref().is_some_and(|cluster| cluster.creates()),
            state: state(plan),
            restart: plan.restart.to_string(),
            api: match &plan.api {
                ApiPlan::Off => None,
                ApiPlan::Listen { host, port, .. } => Some(format!("{host}:{port}")),
            },
            sources: plan.sources.iter().map(source).collect(),
            operators: plan.operators.iter().map(operator).collect(),
            sinks: sinks.collect(),
            shown: Shown::of(graph, &layout(graph)),
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

/// Where it starts is told where that can be chosen.
fn source(source: &SourcePlan) -> SourceView<'_> {
    let is_chosen = source.reads.abilities().fixed.is_none();
    SourceView {
        name: &source.name,
        reads: source.reads.words(),
        start: is_chosen.then(|| source.start.to_string()),
        until: source.until.as_ref().map(ToString::to_string),
        max_rate: source.max_rate.map(std::num::NonZeroU64::get),
        discovery_interval_ms: is_chosen.then(|| ms(source.discovery_interval)),
        watermark: source.watermark.as_ref().map(ToString::to_string),
        is_bounded: source.is_bounded(),
    }
}

fn words(inputs: &[Input]) -> Vec<String> {
    inputs.iter().map(ToString::to_string).collect()
}

fn operator(operator: &OperatorPlan) -> OperatorView<'_> {
    OperatorView {
        name: &operator.name,
        plugin: operator.plugin.display().to_string(),
        inputs: words(&operator.inputs),
        key: operator.key.to_string(),
        parallelism: operator.parallelism.get(),
        key_groups: key_groups(operator.parallelism.get()).collect(),
        window: operator.window.as_ref().map(ToString::to_string),
        ttl: operator.ttl.iter().map(|(table, ttl)| (table.as_str(), ttl.to_string())).collect(),
        on_error: match operator.on_error {
            OnError::Fail => "fail",
            OnError::Skip => "skip",
            OnError::DeadLetter => "dead-letter",
        },
        limits: LimitsView {
            memory_bytes: operator.limits.memory_bytes,
            call_deadline_ms: ms(operator.limits.call_deadline),
            timer_rounds: operator.limits.timer_rounds,
        },
        config: &operator.config,
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
