//! What was played, as JUnit has it: XML that build servers read.

use std::fmt::Write as _;
use std::time::Duration;

/// What became of one case.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The name of the case.
    pub(crate) name: String,
    /// How long it took to play.
    pub(crate) took: Duration,
    /// Why it has failed, if it has.
    pub(crate) why: Option<String>,
}

/// The report of the cases of `plugin`.
pub(crate) fn report(plugin: &str, outcomes: &[Outcome]) -> String {
    let (plugin, mut out) = (escaped(plugin), String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
    let failed = outcomes.iter().filter(|outcome| outcome.why.is_some()).count();
    let took: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
    let counts = format!("tests=\"{}\" failures=\"{failed}\" time=\"{:.3}\"", outcomes.len(), took.as_secs_f64());
    let mut say = |line: String| writeln!(out, "{line}").expect("a string takes everything");
    say(format!("<testsuite name=\"{plugin}\" {counts}>"));
    for Outcome { name, took, why } in outcomes {
        let (name, took) = (escaped(name), took.as_secs_f64());
        let case = format!("  <testcase classname=\"{plugin}\" name=\"{name}\" time=\"{took:.3}\"");
        match why {
            None => say(format!("{case}/>")),
            Some(why) => {
                let first = escaped(why.lines().next().unwrap_or_default());
                say(format!("{case}>\n    <failure message=\"{first}\">{}</failure>\n  </testcase>", escaped(why)));
            }
        }
    }
    say("</testsuite>".to_owned());
    out
}

/// Text as XML may hold it: most control characters it may not.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_cases_and_says_why_they_failed() {
        let outcome = |name: &str, ms, why: Option<&str>| Outcome {
            name: name.to_owned(),
            took: Duration::from_millis(ms),
            why: why.map(str::to_owned),
        };
        let outcomes = [outcome("a < b & \"c\"", 4, None), outcome("\u{1b}", 1, Some("something else:\n  - <1>"))];
        let wanted = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <testsuite name=\"count\" tests=\"2\" failures=\"1\" time=\"0.005\">\n  \
            <testcase classname=\"count\" name=\"a &lt; b &amp; &quot;c&quot;\" time=\"0.004\"/>\n  \
            <testcase classname=\"count\" name=\"\u{fffd}\" time=\"0.001\">\n    \
            <failure message=\"something else:\">something else:\n  - &lt;1&gt;</failure>\n  \
            </testcase>\n</testsuite>\n";
        assert_eq!(report("count", &outcomes), wanted);
    }
}
