//! Maps that all tasks have whole.

use std::marker::PhantomData;

use super::{Map, MapKey, MapTable, StateValue};
use crate::failure::{self, Failure};

/// A table that holds values under keys of their own, once and not for each key: every task has all of it, reads it with
/// any record, and changes it with those of inputs that come to all tasks ([`crate::Description::broadcast`]). A constant;
/// `describe` must name it.
///
/// Records of such an input come to each task in order, those of several sources or partitions in any: what they write under
/// one key should not depend on which came first ([`crate::join::BroadcastJoin`] goes by their times).
#[derive(Debug)]
pub struct BroadcastTable<K, V>(MapTable<K, V>);

impl<K, V> Clone for BroadcastTable<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for BroadcastTable<K, V> {}

impl<K: MapKey, V: StateValue> BroadcastTable<K, V> {
    /// A table by its name. State is found again by the name, so it must not change from version to version.
    pub const fn new(name: &'static str) -> Self {
        Self(MapTable::new(name))
    }
}

impl<K, V> BroadcastTable<K, V> {
    /// The same with the version of its values, in the plugin's own words.
    pub const fn with_schema(self, version: &'static str) -> Self {
        Self(self.0.with_schema(version))
    }

    /// The table's name.
    pub const fn name(&self) -> &'static str {
        self.0.name()
    }
}

impl<K: MapKey, V: StateValue> BroadcastTable<K, V> {
    pub(crate) fn schema(&self) -> String {
        self.0.schema()
    }
}

/// Handle to a table that all tasks have; see [`crate::Context::broadcast`].
pub struct Broadcast<'a, K, V> {
    pub(crate) map: Map<'a, K, V>,
    /// Whether the record has come to all tasks.
    pub(crate) is_changeable: bool,
    pub(crate) entry: PhantomData<fn() -> (K, V)>,
}

impl<'a, K: MapKey, V: StateValue> Broadcast<'a, K, V> {
    /// The value of an entry; `None` if there is none.
    pub fn get(self, key: &K) -> Result<Option<V>, Failure> {
        self.map.get(key)
    }

    /// All entries, in the order of their keys.
    pub fn all(self) -> Result<Vec<(K, V)>, Failure> {
        self.map.all()
    }

    /// At most `limit` entries in the order of their keys, from the first that is not below `from`.
    pub fn scan(self, from: Option<&K>, limit: usize) -> Result<Vec<(K, V)>, Failure> {
        self.map.scan(from, limit)
    }

    /// Makes the value of an entry `value`. Fails, as all that changes the table, for a record that has not come to all tasks.
    pub fn put(self, key: &K, value: &V) -> Result<(), Failure> {
        self.changeable()?.put(key, value)
    }

    /// Removes an entry, if it is there.
    pub fn remove(self, key: &K) -> Result<(), Failure> {
        self.changeable()?.remove(key)
    }

    /// Empties it.
    pub fn clear(self) -> Result<(), Failure> {
        self.changeable()?.clear()
    }

    fn changeable(self) -> Result<Map<'a, K, V>, Failure> {
        if self.is_changeable {
            return Ok(self.map);
        }
        let reason = "a table that all tasks have is changed by the inputs that come to all of them, and by no others";
        Err(Failure::new(reason).with_code(failure::STATE))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Harness, Message};
    use crate::{Context, Description, NoConfig, Operator, Record};

    use super::*;

    const RULES: BroadcastTable<String, u64> = BroadcastTable::new("rules");

    /// `put`, `remove`, `clear` by the input `rules`, `get` and `all` by the other.
    struct Rules;

    impl Operator for Rules {
        type Config = NoConfig;

        fn describe() -> Description {
            let inputs = ["records", "rules"];
            Description::new("rules", "1").inputs(&inputs).broadcast(&["rules"]).table(RULES)
        }

        fn open(_: NoConfig) -> Result<Self, Failure> {
            Ok(Self)
        }

        fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
            let key = String::from_utf8(record.key().unwrap_or_default().to_vec()).unwrap();
            match record.value() {
                Some(b"put") => ctx.broadcast(RULES).put(&key, &record.timestamp().unwrap_or_default().unsigned_abs()),
                Some(b"remove") => ctx.broadcast(RULES).remove(&key),
                Some(b"clear") => ctx.broadcast(RULES).clear(),
                Some(b"all") => {
                    let all = format!("{:?}", ctx.broadcast(RULES).all()?);
                    ctx.emit(record.with_value(all.as_bytes()));
                    Ok(())
                }
                _ => {
                    let found = format!("{:?}", ctx.broadcast(RULES).get(&key)?);
                    ctx.emit(record.with_value(found.as_bytes()));
                    Ok(())
                }
            }
        }
    }

    fn say(key: &str, value: &str, at: i64) -> Message {
        Message::new(key, value).with_timestamp(at)
    }

    #[test]
    fn it_is_changed_by_what_comes_to_all_and_read_by_the_others() {
        let mut rules = Harness::<Rules>::new("{}").unwrap();
        rules
            .process_input(1, &[say("a", "put", 1), say("b", "put", 2), say("a", "remove", 0), say("c", "put", 3)])
            .unwrap();
        let out = rules.process(&[say("b", "get", 0), say("x", "all", 0), say("a", "get", 0)]).unwrap();
        let values: Vec<&[u8]> = out.iter().map(|output| output.message.value.as_deref().unwrap()).collect();
        assert_eq!(values, [&b"Some(2)"[..], b"[(\"b\", 2), (\"c\", 3)]", b"None"]);
        // A record without a key reads it, too.
        let keyless = Message { key: None, ..say("", "all", 0) };
        assert_eq!(rules.process(&[keyless]).unwrap().len(), 1);
        let failure = rules.process(&[say("b", "put", 9)]).unwrap_err();
        assert!(failure.message.contains("changed by the inputs that come to all of them"), "{}", failure.message);
        rules.process_input(1, &[say("", "clear", 0)]).unwrap();
        assert_eq!(rules.broadcast("rules"), Vec::<(&[u8], &[u8])>::new());
        // What would go out of each task is refused.
        assert!(rules.process_input(1, &[say("b", "get", 0)]).is_err());
    }
}
