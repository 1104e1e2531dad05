//! Keyed operators behind lines without keys: each record would fail, and the failure is the plugin's, which knows nothing
//! of lines. So it is said at the start.

use weir_core::KeySpec;
use weir_pipeline::lines::LineFormat;
use weir_pipeline::plan::{Plan, SourceKind};
use weir_runtime::OperatorSetup;

/// What to say of a first operator that keeps state by what no line has.
pub(super) fn missing(plan: &Plan, operators: &[OperatorSetup]) -> Option<String> {
    let (SourceKind::Stdin { format } | SourceKind::File { format, .. }) = &plan.source.kind else { return None };
    let first = operators.first().filter(|first| !first.factory.description().tables.is_empty())?;
    words(format, &first.key, &first.name)
}

fn words(format: &LineFormat, key: &KeySpec, operator: &str) -> Option<String> {
    match (format, key) {
        (LineFormat::Json, _) | (LineFormat::KeyValue { .. }, KeySpec::Key) => None,
        (LineFormat::Value, KeySpec::Key) => Some(format!(
            "{operator} keeps state by key, and lines that are values have none: read lines of KEY<TAB>VALUE with \
             ?format=key-value behind the address, or of JSON with ?format=json"
        )),
        (LineFormat::Value | LineFormat::KeyValue { .. }, KeySpec::Header(name)) => {
            Some(format!("{operator} keeps state by the header {name:?}, and only lines of ?format=json have headers"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_line_has_is_said() {
        let (value, header) = (LineFormat::Value, KeySpec::Header("h".into()));
        let key_value = LineFormat::KeyValue { separator: ":".into() };
        assert!(
            words(&value, &KeySpec::Key, "o").unwrap().starts_with("o keeps state by key, and lines that are values")
        );
        for format in [&value, &key_value] {
            assert!(words(format, &header, "o").unwrap().contains("the header \"h\", and only lines of ?format=json"));
        }
        assert_eq!(words(&key_value, &KeySpec::Key, "o"), None);
        assert_eq!(words(&LineFormat::Json, &header, "o"), None);
    }
}
