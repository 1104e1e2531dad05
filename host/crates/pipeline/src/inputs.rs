//! What an operator reads, as written: a list of names, or a table from the plugin's inputs to names. A name may say how its
//! records are spread over the operator's tasks: `{ from = "words", partition = "round-robin" }`.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What an operator reads, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputsSpec(
    /// In order.
    pub Vec<InputSpec>,
);

/// One name, and the input that it comes into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSpec {
    /// The plugin's name of the input; `None` in a list.
    pub port: Option<String>,
    /// A source, an operator, or `operator.side-output`.
    pub name: String,
    /// To which task a record goes.
    pub partition: Partition,
}

/// To which task of an operator a record goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partition {
    /// To the one that owns its key, so that the records of a key keep their order. The default.
    #[default]
    Key,
    /// To one after the other, batch by batch, whatever its key: for operators without state.
    RoundRobin,
}

impl InputsSpec {
    /// A list of one name.
    pub fn one(name: String) -> Self {
        Self(vec![InputSpec::named(name)])
    }
}

impl InputSpec {
    /// One name with every default.
    pub(crate) fn named(name: String) -> Self {
        Self { port: None, name, partition: Partition::default() }
    }

    /// A table with a name.
    fn from_map<'de, A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            from: String,
            #[serde(default)]
            partition: Partition,
        }
        let Table { from, partition } = Table::deserialize(MapAccessDeserializer::new(table))?;
        Ok(Self { partition, ..Self::named(from) })
    }
}

impl<'de> Deserialize<'de> for InputsSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrTable;
        impl<'de> Visitor<'de> for ListOrTable {
            type Value = InputsSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    r#"names as in ["clicks"], or for each input of the plugin as in { left = "a", right = "b" }"#,
                )
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<InputsSpec, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(InputsSpec)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<InputsSpec, A::Error> {
                let mut inputs = Vec::new();
                while let Some((port, Reads(reads))) = table.next_entry::<String, Reads>()? {
                    if reads.is_empty() {
                        let reason =
                            format!("nothing comes into the input {port:?}; name what it reads, or leave it out");
                        return Err(serde::de::Error::custom(reason));
                    }
                    inputs.extend(reads.into_iter().map(|read| InputSpec { port: Some(port.clone()), ..read }));
                }
                Ok(InputsSpec(inputs))
            }
        }
        deserializer.deserialize_any(ListOrTable)
    }
}

/// A name, or a table with one; the input is for whoever reads it to say.
impl<'de> Deserialize<'de> for InputSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrTable;
        impl<'de> Visitor<'de> for NameOrTable {
            type Value = InputSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"a name, or { from = "NAME", partition = "round-robin" }"#)
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<InputSpec, E> {
                Ok(InputSpec::named(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<InputSpec, A::Error> {
                InputSpec::from_map(table)
            }
        }
        deserializer.deserialize_any(NameOrTable)
    }
}

/// One [`InputSpec`], or a list of them.
struct Reads(Vec<InputSpec>);

impl<'de> Deserialize<'de> for Reads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList;
        impl<'de> Visitor<'de> for OneOrList {
            type Value = Reads;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a list of names")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Reads, E> {
                Ok(Reads(vec![InputSpec::named(name.to_owned())]))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Reads, A::Error> {
                Ok(Reads(vec![InputSpec::from_map(table)?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Reads, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Reads)
            }
        }
        deserializer.deserialize_any(OneOrList)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<InputSpec>, String> {
        #[derive(Deserialize)]
        struct Table {
            inputs: InputsSpec,
        }
        let table: Table = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        Ok(table.inputs.0)
    }

    #[test]
    fn inputs_are_a_list_or_a_table_and_say_how_they_are_spread() {
        let input = |port: Option<&str>, name: &str, partition| {
            let (port, name) = (port.map(str::to_owned), name.to_owned());
            InputSpec { port, name, partition }
        };
        let keyed = |port, name| input(port, name, Partition::Key);
        let in_turns = |port, name| input(port, name, Partition::RoundRobin);
        for (text, wanted) in [
            ("['a', 'b.c']", vec![keyed(None, "a"), keyed(None, "b.c")]),
            (
                "{ left = 'a', right = ['b', 'c'] }",
                vec![keyed(Some("left"), "a"), keyed(Some("right"), "b"), keyed(Some("right"), "c")],
            ),
            (
                "['a', { from = 'b', partition = 'round-robin' }, { from = 'c' }, { from = 'd', partition = 'key' }]",
                vec![keyed(None, "a"), in_turns(None, "b"), keyed(None, "c"), keyed(None, "d")],
            ),
            (
                "{ left = { from = 'a', partition = 'round-robin' }, right = [{ from = 'b', partition = 'round-robin' }, 'c'] }",
                vec![in_turns(Some("left"), "a"), in_turns(Some("right"), "b"), keyed(Some("right"), "c")],
            ),
        ] {
            assert_eq!(read(&format!("inputs = {text}")), Ok(wanted), "{text}");
        }
        for (text, wanted) in [
            ("'a'", "expected names as in [\"clicks\"]"),
            ("{ left = 1 }", "expected a name, or a list of names"),
            ("[1]", "expected a name, or { from = \"NAME\", partition = \"round-robin\" }"),
            (
                "[{ from = 'a', partition = 'broadcast' }]",
                "unknown variant `broadcast`, expected `key` or `round-robin`",
            ),
            ("[{ from = 'a', partiton = 'key' }]", "unknown field `partiton`, expected `from` or `partition`"),
            ("[{ partition = 'key' }]", "missing field `from`"),
        ] {
            let said = read(&format!("inputs = {text}")).unwrap_err();
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }
}
