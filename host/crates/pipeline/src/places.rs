//! Which line of a pipeline file says what, so that a mistake that only the whole file shows still has its place.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// The line of each key, from 1, by its path: `operators.count.inputs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<String, usize>);

impl Places {
    /// The places of a file; none where it is no TOML, which whoever reads it says.
    pub(crate) fn of(text: &str) -> Self {
        let mut places = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            places.add(text, "", table.get_ref());
        }
        places
    }

    fn add(&mut self, text: &str, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path =
                if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
            let line = text.get(..key.span().start).map_or(0, |before| before.matches('\n').count()) + 1;
            if let DeValue::Table(inner) = value.get_ref() {
                self.add(text, &path, inner);
            }
            self.0.insert(path, line);
        }
    }

    /// The line of what `at` begins with: of the key itself, or of the table that lacks it. A name may have any characters;
    /// the longest that is in the file is meant.
    pub(crate) fn line(&self, at: &str) -> Option<usize> {
        let at = at.trim_start_matches('[');
        let is_said = |path: &str| {
            let rest = at.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ', ':', ']']))
        };
        self.0.iter().filter(|(path, _)| is_said(path)).max_by_key(|(path, _)| path.len()).map(|(_, line)| *line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_or_the_table_that_lacks_it() {
        let text = "version = 1\n\n[operators.count]\nplugin = 'p'\nlimits = { memory = 1 }\n[sinks]\na.stdout = {}\n\
                    [sources.b]\n[sources.'b c']\n";
        let places = Places::of(text);
        for (at, wanted) in [
            ("version", Some(1)),
            ("operators.count.plugin", Some(4)),
            ("operators.count.limits.memory (--memory-limit)", Some(5)),
            ("operators.count.inputs", Some(3)),
            ("operators.count: the path", Some(3)),
            ("sinks.a.inputs", Some(7)),
            ("sources.b: nothing reads it", Some(8)),
            ("sources.b c: nothing reads it", Some(9)),
            ("sources.bc", Some(8)),
            ("[restart]", None),
            ("", None),
        ] {
            assert_eq!(places.line(at), wanted, "{at}");
        }
        assert_eq!(Places::of("version ="), Places::default());
    }
}
