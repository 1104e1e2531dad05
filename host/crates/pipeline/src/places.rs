//! Where a description says what: in which line of the file, or by which flag. So a mistake that only the whole shows still
//! has its place, and nobody is told of a flag that was not given.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};
use weir_connector::behind;

/// Where each key is said, by its path: `operators.count.inputs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<String, Place>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Place {
    /// Of the file, from 1; `None` where a flag alone says it.
    line: Option<usize>,
    /// The flag that says it, or some of it.
    flag: Option<String>,
}

impl Places {
    /// The places of the file with this text, as far as `table` has it: each thing is where `table` says that it was found.
    pub(crate) fn of(text: &str, table: &DeTable<'_>) -> Self {
        let mut places = Self::default();
        places.read(text, "", table);
        places
    }

    fn read(&mut self, text: &str, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path =
                if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
            let line = text.get(..key.span().start).map_or(0, |before| before.matches('\n').count()) + 1;
            if let DeValue::Table(inner) = value.get_ref() {
                self.read(text, &path, inner);
            }
            self.0.insert(path, Place { line: Some(line), flag: None });
        }
    }

    /// `flag` says what is at `path`: nothing that the file says there counts.
    pub(crate) fn replace(&mut self, path: &str, flag: &str) {
        self.0
            .retain(|known, _| known.strip_prefix(path).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('.')));
        self.add(path, flag);
    }

    /// `flag` says some of what is at `path`.
    pub(crate) fn add(&mut self, path: &str, flag: &str) {
        self.0.entry(path.to_owned()).or_default().flag = Some(flag.to_owned());
    }

    /// The line of what `at` begins with, and `at` as whoever wrote it calls it: of the key itself, or of the table or the
    /// flag that lacks it. A name may have any characters; the longest that is known is meant.
    pub(crate) fn find(&self, at: &str) -> (Option<usize>, String) {
        let known = self.0.iter().filter_map(|(path, place)| Some((path, behind(at, path)?, place)));
        let Some((path, rest, Place { line, flag })) = known.max_by_key(|(path, ..)| path.len()) else {
            return (None, at.to_owned());
        };
        let said = match (line, flag) {
            // What lies below is nothing that a flag could name.
            (None, Some(flag)) => {
                flag.clone() + rest.find([' ', ':']).and_then(|end| rest.get(end..)).unwrap_or_default()
            }
            (Some(_), Some(flag)) if !rest.starts_with('.') => format!("{path} ({flag}){rest}"),
            _ => at.to_owned(),
        };
        (*line, said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version = 1\n\n[operators.count]\nplugin = 'p'\nlimits = { memory = 1 }\n[sinks]\na.stdout = {}\n\
                        [sources.b]\n[sources.'b c']\n";

    fn places() -> Places {
        Places::of(TEXT, DeTable::parse(TEXT).unwrap().get_ref())
    }

    fn check(places: &Places, cases: &[(&str, Option<usize>, &str)]) {
        for (at, line, said) in cases {
            assert_eq!(places.find(at), (*line, (*said).to_owned()), "{at}");
        }
    }

    #[test]
    fn a_key_is_found_or_the_table_that_lacks_it() {
        let same = [
            ("version", Some(1)),
            ("operators.count.plugin", Some(4)),
            ("operators.count.limits.memory = 1", Some(5)),
            ("operators.count.inputs", Some(3)),
            ("operators.count: the path", Some(3)),
            ("sinks.a.inputs", Some(7)),
            ("sources.b: nothing reads it", Some(8)),
            ("sources.b c: nothing reads it", Some(9)),
            ("sources.bc", Some(8)),
            ("[restart]", None),
            ("", None),
        ];
        check(&places(), &same.map(|(at, line)| (at, line, at)));
    }

    #[test]
    fn what_a_flag_says_is_called_by_the_flag() {
        let mut places = places();
        places.replace("operators.count.limits", "--memory-limit");
        places.add("sources.b", "--from");
        places.add("operators.count.config", "--config");
        check(
            &places,
            &[
                ("operators.count.limits.memory = 1", None, "--memory-limit = 1"),
                ("operators.count.limits.memory", None, "--memory-limit"),
                ("operators.count.limits", None, "--memory-limit"),
                ("operators.count.config: it is none", None, "--config: it is none"),
                ("operators.count.plugin", Some(4), "operators.count.plugin"),
                ("sources.b: brokers", Some(8), "sources.b (--from): brokers"),
                ("sources.b", Some(8), "sources.b (--from)"),
                ("sources.b.start", Some(8), "sources.b.start"),
                ("sources.b c", Some(9), "sources.b c"),
            ],
        );
    }
}
