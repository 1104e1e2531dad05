//! From the text of a pipeline file to a [`Spec`]. An error names line and column, and a key that nothing reads comes
//! with the closest one that something does.

use crate::error::{Error, closest};
use crate::spec::Spec;

/// Reads the text of a pipeline file.
pub fn read(text: &str) -> Result<Spec, Error> {
    let spec: Spec = toml::from_str(text).map_err(|error| syntax(text, &error))?;
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
    Error::Syntax { line, column, message: with_suggestion(error.message()) }
}

/// Serde says ``unknown field `x`, expected one of `a`, `b` ``: the words between back ticks are all that is needed.
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (true, Some(word)) = (message.starts_with("unknown "), quoted.next()) else {
        return message.to_owned();
    };
    match closest(word, quoted) {
        Some(close) => format!("unknown key `{word}`; did you mean `{close}`?"),
        None => message.replacen("unknown field", "unknown key", 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "sources.a.watermark",
            "operators.a",
            "operators.a.limits",
            "sinks.a",
            "sinks.a.kafka",
            "sinks.a.file",
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
