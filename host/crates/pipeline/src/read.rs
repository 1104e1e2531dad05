//! From the text of a pipeline file to a [`Spec`]. An error names line and column, and a key that nothing reads comes
//! with the closest one that something does.

use weir_connector::{Error, closest};

use crate::places::Places;
use crate::spec::Spec;

/// Reads the text of a pipeline file.
pub fn read(text: &str) -> Result<Spec, Error> {
    let mut spec: Spec = toml::from_str(text).map_err(|error| syntax(text, &error))?;
    spec.places = Places::of(text);
    match spec.version {
        1 => Ok(spec),
        other => Err(Error::Version(other)),
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> Error {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    if may_be_secret(text, before, line) {
        let message = without_values(error.message());
        return Error::Syntax { line, column, message, shown: "\nthe line is not shown: it may hold a secret".into() };
    }
    Error::Syntax { line, column, message: explained(error.message()), shown: excerpt(error) }
}

/// The line with the place marked, as `toml` draws it between its own head and the message.
fn excerpt(error: &toml::de::Error) -> String {
    let drawn = error.to_string();
    let drawn = drawn.split_once('\n').map_or("", |(_head, rest)| rest);
    let drawn = drawn.trim_end().strip_suffix(error.message().trim_end()).unwrap_or_default().trim_end();
    drawn.lines().map(|line| format!("\n{}", line.trim_end())).collect()
}

/// Whether line `line` of `text`, or the one above where a value may begin, is about a password or a key, or lies in a
/// text of several lines, as a key in PEM does.
fn may_be_secret(text: &str, before: &str, line: usize) -> bool {
    const WORDS: [&str; 6] = ["password", "secret", "jaas", "token", "credential", "key."];
    let is_about_one = |line: &str| {
        let line = line.to_ascii_lowercase();
        WORDS.iter().any(|word| line.contains(word))
    };
    let in_long_text = ["\"\"\"", "'''"].iter().any(|quotes| before.matches(quotes).count() % 2 == 1);
    in_long_text || text.lines().skip(line.saturating_sub(2)).take(2.min(line)).any(is_about_one)
}

/// Serde says ``invalid type: integer `1234`, expected a string``: of a secret, what was expected is enough.
fn without_values(message: &str) -> String {
    match message.rsplit_once(", expected ") {
        Some((given, expected)) if given.starts_with("invalid ") => {
            format!("the value does not fit, expected {expected}")
        }
        _ => explained(message),
    }
}

/// `toml` takes a word that begins like `true` for a misspelt one.
fn explained(message: &str) -> String {
    let message = with_suggestion(message);
    if message.starts_with("invalid boolean") { message + "; a text needs quotes" } else { message }
}

/// Serde says ``unknown field `x`, expected one of `a`, `b` ``: the words between back ticks are all that is needed.
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (true, Some(word)) = (message.starts_with("unknown "), quoted.next()) else {
        return message.to_owned();
    };
    let kind = if message.starts_with("unknown variant") { "value" } else { "key" };
    match closest(word, quoted) {
        Some(close) => format!("unknown {kind} `{word}`; did you mean `{close}`?"),
        None => message.replacen("unknown field", "unknown key", 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn the_place_is_shown() {
        for (text, wanted) in [
            (
                "version = 1\njob = t\n",
                "line 2, column 7: invalid boolean, expected `true`; a text needs quotes\n  |\n2 | job = t\n  |       ^",
            ),
            (
                "version = 1\n[kafka]\nbrokerz = \"a:1\"\n",
                "line 3, column 1: unknown key `brokerz`; did you mean `brokers`?\n  |\n3 | brokerz = \"a:1\"\n  | ^^^^^^^",
            ),
            ("version = 1\n[state]\n[state]\n", "line 3, column 2: duplicate key\n  |\n3 | [state]\n  |  ^^^^^"),
        ] {
            assert_eq!(refused(text), wanted);
        }
    }

    #[test]
    fn a_line_with_a_secret_is_not_shown() {
        let head = "version = 1\n[kafka]\nbrokers = \"a:1\"\n";
        for line in [
            "properties.\"sasl.password\" = hunter2",
            "properties.\"SASL.JAAS.config\" = \"a\" hunter2",
            "properties.\"ssl.key.password\" =\nhunter2",
            "properties.\"ssl.ca.pem\" = \"\"\"\nBEGIN \\q hunter2\n\"\"\"",
        ] {
            let error = refused(&format!("{head}{line}\n"));
            assert!(error.starts_with("line ") && error.contains("it may hold a secret"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_quoted_where_it_may_be_a_secret() {
        for (message, wanted) in [
            ("invalid type: integer `31337`, expected a string", "the value does not fit, expected a string"),
            ("invalid value: string \"a, expected b\", expected a size", "the value does not fit, expected a size"),
            ("duplicate key", "duplicate key"),
        ] {
            assert_eq!(without_values(message), wanted);
        }
    }

    /// The keys that are read in `table`, as serde lists them for a key that is not.
    fn keys_of(table: &str) -> Vec<String> {
        let text = match table {
            "" => "\"?\" = 1".to_owned(),
            table => format!("version = 1\n[{table}]\n\"?\" = 1"),
        };
        let error = toml::from_str::<Spec>(&text).unwrap_err();
        let mut quoted = error.message().split('`').skip(1).step_by(2).map(str::to_owned);
        assert_eq!(quoted.next().as_deref(), Some("?"), "{table}: {error}");
        quoted.collect()
    }

    #[test]
    fn every_key_is_in_the_reference() {
        let reference = include_str!("../../../docs/reference.md");
        let tables = [
            "",
            "kafka",
            "sources.a",
            "sources.a.kafka",
            "sources.a.file",
            "sources.a.generate",
            "sources.a.stdin",
            "sources.a.watermark",
            "operators.a",
            "operators.a.limits",
            "sinks.a",
            "sinks.a.kafka",
            "sinks.a.file",
            "sinks.a.stdout",
            "epochs",
            "state",
            "restart",
        ];
        for (table, key) in tables.iter().flat_map(|table| keys_of(table).into_iter().map(move |key| (table, key))) {
            assert!(reference.contains(&format!("`{key}`")), "`{key}` of [{table}] is not in the reference");
        }
    }

    #[test]
    fn the_example_of_the_reference_can_run() {
        let reference = include_str!("../../../docs/reference.md");
        let example = reference.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let plan = crate::validate(&read(example).unwrap()).unwrap();
        assert_eq!(plan.job.as_str(), "orders");
    }
}
