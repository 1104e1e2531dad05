//! A record that fails leaves the stream as a letter that says where, in what and why, and nothing else of it happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_core::ports::{Call, Effects, FailureKind, Operator, RecordLimit, TimestampLimit};
use weir_core::{Fault, OnError, SourceName, SplitId, SplitState};

use super::*;
use crate::error::NodeError;
use crate::runner::{Runner, RunnerOptions};
use crate::splits::SplitTable;
use crate::testing::{Alone, Counters, options};
use crate::version::Terms;

/// The output behind the only one of the plugin.
const LETTERS: u32 = 1;

/// Passes on what does not ask for trouble: `reject`, `fail`, `trap`, `late`, `large`, `lost`, `unfit`.
struct Trouble;

impl Operator for Trouble {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let mut writer = FrameWriter::new(Vec::new());
        for record in call.frame.records() {
            let value = std::str::from_utf8(record.value.unwrap_or_default()).unwrap();
            let (index, message) = (Some(record.source), format!("{value}\u{1b}[31m\n!"));
            match value {
                "reject" => effects.updates.extend(reject(record.source, &message)),
                "fail" => return Err(CallError::Failed { index, code: 7, message }),
                "trap" => return Err(CallError::Trapped { message }),
                "late" => return Err(CallError::Deadline { limit_ms: 5 }),
                "large" => return Err(CallError::Memory { limit_bytes: 5 }),
                "lost" => return Err(CallError::Malformed { what: "frame", reason: message }),
                "unfit" => writer.push(RecordView { value: Some(&[b'x'; 100]), ..record }),
                _ => writer.push(record),
            }
        }
        effects.outputs.push((0, writer.finish()));
        Ok(())
    }
}

fn reject(record: u32, message: &str) -> Vec<u8> {
    let words = [7, record, message.len() as u32].map(u32::to_le_bytes);
    [&[3][..], &words.concat(), message.as_bytes()].concat()
}

fn limit(bytes: usize, timestamps: Option<TimestampLimit>) -> RecordCheck {
    let (sink, setting) = ("topic \"t\"".to_owned(), "max.message.bytes = 1".to_owned());
    RecordCheck::Limit(RecordLimit { sink, bytes, setting, needs_key: false, timestamps })
}

/// A node whose letters go to a topic with these limits.
fn node(letters: RecordCheck) -> (Runner, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    counters.now_ms.store(1_000, Ordering::Relaxed);
    let mut splits = SplitTable::new([SourceName::new("clicks")]);
    let split = SplitId::new("in", 3);
    splits.name(0, &[SplitState { split, position: 0, end: None, identity: None, term: None }]);
    *counters.splits.lock().unwrap() = splits;
    let plugin = PluginLabel { name: "trouble 1.2.0".into(), digest: "d1".into() };
    let letters = LetterOptions { job: "j".into(), output: LETTERS, checks: vec![letters], as_read: vec![true, false] };
    let options = RunnerOptions {
        outputs: vec![vec![limit(50, None)]],
        letters: Some(letters),
        ..options(Terms { plugin, ..Terms::default() }, OnError::DeadLetter)
    };
    (Runner::new(options, Box::new(Trouble), None, Box::new(Alone(Arc::clone(&counters)))), counters)
}

/// A letter as it came out: its value, its timestamp, its headers.
type Seen = (String, i64, BTreeMap<String, String>);

/// What came out by the plugin's output, and the letters.
fn run(runner: &mut Runner, input: u32, values: &[&str]) -> (Vec<String>, Vec<Seen>, Result<(), NodeError>) {
    let (mut writer, mut headers) = (FrameWriter::new(Vec::new()), Vec::new());
    encode_headers([(&b"h"[..], Some(&b"own"[..])), (b"weir.dead-letter.job", Some(b"old"))], &mut headers);
    for (source, value) in (0..).zip(values) {
        let value = Some(value.as_bytes());
        writer.push(RecordView { timestamp_ms: 9, source, key: Some(b"k"), value, headers: &headers });
    }
    let origins = (0..values.len()).map(|at| Origin::new(0, 100 + at as i64)).collect();
    let mut out = Vec::new();
    let outcome = runner.run(input, &Batch { frame: writer.finish(), origins }, &mut out);
    let (mut sent, mut letters) = (Vec::new(), Vec::new());
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
    for (output, batch) in &out {
        assert_eq!(batch.origins.len(), batch.frame.len());
        for (index, record) in (0..).zip(batch.frame.records()) {
            assert_eq!(record.source, index);
            match *output {
                LETTERS => {
                    let headers: Vec<_> = record.headers().map(|(n, v)| (text(Some(n)), text(v))).collect();
                    let named: BTreeMap<String, String> = headers.iter().cloned().collect();
                    assert_eq!(headers.len(), named.len(), "a header twice: {headers:?}");
                    letters.push((text(record.value), record.timestamp_ms, named));
                }
                _ => sent.push(text(record.value)),
            }
        }
    }
    (sent, letters, outcome)
}

fn said<'a>(letter: &'a Seen, name: &[u8]) -> &'a str {
    letter.2.get(std::str::from_utf8(name).unwrap()).map_or("", String::as_str)
}

#[test]
fn every_kind_of_failure_becomes_a_letter_and_the_rest_goes_on_in_order() {
    let (mut runner, counters) = node(limit(10_000, None));
    let values = ["a", "reject", "b", "fail", "trap", "c", "late", "large", "lost", "d", "unfit", "reject", "e"];
    let (sent, letters, outcome) = run(&mut runner, 0, &values);
    outcome.unwrap();
    assert_eq!(sent, ["a", "b", "c", "d", "e"]);
    let kinds: Vec<(&str, &str, &str)> =
        letters.iter().map(|l| (l.0.as_str(), said(l, letter::KIND), said(l, letter::OFFSET))).collect();
    let wanted = [
        ("reject", FailureKind::Failed, "101"),
        ("fail", FailureKind::Failed, "103"),
        ("trap", FailureKind::Trap, "104"),
        ("late", FailureKind::Deadline, "106"),
        ("large", FailureKind::Memory, "107"),
        ("lost", FailureKind::Malformed, "108"),
        ("unfit", FailureKind::Unfit, "110"),
        ("reject", FailureKind::Failed, "111"),
    ];
    assert_eq!(kinds, wanted.map(|(value, kind, offset)| (value, kind.word(), offset)));
    assert_eq!(counters.dead_lettered.load(Ordering::Relaxed), 8);
    assert_eq!(counters.skipped.load(Ordering::Relaxed), 0);
}

#[test]
fn a_letter_is_the_record_with_what_is_known_of_its_failure() {
    let (mut runner, _) = node(limit(10_000, None));
    let (_, letters, _) = run(&mut runner, 0, &["fail"]);
    let [(value, 9, headers)] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(value, "fail");
    let wanted = [
        ("h", "own"),
        ("weir.dead-letter.job", "j"),
        ("weir.dead-letter.operator", "o"),
        ("weir.dead-letter.plugin", "trouble 1.2.0"),
        ("weir.dead-letter.digest", "d1"),
        ("weir.dead-letter.kind", "failed"),
        ("weir.dead-letter.message", "plugin returned failure 7: fail\\u{1b}[31m, !"),
        ("weir.dead-letter.time", "1000"),
        ("weir.dead-letter.topic", "in"),
        ("weir.dead-letter.partition", "3"),
        ("weir.dead-letter.offset", "100"),
        ("weir.dead-letter.of", "record"),
    ];
    assert_eq!(*headers, wanted.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    let (_, letters, _) = run(&mut runner, 1, &["fail"]);
    assert_eq!(said(&letters[0], letter::OF), "derived", "by the second input comes what an operator made");
}

#[test]
fn what_the_topic_does_not_take_ends_the_job_and_a_timestamp_goes_into_a_header() {
    let (mut runner, _) = node(limit(200, None));
    let (sent, letters, outcome) = run(&mut runner, 0, &["a", "fail", "b"]);
    let error = outcome.unwrap_err();
    assert_eq!((error.fault(), sent, letters.len()), (Fault::User, vec!["a".to_owned()], 0));
    let error = error.to_string();
    for wanted in ["\"o\" failed on record in[3] offset 101", "failure 7", "too large: topic \"t\"", "or set on-error"]
    {
        assert!(error.contains(wanted), "{error}");
    }
    let (mut runner, _) = node(limit(10_000, Some(TimestampLimit { behind_ms: 100, ahead_ms: 100 })));
    let (_, letters, outcome) = run(&mut runner, 0, &["fail"]);
    outcome.unwrap();
    assert_eq!((letters[0].1, said(&letters[0], letter::TIMESTAMP)), (NO_TIMESTAMP, "9"));
}

#[test]
fn a_message_is_cut_at_a_character() {
    let long = "ä".repeat(letter::MESSAGE_BYTES_MAX);
    let cut = clipped(&long);
    assert!(cut.len() <= letter::MESSAGE_BYTES_MAX && long.starts_with(&cut));
    assert_eq!(clipped("a\nb"), "a\\nb");
}
