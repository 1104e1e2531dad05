//! The job, in the words of the API.

use std::time::Instant;

use weir_api::model;
use weir_core::SplitId;
use weir_pipeline::Plan;
use weir_plan::Shown;
use weir_runtime::{JobState, JobStatus, OperatorStatus, SinkStatus, SplitStatus};

use crate::compose::SHARD;

/// What `GET /v1/job` shows of `status`, and of the plan that runs.
pub(crate) fn job(status: JobStatus, plan: Shown) -> model::Job {
    model::Job {
        job: status.job.to_string(),
        shard: status.shard.0,
        state: state(&status),
        delivery: status.delivery.to_string(),
        epoch: status.epoch.0,
        attempt: status.attempt.map(|attempt| attempt.0),
        restarts: status.restarts,
        last_error: status.last_error,
        next_attempt: status.next_attempt.map(moment),
        waiting: status.waiting.map(|waiting| {
            let seconds = weir_machine::since(waiting.since).as_secs_f64();
            model::Waiting { what: waiting.what, seconds: (seconds * 10.0).round() / 10.0, patient: waiting.is_patient }
        }),
        operators: status.operators.into_iter().map(operator).collect(),
        splits: status.splits.into_iter().map(split).collect(),
        sinks: status.sinks.into_iter().map(sink).collect(),
        plan: Some(plan),
    }
}

/// What it shows before there is a job: plugins are compiled and state is opened.
pub(crate) fn starting(plan: &Plan) -> model::Job {
    model::Job {
        job: plan.job.to_string(),
        shard: SHARD.0,
        state: model::State::Starting,
        delivery: plan.delivery.to_string(),
        epoch: 0,
        attempt: None,
        restarts: 0,
        last_error: None,
        next_attempt: None,
        waiting: None,
        operators: Vec::new(),
        splits: Vec::new(),
        sinks: Vec::new(),
        plan: None,
    }
}

/// A moment of this process on everybody's clock.
fn moment(at: Instant) -> String {
    let time = weir_machine::wall() + at.saturating_duration_since(weir_machine::now());
    humantime::format_rfc3339_millis(time).to_string()
}

/// Where it stands, in one word: of a job that runs, that it is paused.
pub(crate) fn state(status: &JobStatus) -> model::State {
    match status.state {
        JobState::Starting => model::State::Starting,
        JobState::Running if status.is_paused => model::State::Paused,
        JobState::Running => model::State::Running,
        JobState::Recovering => model::State::Recovering,
        JobState::Stopping => model::State::Stopping,
        JobState::Finished => model::State::Finished,
        JobState::Failed => model::State::Failed,
    }
}

fn operator(operator: OperatorStatus) -> model::Operator {
    let OperatorStatus { name, parallelism, plugin, state_bytes, watermark } = operator;
    let plugin = model::Plugin { name: plugin.name, version: plugin.version, digest: plugin.digest.0 };
    model::Operator { name, parallelism, plugin, state_bytes, watermark_ms: watermark.as_ms() }
}

fn split(split: SplitStatus) -> model::Split {
    let SplitStatus { source, split: SplitId { stream, number }, position, end, lag, time, .. } = split;
    let (source, topic, watermark_ms) = (source.to_string(), stream.to_string(), time.watermark.as_ms());
    model::Split { source, topic, partition: number, position, end, lag, watermark_ms, idle: time.idle }
}

fn sink(sink: SinkStatus) -> model::Sink {
    model::Sink { topic: sink.target, records: sink.records }
}
