//! Keyed operators behind lines without keys: each record would fail, and the failure is the plugin's, which knows nothing
//! of lines. So it is said at the start.

use weir_core::KeySpec;
use weir_pipeline::lines::LineFormat;
use weir_pipeline::plan::Plan;
use weir_plan::{Edge, Graph};

/// What to say of operators that keep state by what no line has, each behind the source that it reads.
pub(super) fn missing(plan: &Plan, graph: &Graph) -> Vec<String> {
    let source_of = |edge: &Edge| plan.sources.iter().find(|source| source.name == graph.name(edge.from.node));
    let said = graph.edges().iter().filter_map(|edge| {
        let reader = graph.node(edge.to.node)?;
        let operator = reader.as_operator().filter(|operator| operator.stateful)?;
        words(source_of(edge)?.kind.lines()?, &operator.key, &reader.name)
    });
    let mut said: Vec<String> = said.collect();
    said.dedup();
    said
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
