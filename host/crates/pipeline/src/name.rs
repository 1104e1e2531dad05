//! The name of a job that was given none: `PLUGIN-FROM-TO`. A version in the plugin's file name is no part of it: the
//! next version is the same job. Where a character has to be changed or the end cut off, a
//! short hash of the whole tells apart what would now look the same.

use regex::Regex;
use weir_core::JobName;
use weir_core::key_group::key_hash;

use crate::plan::{OperatorPlan, SinkPlan, SourcePlan};

const HASH_CHARS: usize = 8;

/// The default name of a job of these parts.
pub(crate) fn default_name(sources: &[SourcePlan], operators: &[OperatorPlan], sinks: &[SinkPlan]) -> JobName {
    let plugins = match operators {
        [] => "copy".to_owned(),
        some => joined(some.iter().map(|o| {
            let stem = o.plugin.file_stem().unwrap_or_default().to_string_lossy();
            without_version(&stem).to_owned()
        })),
    };
    let from = joined(sources.iter().map(|source| source.reads.name()));
    let to = joined(sinks.iter().map(|sink| sink.writes.name()));
    legal(&format!("{plugins}-{from}-{to}"))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("+")
}

/// The end of a file's stem that says a version: `-1`, `_v2`, `.3`, `-1.0.1`, `-2.0.0-rc.1`, `-1.0+build`. A number that
/// nothing sets apart (`mp3`) is part of the name, and so is what stands behind one (`top-10-users`).
const VERSION: &str = concat!(
    r"(?i)^(.+?)[-_.]v?[0-9]+(?:\.[0-9]+)*",
    r"(?:[-_.]?(?:alpha|beta|rc|pre|preview|dev|snapshot|nightly)(?:[-_.]?[0-9]+)*)?",
    r"(?:\+[0-9a-z.-]+)?$",
);

fn without_version(stem: &str) -> &str {
    let version = Regex::new(VERSION).expect("the expression is a constant");
    version.captures(stem).and_then(|found| found.get(1)).map_or(stem, |name| name.as_str())
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
    fn a_version_is_no_part_of_a_name() {
        for (stem, wanted) in [
            ("count", "count"),
            ("count-1", "count"),
            ("count_v2", "count"),
            ("count.3", "count"),
            ("count-1.0.1", "count"),
            ("count-V1.2-rc.1", "count"),
            ("count-1.0.0-beta2", "count"),
            ("count-2.0.0-snapshot", "count"),
            ("count-1.0+a1b2", "count"),
            ("count-v2-1.0", "count-v2"),
            ("top-10-users", "top-10-users"),
            ("mp3", "mp3"),
            ("v2", "v2"),
            ("count-1.x", "count-1.x"),
            ("zähler-2", "zähler"),
        ] {
            assert_eq!(without_version(stem), wanted, "{stem}");
        }
    }

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
