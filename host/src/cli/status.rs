//! `host status`: a running job on one screen.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use weir_api::model::{Job, Operator, Split, Waiting};
use weir_core::text::printable_lines;
use weir_pipeline::units::Size;

use super::job::JobArgs;
use crate::telemetry;

/// What `host status` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    job: JobArgs,
    /// Print what the API says, as JSON
    #[arg(long)]
    json: bool,
}

/// Looks, and prints it.
pub(super) fn execute(args: &Args) -> Result<ExitCode> {
    telemetry::start(telemetry::Format::Text)?;
    let asked = args.job.find()?;
    if args.json {
        let job: serde_json::Value = asked.look("/v1/job")?;
        super::print_json(&serde_json::to_string_pretty(&job)?)?;
    } else {
        super::print(&screen(&asked.look("/v1/job")?))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Names and errors may be of guests, brokers and files: none of them begins a line.
fn screen(job: &Job) -> String {
    let mut lines = vec![
        format!("job {} ({}): {}", job.job, job.delivery, job.state.word()),
        format!("  epoch     {}", job.epoch),
        format!("  restarts  {}", job.restarts),
    ];
    let waiting = job.waiting.as_ref();
    lines.extend(waiting.map(|Waiting { what, seconds, .. }| format!("  waiting   {what} for {seconds} s")));
    lines.extend(job.last_error.as_ref().map(|error| format!("  error     {error}")));
    lines.extend(job.next_attempt.as_ref().map(|at| format!("  next      attempt at {at}")));
    lines.extend(
        by_source(&job.splits).into_iter().map(|(source, splits)| format!("source {source}: {}", told(&splits))),
    );
    lines.extend(job.operators.iter().flat_map(operator));
    lines.extend(
        job.sinks.iter().map(|sink| format!("sink {}: {} records written by this process", sink.topic, sink.records)),
    );
    lines.iter().map(|line| printable_lines(line, "            ") + "\n").collect()
}

fn operator(operator: &Operator) -> Vec<String> {
    let Operator { name, parallelism, plugin, state_bytes, watermark_ms } = operator;
    let digest = plugin.digest.get(..12).unwrap_or(&plugin.digest);
    let mut lines = vec![
        format!("operator {name}: {} {} ({digest})", plugin.name, plugin.version),
        format!("  tasks     {parallelism}"),
        format!("  state     {}", Size(*state_bytes)),
    ];
    lines.extend(watermark_ms.map(|ms| format!("  time      {ms} ms since 1970")));
    lines
}

fn by_source(splits: &[Split]) -> BTreeMap<&str, Vec<&Split>> {
    let mut sources: BTreeMap<&str, Vec<&Split>> = BTreeMap::new();
    splits.iter().for_each(|split| sources.entry(&split.source).or_default().push(split));
    sources
}

/// What there is of it, and how much of that is not read.
fn told(splits: &[&Split]) -> String {
    let known: Vec<i64> = splits.iter().filter_map(|split| split.lag).collect();
    let idle = splits.iter().filter(|split| split.idle).count();
    let mut text = format!("{} splits", splits.len());
    match known.len() {
        0 => {}
        all if all == splits.len() => text.push_str(&format!(", {} records behind", known.iter().sum::<i64>())),
        some => text.push_str(&format!(", {some} of them {} records behind", known.iter().sum::<i64>())),
    }
    if idle > 0 {
        text.push_str(&format!(", {idle} idle"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_one_screen() {
        let split = |partition: i32, lag: Option<i64>| {
            serde_json::json!({"source": "clicks", "topic": "in", "partition": partition, "position": 5, "end": null,
                "lag": lag, "watermark_ms": null, "idle": lag.is_none()})
        };
        let job = serde_json::json!({
            "job": "orders", "shard": 0, "state": "paused", "delivery": "exactly-once", "epoch": 7, "attempt": "a",
            "restarts": 1, "last_error": "trap\u{1b}[2J\nat f", "next_attempt": null,
            "waiting": {"what": "for the commit", "seconds": 7.5, "patient": false},
            "operators": [{"name": "count", "parallelism": 2, "state_bytes": 2048, "watermark_ms": 1_000,
                "plugin": {"name": "count", "version": "1.0.0", "digest": "0123456789abcdef"}}],
            "splits": [split(0, Some(2)), split(1, Some(3)), split(2, None)],
            "sinks": [{"topic": "out", "records": 4}],
            "plan": {"tasks": [], "edges": []},
        });
        let wanted = "\
job orders (exactly-once): paused
  epoch     7
  restarts  1
  waiting   for the commit for 7.5 s
  error     trap\\u{1b}[2J
            at f
source clicks: 3 splits, 2 of them 5 records behind, 1 idle
operator count: count 1.0.0 (0123456789ab)
  tasks     2
  state     2.0 KiB
  time      1000 ms since 1970
sink out: 4 records written by this process
";
        assert_eq!(screen(&serde_json::from_value(job).unwrap()), wanted);
    }
}
