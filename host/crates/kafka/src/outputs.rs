//! Whether the topics that a job writes are still those that it began to write.

use std::collections::BTreeMap;

use crate::admin::Admin;
use crate::error::Error;
use crate::options::ClientOptions;

/// Topics with their ids, as they were when they were looked at last.
pub(crate) struct OutputIds {
    admin: Admin,
    names: Vec<String>,
    ids: BTreeMap<String, String>,
}

impl OutputIds {
    /// Asks for the ids of `names`, on a client of its own.
    pub(crate) fn look(options: &ClientOptions, names: Vec<String>) -> Result<Self, Error> {
        let mut found = Self { admin: Admin::open(options)?, names, ids: BTreeMap::new() };
        found.replaced()?;
        Ok(found)
    }

    /// Asks again: the topics that have another id than they had. One that is not there has none, and may come back.
    pub(crate) fn replaced(&mut self) -> Result<Vec<String>, Error> {
        let found = self.admin.topics(&self.names)?;
        let now: BTreeMap<String, String> =
            found.into_iter().filter_map(|topic| Some((topic.name, topic.id?))).collect();
        Ok(renew(&mut self.ids, now))
    }
}

/// Takes over what is there `now`; those that were another before.
fn renew(ids: &mut BTreeMap<String, String>, now: BTreeMap<String, String>) -> Vec<String> {
    let is_other = |(name, id): (String, String)| match ids.insert(name.clone(), id.clone()) {
        Some(before) if before != id => Some(name),
        _ => None,
    };
    now.into_iter().filter_map(is_other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_of_another_id_is_told_once() {
        let mut ids = BTreeMap::new();
        let mut look = |found: &[(&str, &str)]| {
            renew(&mut ids, found.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect())
        };
        assert!(look(&[("a", "1"), ("b", "2")]).is_empty(), "the first look");
        assert!(look(&[("b", "2")]).is_empty(), "a is away");
        assert_eq!(look(&[("a", "9"), ("b", "2")]), ["a"]);
        assert!(look(&[("a", "9"), ("b", "2")]).is_empty());
    }
}
