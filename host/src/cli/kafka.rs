//! `--kafka KEY=VALUE`, whose value may be a password and is never shown.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::str::FromStr;

use anyhow::Result;
use weir_core::{Fault, PortError, Secret};
use weir_kafka::properties::{canonical, is_name};

/// One property as it was given. It is judged later: what is wrong with an argument is told with the whole argument.
#[derive(Debug, Clone)]
pub(super) struct KafkaArg(Option<(String, Secret)>);

impl FromStr for KafkaArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let parts = text.split_once('=').filter(|(key, _)| is_name(key.trim()));
        Ok(Self(parts.map(|(key, value)| (key.trim().to_owned(), Secret::new(value)))))
    }
}

/// The properties by the client's own names; of one that is given twice the last counts.
pub(super) fn properties(given: Vec<KafkaArg>) -> Result<BTreeMap<String, Secret>> {
    let mut properties = BTreeMap::new();
    for KafkaArg(property) in given {
        let wrong = || PortError::new(Fault::Config, "--kafka takes KEY=VALUE, as in --kafka security.protocol=ssl");
        let (key, value) = property.ok_or_else(wrong)?;
        properties.insert(canonical(&key).to_owned(), value);
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(texts: &[&str]) -> Result<BTreeMap<String, Secret>> {
        properties(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn the_last_of_a_property_counts_by_whatever_name() {
        let given = given(&["linger.ms=1", "queue.buffering.max.ms=2", "sasl.password=a=b"]).unwrap();
        let given: Vec<_> = given.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
        assert_eq!(given, [("queue.buffering.max.ms", "2"), ("sasl.password", "a=b")]);
    }

    #[test]
    fn what_is_no_property_is_not_repeated() {
        // Where the `=` was forgotten, the first one may be in the value.
        for text in ["sasl.password hunter2", "sasl.password hunter2==", "sasl.password:hunter2=", "=hunter2"] {
            let error = given(&[text]).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
