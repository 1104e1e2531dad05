//! How what came out differs from what must come out, in the words of the file of cases.

use std::fmt::Write as _;

use super::Seen;
use crate::testing::Message;

/// Records that are the same on both sides and stand before the first that differs: so many are shown.
const CONTEXT: usize = 2;
/// Records of one side that are shown.
const SHOWN: usize = 10;
/// Characters of a record that are shown.
const WIDTH: usize = 300;

/// One block for each output that differs, and one for the failures.
pub(super) fn difference(expected: &Seen, seen: &Seen) -> String {
    let mut text = String::from("(- must come out, + came out)");
    let mut outputs: Vec<u32> = expected.output.iter().chain(&seen.output).map(|(output, _)| *output).collect();
    outputs.sort_unstable();
    outputs.dedup();
    for output in outputs {
        let of = |side: &Seen| -> Vec<String> {
            side.output.iter().filter(|(o, _)| *o == output).map(|(_, message)| record(message)).collect()
        };
        records(output, &of(expected), &of(seen), &mut text);
    }
    if expected.failures != seen.failures {
        let (expected, seen) = (&expected.failures, &seen.failures);
        add(&mut text, &format!("records of `in` that fail\n  - {expected:?}\n  + {seen:?}"));
    }
    text
}

fn records(output: u32, expected: &[String], seen: &[String], text: &mut String) {
    if expected == seen {
        return;
    }
    let same = expected.iter().zip(seen).take_while(|(a, b)| a == b).count();
    let (expected_rest, seen_rest) = (expected.get(same..).unwrap_or(&[]), seen.get(same..).unwrap_or(&[]));
    let tail = expected_rest.iter().rev().zip(seen_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    add(text, &format!("output {output}, from record {same} on ({} expected, {} seen)", expected.len(), seen.len()));
    for line in expected.iter().take(same).skip(same.saturating_sub(CONTEXT)) {
        add(text, &format!("    {line}"));
    }
    for (sign, rest) in [('-', expected_rest), ('+', seen_rest)] {
        let differing = rest.len() - tail;
        for line in rest.iter().take(differing.min(SHOWN)) {
            add(text, &format!("  {sign} {line}"));
        }
        if differing > SHOWN {
            add(text, &format!("  {sign} and {} more", differing - SHOWN));
        }
    }
}

fn add(text: &mut String, line: &str) {
    text.push('\n');
    text.push_str(line);
}

/// A record as a file of cases writes it, so that it can be copied into one.
fn record(message: &Message) -> String {
    let mut fields = Vec::new();
    let mut field = |name: &str, value: String| fields.push(format!("\"{name}\": {value}"));
    message.key.iter().for_each(|key| field("key", bytes(key)));
    message.value.iter().for_each(|value| field("value", bytes(value)));
    if !message.headers.is_empty() {
        let header = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| {
            format!("[{}, {}]", bytes(name), value.as_deref().map_or_else(|| "null".to_owned(), bytes))
        };
        let headers: Vec<String> = message.headers.iter().map(header).collect();
        field("headers", format!("[{}]", headers.join(", ")));
    }
    message.timestamp.iter().for_each(|timestamp| field("timestamp", timestamp.to_string()));
    let line = format!("{{{}}}", fields.join(", "));
    match line.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{} .. ({} bytes)", line.get(..at).unwrap_or_default(), line.len()),
        None => line,
    }
}

fn bytes(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => serde_json::Value::from(text).to_string(),
        Err(_) => {
            let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("a string takes everything");
                hex
            });
            format!("{{\"hex\": \"{hex}\"}}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(output: &[(u32, Message)], failures: &[usize]) -> Seen {
        Seen { output: output.to_vec(), failures: failures.to_vec() }
    }

    #[test]
    fn it_is_text_that_could_stand_in_the_file() {
        let words = |second: &[u8]| {
            let last = Message::new("c", "3").with_header("h", None).with_timestamp(7);
            [(0, Message::new("a", "1")), (0, Message::new("b", second)), (0, last)]
        };
        let expected = seen(&words(b"2 \"words\""), &[]);
        assert_eq!(
            difference(&expected, &seen(&words(b"\xff"), &[1])),
            r#"(- must come out, + came out)
output 0, from record 1 on (3 expected, 3 seen)
    {"key": "a", "value": "1"}
  - {"key": "b", "value": "2 \"words\""}
  + {"key": "b", "value": {"hex": "ff"}}
records of `in` that fail
  - []
  + [1]"#
        );
        let nothing = difference(&expected, &seen(&[], &[]));
        assert!(
            nothing.ends_with(r#"  - {"key": "c", "value": "3", "headers": [["h", null]], "timestamp": 7}"#),
            "{nothing}"
        );
    }

    #[test]
    fn it_stays_short() {
        let many: Vec<_> = (0..1_000).map(|n| (1, Message::new("k", format!("{n}{}", "x".repeat(10_000))))).collect();
        let text = difference(&seen(&many, &[]), &seen(&[(0, Message::tombstone("k"))], &[]));
        assert!(text.len() < 5_000 && text.contains("  - and 990 more"), "{text}");
        assert!(text.contains("output 0, from record 0 on (0 expected, 1 seen)\n  + {\"key\": \"k\"}"), "{text}");
    }
}
