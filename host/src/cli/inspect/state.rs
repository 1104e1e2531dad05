//! What `host inspect STATE-DIR` says: for people, and as JSON.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};
use weir_checkpoint::{Manifest, Start, manifest};
use weir_core::Fault;
use weir_core::text::printable_lines;
use weir_pipeline::units::Size;

use crate::compose::directory::{Survey, Verdict};
use crate::exit;

/// A directory that would be refused is shown all the same, with the reason, and the exit code says so.
pub(super) fn code(survey: &Survey) -> ExitCode {
    match &survey.verdict {
        Verdict::Refused(error) => exit::code(error.fault()).into(),
        Verdict::Starts(_) | Verdict::AskKafka => ExitCode::SUCCESS,
    }
}

/// One line a fact.
pub(super) fn text(survey: &Survey) -> String {
    let mut lines = Lines::default();
    let view = &survey.view;
    lines.add("directory", view.path().display());
    lines.add("job", format_args!("{}, shard {}", view.job(), view.shard()));
    lines.add("formats", format_args!("directory {}, manifest {}", view.format(), manifest::FORMAT));
    match &survey.owner {
        Some(pid) => lines.add("owner", format_args!("process {pid}, at work")),
        None => lines.add("owner", "none"),
    }
    log_lines(&mut lines, survey);
    match &survey.store {
        Ok(store) => {
            let bytes = store.bytes().map_or_else(|_| "unknown size".to_owned(), |bytes| Size(bytes).to_string());
            let applied = store.applied().map_or_else(|| "nothing".to_owned(), ToString::to_string);
            lines.add("store", format_args!("{applied} applied, {bytes}"));
        }
        Err(error) => lines.add("store", format_args!("{error:#}")),
    }
    match (&survey.committed, survey.marker()) {
        (None, _) => lines.add("marker", "not asked for: give --brokers"),
        (Some(committed), None) => {
            lines.add("marker", format_args!("none on {} committed offsets", committed.len()));
        }
        (Some(committed), Some(marker)) => {
            let (epoch, attempt) = (marker.epoch, &marker.attempt);
            lines.add("marker", format_args!("epoch {epoch} of attempt {attempt}, first of {}", committed.len()));
            for c in committed {
                lines.add("committed", format_args!("{} at {}", c.split, c.position));
            }
        }
    }
    lines.add("start", start(survey));
    lines.0
}

fn log_lines(lines: &mut Lines, survey: &Survey) {
    let (log, records) = match &survey.log {
        Ok(read) => read,
        Err(error) => return lines.add("log", format_args!("{error:#}")),
    };
    let (size, files) = (Size(log.bytes()), log.segments());
    let (Some((first, _)), Some((last, digest))) = (records.first(), records.last()) else {
        return lines.add("log", "no epoch yet");
    };
    lines.add("log", format_args!("epochs {} to {}, {size} in {files} files", first.epoch, last.epoch));
    if log.torn_bytes() > 0 {
        let torn = log.torn_bytes();
        lines.add("torn tail", format_args!("{torn} bytes that never became an epoch; the next start cuts them off"));
    }
    for (attempt, first, last) in attempts(records.iter().map(|(manifest, _)| manifest)) {
        lines.add("attempt", format_args!("{attempt}: epochs {first} to {last}"));
    }
    lines.add("last", format_args!("epoch {}, {}", last.epoch, last.delivery));
    lines.add("digest", format_args!("blake3 {digest}"));
    for source in &last.plan.sources {
        let marked = if source.marked { "its positions carry the marker" } else { "its positions are in this log" };
        lines.add("source", format_args!("{}: {marked}", source.name));
    }
    for (source, split) in last.splits() {
        let end = split.end.map(|end| format!(" of {end}")).unwrap_or_default();
        let id = split.identity.as_ref().map(|id| format!(", topic id {id}")).unwrap_or_default();
        lines.add("split", format_args!("{} of {source} at {}{end}{id}", split.split, split.position));
    }
    for operator in &last.plan.operators {
        let plugin = &operator.plugin;
        let number = operator.id;
        lines.add("operator", format_args!("{} ({number}): {} {}", operator.name, plugin.name, plugin.version));
        lines.add("", format_args!("blake3 {}", plugin.digest));
        if !operator.tables.is_empty() {
            lines.add("", format_args!("keyed by {}", operator.key));
        }
        for table in &operator.tables {
            let schema = if table.schema.is_empty() { String::new() } else { format!(", schema {:?}", table.schema) };
            lines.add("", format_args!("table {} ({}): {}{schema}", table.name, table.id, table.kind));
        }
    }
}

/// Each attempt with its first and last epoch, oldest first.
fn attempts<'a>(records: impl Iterator<Item = &'a Manifest>) -> Vec<(String, u64, u64)> {
    let mut attempts: Vec<(String, u64, u64)> = Vec::new();
    for manifest in records {
        let (attempt, epoch) = (&manifest.attempt.0, manifest.epoch.0);
        match attempts.last_mut() {
            Some((known, _, last)) if known == attempt => *last = epoch,
            _ => attempts.push((attempt.clone(), epoch, epoch)),
        }
    }
    attempts
}

fn start(survey: &Survey) -> String {
    let records = survey.log.as_ref().map_or(&[][..], |(_, records)| records);
    let what = match &survey.verdict {
        Verdict::Starts(Start::First) => "a first start: nothing was committed yet".to_owned(),
        Verdict::Starts(Start::FirstAgain) => {
            "a first start again, from the recorded positions: nothing was committed yet".to_owned()
        }
        Verdict::Starts(Start::Resume { index, ahead }) => {
            let epoch = records.get(*index).map_or(0, |(manifest, _)| manifest.epoch.0);
            let ahead = if ahead.is_some() { ", from the positions that Kafka has" } else { "" };
            format!("goes on from epoch {epoch}{ahead}")
        }
        Verdict::Starts(Start::FromMarker { marker, .. }) => {
            format!("goes on from epoch {}, by the marker alone: the job keeps no state", marker.epoch)
        }
        Verdict::Refused(error) => format!("refused: {error}"),
        Verdict::AskKafka => ask(survey),
    };
    match &survey.owner {
        Some(pid) => format!("not while process {pid} runs (exit 3); then {what}"),
        None => what,
    }
}

/// What Kafka would have to say.
fn ask(survey: &Survey) -> String {
    let group = format!("the marker in group weir-{}", survey.view.job());
    let records = survey.log.as_ref().map_or(&[][..], |(_, records)| records);
    match (records.first(), records.last()) {
        (Some((only, _)), Some(_)) if records.len() == 1 && only.first => {
            format!("needs no marker, or {group} to be of epoch {}; give --brokers to see", only.epoch)
        }
        (Some((first, _)), Some((last, _))) => {
            format!("needs {group} to be of an epoch from {} to {}; give --brokers to see", first.epoch, last.epoch)
        }
        _ => format!("needs that there is no marker in group weir-{}; give --brokers to see", survey.view.job()),
    }
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        // Names of operators and topics, metadata and errors are of anybody, and this is read on a terminal.
        let value = value.to_string();
        let value = printable_lines(&value, "           ");
        writeln!(self.0, "{name:<10} {value}").expect("a string takes everything");
    }
}

/// The same facts, and the manifest of the last epoch as it is.
pub(super) fn json(survey: &Survey) -> Value {
    let view = &survey.view;
    let store = match &survey.store {
        Ok(store) => {
            let (epoch, digest) = store.applied().map(|record| (record.epoch, record.digest.clone())).unzip();
            json!({"applied_epoch": epoch.unwrap_or_default(), "applied_digest": digest, "bytes": store.bytes().ok()})
        }
        Err(error) => json!({"error": format!("{error:#}")}),
    };
    let positions = survey.committed.iter().flatten();
    let positions = positions.map(|c| {
        let metadata = String::from_utf8_lossy(&c.metadata);
        json!({"topic": &*c.split.stream, "partition": c.split.number, "position": c.position, "metadata": metadata})
    });
    let positions: Vec<Value> = positions.collect();
    let marker = survey.marker().map(|m| json!({"epoch": m.epoch, "attempt": m.attempt, "digest": m.digest}));
    json!({
        "directory": view.path().display().to_string(),
        "job": view.job(),
        "shard": view.shard(),
        "formats": {"directory": view.format(), "manifest": manifest::FORMAT},
        "owner": survey.owner,
        "log": log_json(survey),
        "store": store,
        "marker": marker,
        "committed": survey.committed.as_ref().map(|_| positions),
        "start": {"decision": decision(survey), "epoch": epoch(survey), "says": start(survey)},
    })
}

fn log_json(survey: &Survey) -> Value {
    let (log, records) = match &survey.log {
        Ok(read) => read,
        Err(error) => return json!({"error": format!("{error:#}")}),
    };
    let attempts = attempts(records.iter().map(|(manifest, _)| manifest));
    let attempts: Vec<Value> = attempts
        .into_iter()
        .map(|(attempt, first, last)| json!({"attempt": attempt, "first_epoch": first, "last_epoch": last}))
        .collect();
    json!({
        "bytes": log.bytes(),
        "files": log.segments(),
        "torn_bytes": log.torn_bytes(),
        "first_epoch": records.first().map(|(manifest, _)| manifest.epoch),
        "last_epoch": records.last().map(|(manifest, _)| manifest.epoch),
        "attempts": attempts,
        "digest": records.last().map(|(_, digest)| digest),
        "manifest": records.last().map(|(manifest, _)| manifest.to_json()),
    })
}

fn decision(survey: &Survey) -> &'static str {
    match &survey.verdict {
        Verdict::Starts(Start::First) => "first",
        Verdict::Starts(Start::FirstAgain) => "first-again",
        Verdict::Starts(Start::Resume { .. }) => "resume",
        Verdict::Starts(Start::FromMarker { .. }) => "from-marker",
        Verdict::Refused(error) if error.fault() == Fault::Transient => "unknown",
        Verdict::Refused(_) => "refused",
        Verdict::AskKafka => "ask-kafka",
    }
}

/// The epoch that it would go on from.
fn epoch(survey: &Survey) -> Option<u64> {
    let records = survey.log.as_ref().map_or(&[][..], |(_, records)| records);
    match &survey.verdict {
        Verdict::Starts(Start::Resume { index, .. }) => records.get(*index).map(|(manifest, _)| manifest.epoch.0),
        Verdict::Starts(Start::FromMarker { marker, .. }) => Some(marker.epoch.0),
        _ => None,
    }
}
