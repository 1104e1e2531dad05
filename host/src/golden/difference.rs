//! How what came out differs from what must come out, in the words of the file of cases.

use super::Seen;

/// Records that are the same on both sides and stand before the first that differs: so many are shown.
const CONTEXT: usize = 2;
/// Records of one side that are shown.
const SHOWN: usize = 10;
/// Characters of a line that are shown.
const WIDTH: usize = 300;

/// One block for each output that differs, and one for whatever else does.
pub(crate) fn difference(expected: &Seen, seen: &Seen) -> String {
    let mut lines = vec!["(- must come out, + came out)".to_owned()];
    let mut outputs: Vec<u32> = expected.output.iter().chain(&seen.output).map(|(output, _)| *output).collect();
    outputs.sort_unstable();
    outputs.dedup();
    for output in outputs {
        let of = |side: &Seen| -> Vec<String> {
            side.output.iter().filter(|(o, _)| *o == output).map(|(_, record)| record.clone()).collect()
        };
        records(output, &of(expected), &of(seen), &mut lines);
    }
    let mut other = |what: &str, expected: String, seen: String| {
        if expected != seen {
            lines.extend([what.to_owned(), format!("  - {expected}"), format!("  + {seen}")]);
        }
    };
    other("steps of `in` that fail", format!("{:?}", expected.failures), format!("{:?}", seen.failures));
    other("records that are late", expected.late.to_string(), seen.late.to_string());
    other("timers and windows that fail", due(&expected.failed_due), due(&seen.failed_due));
    lines.join("\n")
}

fn due(failed: &[String]) -> String {
    match failed {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one}, and {} more", rest.len()),
    }
}

fn records(output: u32, expected: &[String], seen: &[String], lines: &mut Vec<String>) {
    if expected == seen {
        return;
    }
    let same = expected.iter().zip(seen).take_while(|(a, b)| a == b).count();
    let (expected_rest, seen_rest) = (expected.get(same..).unwrap_or(&[]), seen.get(same..).unwrap_or(&[]));
    let tail = expected_rest.iter().rev().zip(seen_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    lines.push(format!("output {output}, from record {same} on ({} expected, {} seen)", expected.len(), seen.len()));
    let before = expected.iter().take(same).skip(same.saturating_sub(CONTEXT));
    lines.extend(before.map(|line| format!("    {}", clipped(line))));
    for (sign, rest) in [('-', expected_rest), ('+', seen_rest)] {
        let differing = rest.len() - tail;
        lines.extend(rest.iter().take(differing.min(SHOWN)).map(|line| format!("  {sign} {}", clipped(line))));
        if differing > SHOWN {
            lines.push(format!("  {sign} and {} more", differing - SHOWN));
        }
    }
}

fn clipped(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{} .. ({} bytes)", line.get(..at).unwrap_or_default(), line.len()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(output: &[(u32, &str)], failures: &[usize]) -> Seen {
        let output = output.iter().map(|(output, record)| (*output, (*record).to_owned())).collect();
        Seen { output, failures: failures.to_vec(), ..Seen::default() }
    }

    #[test]
    fn it_shows_what_differs_and_what_stands_before_it() {
        let expected = seen(&[(0, "a"), (0, "b"), (0, "c"), (0, "d"), (1, "x"), (0, "e")], &[]);
        let other = Seen {
            late: 1,
            failed_due: vec!["a".into(), "b".into()],
            ..seen(&[(0, "a"), (0, "b"), (0, "c"), (0, "D"), (0, "e")], &[2])
        };
        assert_eq!(
            difference(&expected, &other),
            "(- must come out, + came out)\n\
             output 0, from record 3 on (5 expected, 5 seen)\n    b\n    c\n  - d\n  + D\n\
             output 1, from record 0 on (1 expected, 0 seen)\n  - x\n\
             steps of `in` that fail\n  - []\n  + [2]\n\
             records that are late\n  - 0\n  + 1\n\
             timers and windows that fail\n  - none\n  + a, and 1 more"
        );
    }

    #[test]
    fn it_stays_short() {
        let long = "x".repeat(10_000);
        let many: Vec<(u32, &str)> = (0..1_000).map(|_| (0, long.as_str())).collect();
        let text = difference(&seen(&many, &[]), &seen(&[], &[]));
        assert!(text.len() < 5_000 && text.contains("  - and 990 more"), "{text}");
    }
}
