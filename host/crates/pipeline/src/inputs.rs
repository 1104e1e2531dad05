//! What an operator reads, as written: a list of names, or a table from the plugin's inputs to names.

use std::fmt;

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
}

impl InputsSpec {
    /// A list of one name.
    pub fn one(name: String) -> Self {
        Self(vec![InputSpec { port: None, name }])
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

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<InputsSpec, A::Error> {
                let mut inputs = Vec::new();
                while let Some(name) = list.next_element()? {
                    inputs.push(InputSpec { port: None, name });
                }
                Ok(InputsSpec(inputs))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<InputsSpec, A::Error> {
                let mut inputs = Vec::new();
                while let Some((port, Names(names))) = table.next_entry::<String, Names>()? {
                    if names.is_empty() {
                        let reason =
                            format!("nothing comes into the input {port:?}; name what it reads, or leave it out");
                        return Err(serde::de::Error::custom(reason));
                    }
                    inputs.extend(names.into_iter().map(|name| InputSpec { port: Some(port.clone()), name }));
                }
                Ok(InputsSpec(inputs))
            }
        }
        deserializer.deserialize_any(ListOrTable)
    }
}

/// One name, or a list of them.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList;
        impl<'de> Visitor<'de> for OneOrList {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a list of names")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_any(OneOrList)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(Option<String>, String)>, String> {
        #[derive(Deserialize)]
        struct Table {
            inputs: InputsSpec,
        }
        let table: Table = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        Ok(table.inputs.0.into_iter().map(|input| (input.port, input.name)).collect())
    }

    #[test]
    fn inputs_are_a_list_or_a_table() {
        let named = |port: &str, name: &str| (Some(port.to_owned()), name.to_owned());
        assert_eq!(read("inputs = ['a', 'b.c']").unwrap(), [(None, "a".into()), (None, "b.c".into())]);
        let table = read("inputs = { left = 'a', right = ['b', 'c'] }").unwrap();
        assert_eq!(table, [named("left", "a"), named("right", "b"), named("right", "c")]);
        assert!(read("inputs = 'a'").unwrap_err().contains("expected names as in [\"clicks\"]"));
        assert!(read("inputs = { left = 1 }").unwrap_err().contains("expected a name, or a list of names"));
    }
}
