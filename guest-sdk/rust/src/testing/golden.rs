//! Golden cases: what goes in and must come out. `plugins/README.md` describes the file; the host's tests read the same
//! one and run it against the plugin's wasm.

/// What differs, as text.
mod difference;

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::{Harness, Message, Output, WindowKind, Windows};
use crate::{Aggregate, Failure, Operator};

/// One case of `golden/cases.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    name: String,
    #[serde(default = "empty_config")]
    config: serde_json::Value,
    #[serde(rename = "in")]
    input: Vec<Step>,
    #[serde(rename = "out")]
    output: Vec<Expected>,
    /// Indexes of the records of `in` that must fail.
    #[serde(default)]
    failures: Vec<usize>,
}

/// What happens: a record comes in, or event time comes to a moment.
#[derive(Debug, Deserialize)]
#[serde(try_from = "serde_json::Value")]
enum Step {
    Time(i64),
    /// The input that the record comes in by.
    Record(u32, Message),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Time {
    watermark: i64,
}

impl TryFrom<serde_json::Value> for Step {
    type Error = serde_json::Error;

    fn try_from(step: serde_json::Value) -> Result<Self, serde_json::Error> {
        if step.get("watermark").is_some() {
            return serde_json::from_value(step).map(|Time { watermark }| Self::Time(watermark));
        }
        let mut record = step;
        let input = record.as_object_mut().and_then(|record| record.remove("input"));
        let input = input.map_or(Ok(0), serde_json::from_value)?;
        Ok(Self::Record(input, serde_json::from_value(record)?))
    }
}

/// What is done at once.
enum Part {
    /// Records, the first of which is this step, and the input that they come in by.
    Records(usize, u32, Vec<Message>),
    /// Event time has come so far.
    Time(i64),
}

/// `steps` with at most `batch_len` records at once, all of one input.
fn parts(steps: &[Step], batch_len: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        match (step, parts.last_mut()) {
            (Step::Time(ms), _) => parts.push(Part::Time(*ms)),
            (Step::Record(input, record), Some(Part::Records(_, of, batch)))
                if of == input && batch.len() < batch_len =>
            {
                batch.push(record.clone())
            }
            (Step::Record(input, record), _) => parts.push(Part::Records(at, *input, vec![record.clone()])),
        }
    }
    parts
}

/// A record that must come out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    #[serde(default)]
    output: u32,
    record: Message,
}

fn empty_config() -> serde_json::Value {
    serde_json::json!({})
}

/// What a case made of its input: what came out, and which records failed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    output: Vec<(u32, Message)>,
    failures: Vec<usize>,
}

impl Seen {
    fn take(&mut self, outputs: Vec<Output>) {
        self.output.extend(outputs.into_iter().map(|Output { output, message, .. }| (output, message)));
    }
}

/// Checks every case of `dir/cases.json`, as one batch and record by record: where batches end must not show. Then time
/// ends, and every timer fires.
///
/// # Errors
/// Says which case differs, and how, or why the file cannot be read.
pub fn check<Op: Operator>(dir: impl AsRef<Path>) -> Result<(), String> {
    cases(dir)?.iter().try_for_each(check_case::<Op>)
}

/// The same for an aggregate over windows of this `kind`; after all of `in` time ends.
///
/// # Errors
/// Says which case differs, and how, or why the file cannot be read.
pub fn check_windows<Op: Aggregate>(dir: impl AsRef<Path>, kind: WindowKind) -> Result<(), String> {
    for case in cases(dir)? {
        let expected =
            Seen { output: case.output.into_iter().map(|e| (e.output, e.record)).collect(), failures: vec![] };
        for (how, batch_len) in [("as one batch", case.input.len().max(1)), ("record by record", 1)] {
            let failed = |failure: Failure| format!("case `{}` {how}: {}", case.name, failure.message);
            let mut windows = Windows::<Op>::new(kind, &case.config.to_string()).map_err(failed)?;
            let mut seen = Seen::default();
            for part in parts(&case.input, batch_len) {
                match part {
                    Part::Records(_, _, batch) => windows.fold(&batch).map_err(failed)?,
                    Part::Time(ms) => seen.take(windows.advance(ms).map_err(failed)?),
                }
            }
            seen.take(windows.advance(i64::MAX - 1).map_err(failed)?);
            if seen != expected {
                return Err(format!("case `{}` {how} {}", case.name, difference::difference(&expected, &seen)));
            }
        }
    }
    Ok(())
}

fn cases(dir: impl AsRef<Path>) -> Result<Vec<Case>, String> {
    let path = dir.as_ref().join("cases.json");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let cases: Vec<Case> = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    if cases.is_empty() { Err(format!("{}: no cases", path.display())) } else { Ok(cases) }
}

fn check_case<Op: Operator>(case: &Case) -> Result<(), String> {
    let mut output: Vec<_> = case.output.iter().map(|e| (e.output, e.record.clone())).collect();
    output.sort_by_key(|(output, _)| *output);
    let expected = Seen { output, failures: case.failures.clone() };
    for (how, batch_len) in [("as one batch", case.input.len().max(1)), ("record by record", 1)] {
        let mut harness = Harness::<Op>::new(&case.config.to_string())
            .map_err(|failure| format!("case `{}` does not open with its config: {}", case.name, failure.message))?;
        let mut seen = Seen::default();
        for part in parts(&case.input, batch_len).into_iter().chain([Part::Time(i64::MAX)]) {
            let done = match part {
                Part::Records(first, input, batch) => run(&mut harness, (input, &batch), first, &mut seen),
                Part::Time(ms) => fire(&mut harness, ms, &mut seen),
            };
            done.map_err(|reason| format!("case `{}` {how}: {reason}", case.name))?;
        }
        seen.output.sort_by_key(|(output, _)| *output);
        if seen != expected {
            return Err(format!("case `{}` {how} {}", case.name, difference::difference(&expected, &seen)));
        }
    }
    Ok(())
}

/// Event time has come to `ms`.
fn fire<Op: Operator>(harness: &mut Harness<Op>, ms: i64, seen: &mut Seen) -> Result<(), String> {
    let fired = harness.advance(ms).map_err(|failure| format!("a timer failed: {}", failure.message))?;
    seen.take(fired);
    Ok(())
}

/// What the host does under the policy `skip`; where a failure cannot be undone alone, everything before the record at
/// fault, then everything after it.
fn run<Op: Operator>(
    harness: &mut Harness<Op>,
    (input, batch): (u32, &[Message]),
    first: usize,
    seen: &mut Seen,
) -> Result<(), String> {
    let failure = match harness.process_input_skipping(input, batch) {
        Ok((outputs, failures)) => {
            seen.take(outputs);
            seen.failures.extend(failures.iter().filter_map(|failure| Some(first + failure.index? as usize)));
            return Ok(());
        }
        Err(failure) => failure,
    };
    let at = failure.index.map_or(usize::MAX, |index| index as usize);
    let (before, rest) = batch.split_at_checked(at).ok_or_else(|| nameless(&failure))?;
    let after = rest.get(1..).ok_or_else(|| nameless(&failure))?;
    run(harness, (input, before), first, seen)?;
    seen.failures.push(first + at);
    run(harness, (input, after), first + at + 1, seen)
}

fn nameless(failure: &Failure) -> String {
    format!("a failure that names no record of the batch: code {}, {}", failure.code, failure.message)
}
