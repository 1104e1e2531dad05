//! The name of a job that was given none: `PLUGIN-FROM-TO`. Where a character has to be changed or the end cut off, a
//! short hash of the whole tells apart what would now look the same.

use weir_core::JobName;
use weir_core::key_group::key_hash;

use crate::plan::{OperatorPlan, SinkKind, SinkPlan, SourceKind, Topics};

const HASH_CHARS: usize = 8;

/// The default name of a job of these parts.
pub(crate) fn default_name(source: &SourceKind, operators: &[OperatorPlan], sinks: &[SinkPlan]) -> JobName {
    let plugins = match operators {
        [] => "copy".to_owned(),
        some => joined(some.iter().map(|o| o.plugin.file_stem().unwrap_or_default().to_string_lossy().into_owned())),
    };
    let from = match source {
        SourceKind::Kafka { topics: Topics::Named(topics), .. } => joined(topics.iter().cloned()),
        SourceKind::Kafka { topics: Topics::Pattern(pattern), .. } => pattern.clone(),
        SourceKind::Stdin => "stdin".to_owned(),
        SourceKind::File { path } => path.to_string_lossy().into_owned(),
        SourceKind::Generate(generate) => generate.generator.name().to_owned(),
    };
    let to = joined(sinks.iter().map(|sink| match &sink.kind {
        SinkKind::Kafka { topic } => topic.clone(),
        SinkKind::Stdout => "stdout".to_owned(),
        SinkKind::File { path } => path.to_string_lossy().into_owned(),
    }));
    legal(&format!("{plugins}-{from}-{to}"))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("+")
}

fn legal(wanted: &str) -> JobName {
    let fit = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => c,
        _ => '-',
    };
    let mut name: String = wanted.chars().map(fit).collect();
    if name != wanted || name.len() > JobName::BYTES_MAX {
        name.truncate(JobName::BYTES_MAX - HASH_CHARS - 1);
        name = format!("{name}-{:0HASH_CHARS$x}", key_hash(wanted.as_bytes()) as u32);
    }
    JobName::new(name).expect("every character was made fit and the length was cut")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_as_they_are_or_get_a_hash() {
        assert_eq!(legal("count-in-out").as_str(), "count-in-out");
        assert_eq!(legal("count-In-out").as_str(), "count-in-out-938d3559");
        assert_ne!(legal("count-In-out"), legal("count-iN-out"), "the hash tells them apart");
        let (a, b) = ("x".repeat(64), "x".repeat(65));
        assert_eq!(legal(&a).as_str(), a);
        assert_eq!(legal(&b).as_str().len(), JobName::BYTES_MAX);
        assert_ne!(legal(&b), legal(&"x".repeat(66)));
    }
}
