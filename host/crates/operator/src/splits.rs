//! What the splits of a job are called: tasks pass numbers around, people want names.

use weir_core::{Origin, SourceName, SplitId, SplitState};

/// Every split of every source, in the order in which origins count them; only ever longer.
#[derive(Debug, Default)]
pub struct SplitTable {
    sources: Vec<(SourceName, Vec<SplitId>)>,
}

impl SplitTable {
    /// The sources, in the order of the job; none has a split yet.
    pub fn new(sources: impl IntoIterator<Item = SourceName>) -> Self {
        Self { sources: sources.into_iter().map(|name| (name, Vec::new())).collect() }
    }

    /// Names the splits of a source that have no name yet.
    pub fn name(&mut self, source: usize, splits: &[SplitState]) {
        if let Some((_, names)) = self.sources.get_mut(source) {
            let known = names.len();
            names.extend(splits.iter().skip(known).map(|s| s.split.clone()));
        }
    }

    /// The split of a record.
    pub fn get(&self, origin: Origin) -> Option<&SplitId> {
        self.sources.get(origin.source as usize)?.1.get(origin.split as usize)
    }

    /// How many splits of a source have a name.
    pub fn known(&self, source: usize) -> usize {
        self.sources.get(source).map_or(0, |(_, names)| names.len())
    }

    /// Where a record was read, for people. Two sources may read a file or a generator of the same name.
    pub fn describe(&self, origin: Origin) -> String {
        if origin == Origin::NONE {
            return "(what a window or a timer sent)".to_owned();
        }
        let record = match self.get(origin) {
            Some(split) => format!("{split} offset {}", origin.offset),
            None => format!("offset {} of split number {}", origin.offset, origin.split),
        };
        match (self.sources.len(), self.sources.get(origin.source as usize)) {
            (0 | 1, _) | (_, None) => record,
            (_, Some((name, _))) => format!("{record} of source {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(topic: &str, partition: i32) -> SplitState {
        SplitState { split: SplitId::new(topic, partition), position: 0, end: None, identity: None, term: None }
    }

    #[test]
    fn a_record_is_called_by_the_split_of_its_own_source() {
        let mut table = SplitTable::new(["clicks", "views"].map(SourceName::new));
        table.name(0, &[split("a", 0)]);
        table.name(1, &[split("b", 0)]);
        table.name(1, &[split("b", 0), split("b", 7)]);
        let origin = |source, split| Origin { source, split, offset: 5 };
        assert_eq!(table.describe(origin(0, 0)), "a[0] offset 5 of source clicks");
        assert_eq!(table.describe(origin(1, 1)), "b[7] offset 5 of source views");
        assert_eq!(table.describe(origin(0, 1)), "offset 5 of split number 1 of source clicks");
        assert_eq!((table.known(0), table.known(1), table.known(2)), (1, 2, 0));
    }

    #[test]
    fn an_only_source_needs_no_name() {
        let mut table = SplitTable::new([SourceName::new("clicks")]);
        table.name(0, &[split("a", 3)]);
        assert_eq!(table.describe(Origin::new(0, 9)), "a[3] offset 9");
    }
}
