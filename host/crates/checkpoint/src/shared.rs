//! A split that two sources read. Each would commit a position of its own, and a group has one for each split.

use std::collections::BTreeMap;
use std::fmt;

use weir_core::{SourceName, SplitId};

use crate::manifest::SourceEntry;

/// Two sources of a pipeline read one split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// What both read.
    pub split: SplitId,
    /// One of them.
    pub first: SourceName,
    /// The other.
    pub second: SourceName,
}

/// Finds the first such split among those beside whose positions the marker stands. Two files or two generators of one
/// name are no trouble: only the manifest has their positions.
pub fn shared(sources: &[SourceEntry]) -> Option<Shared> {
    let mut read_by: BTreeMap<&SplitId, &SourceName> = BTreeMap::new();
    let marked = sources.iter().filter(|source| source.marked);
    let splits = marked.flat_map(|source| source.splits.iter().map(move |split| (&source.name, &split.split)));
    for (second, split) in splits {
        if let Some(first) = read_by.insert(split, second) {
            return Some(Shared { split: split.clone(), first: first.clone(), second: second.clone() });
        }
    }
    None
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { split: SplitId { stream, .. }, first, second } = self;
        write!(
            f,
            "the sources {first:?} and {second:?} both read {stream:?}: let one source read it, and name that one in \
             the inputs of all who want its records",
            first = &*first.0,
            second = &*second.0,
        )
    }
}

impl std::error::Error for Shared {}

#[cfg(test)]
mod tests {
    use weir_core::SplitState;

    use super::*;

    fn source(name: &str, marked: bool, topics: &[&str]) -> SourceEntry {
        let split = |topic: &&str| {
            let split = SplitId::new(*topic, 3);
            SplitState { split, position: 0, end: None, identity: None, term: None }
        };
        SourceEntry { name: SourceName::new(name), marked, start: None, splits: topics.iter().map(split).collect() }
    }

    #[test]
    fn a_split_has_one_source() {
        let apart = [source("a", true, &["x", "y"]), source("b", true, &["z"]), source("c", false, &["x"])];
        assert_eq!(shared(&apart), None);
        let clash = shared(&[source("a", true, &["x", "y"]), source("b", true, &["z", "y"])]).unwrap();
        assert!(clash.to_string().starts_with("the sources \"a\" and \"b\" both read \"y\""), "{clash}");
    }
}
