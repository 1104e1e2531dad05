//! Golden cases: what goes in and must come out. `plugins/README.md` describes the file; the host's tests read the same
//! one and run it against the plugin's wasm.

/// What differs, as text.
mod difference;

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::{Harness, Message, Output, Windows};
use crate::{Aggregate, Failure, Operator};

/// One case of `golden/cases.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    name: String,
    #[serde(default = "empty_config")]
    config: serde_json::Value,
    #[serde(rename = "in")]
    input: Vec<Message>,
    #[serde(rename = "out")]
    output: Vec<Expected>,
    /// Indexes of the records of `in` that must fail.
    #[serde(default)]
    failures: Vec<usize>,
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

/// Checks every case of `dir/cases.json`, as one batch and record by record: where batches end must not show. Then time
/// ends, and every timer fires.
///
/// # Errors
/// Says which case differs, and how, or why the file cannot be read.
pub fn check<Op: Operator>(dir: impl AsRef<Path>) -> Result<(), String> {
    cases(dir)?.iter().try_for_each(check_case::<Op>)
}

/// The same for an aggregate over tumbling windows of `size_ms`: all of `in` is folded, and then time ends.
///
/// # Errors
/// Says which case differs, and how, or why the file cannot be read.
pub fn check_windows<Op: Aggregate>(dir: impl AsRef<Path>, size_ms: i64) -> Result<(), String> {
    for case in cases(dir)? {
        let expected =
            Seen { output: case.output.into_iter().map(|e| (e.output, e.record)).collect(), failures: vec![] };
        for (how, batch_len) in [("as one batch", case.input.len().max(1)), ("record by record", 1)] {
            let failed = |failure: Failure| format!("case `{}` {how}: {}", case.name, failure.message);
            let mut windows = Windows::<Op>::tumbling(size_ms, &case.config.to_string()).map_err(failed)?;
            case.input.chunks(batch_len).try_for_each(|batch| windows.fold(batch)).map_err(failed)?;
            let outputs = windows.advance(i64::MAX - 1).map_err(failed)?;
            let output = outputs.into_iter().map(|Output { output, message, .. }| (output, message)).collect();
            let seen = Seen { output, failures: vec![] };
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
        for (number, batch) in case.input.chunks(batch_len).enumerate() {
            run(&mut harness, batch, number * batch_len, &mut seen)
                .map_err(|reason| format!("case `{}` {how}: {reason}", case.name))?;
        }
        let fired = harness.advance(i64::MAX);
        let fired = fired.map_err(|failure| format!("case `{}` {how}: a timer failed: {}", case.name, failure.message))?;
        seen.output.extend(fired.into_iter().map(|Output { output, message, .. }| (output, message)));
        seen.output.sort_by_key(|(output, _)| *output);
        if seen != expected {
            return Err(format!("case `{}` {how} {}", case.name, difference::difference(&expected, &seen)));
        }
    }
    Ok(())
}

/// What the host does under the policy `skip`; where a failure cannot be undone alone, everything before the record at
/// fault, then everything after it.
fn run<Op: Operator>(
    harness: &mut Harness<Op>,
    batch: &[Message],
    first: usize,
    seen: &mut Seen,
) -> Result<(), String> {
    let failure = match harness.process_skipping(batch) {
        Ok((outputs, failures)) => {
            seen.output.extend(outputs.into_iter().map(|Output { output, message, .. }| (output, message)));
            seen.failures.extend(failures.iter().filter_map(|failure| Some(first + failure.index? as usize)));
            return Ok(());
        }
        Err(failure) => failure,
    };
    let at = failure.index.map_or(usize::MAX, |index| index as usize);
    let (before, rest) = batch.split_at_checked(at).ok_or_else(|| nameless(&failure))?;
    let after = rest.get(1..).ok_or_else(|| nameless(&failure))?;
    run(harness, before, first, seen)?;
    seen.failures.push(first + at);
    run(harness, after, first + at + 1, seen)
}

fn nameless(failure: &Failure) -> String {
    format!("a failure that names no record of the batch: code {}, {}", failure.code, failure.message)
}
