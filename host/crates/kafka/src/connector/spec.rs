//! What a user writes of Kafka: addresses, tables, flags.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use weir_connector::{Address, Error, Found, Settings};
use weir_core::Secret;

use super::Map;
use crate::properties::{Properties, canonical, is_name};

/// Defaults for all Kafka sources and sinks: the table `[kafka]`, or the flags that stand for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterSpec {
    /// `HOST:PORT,..` of some brokers.
    pub brokers: Option<String>,
    /// Create missing topics to write instead of refusing to start. Default: false.
    pub create_topics: Option<bool>,
    /// librdkafka properties: TLS, SASL, tuning.
    #[serde(default)]
    pub properties: Given,
}

/// librdkafka properties, each by librdkafka's own name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// What is set.
    pub named: BTreeMap<String, Secret>,
    /// What was set once more, to something else, by another name: which one counts would be a guess.
    twice: Vec<String>,
}

/// Kafka topics to read: exactly one of `topic`, `topics`, `pattern`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SourceSpec {
    /// One topic.
    pub(super) topic: Option<String>,
    /// Several topics.
    pub(super) topics: Option<Vec<String>>,
    /// A regular expression that a whole topic name matches; topics that appear later are found too.
    pub(super) pattern: Option<String>,
    /// Brokers. Default: those of `[kafka]`.
    pub(super) brokers: Option<String>,
    /// More properties, over those of `[kafka]`.
    #[serde(default)]
    pub(super) properties: Given,
}

/// A Kafka topic to write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SinkSpec {
    /// Its name; empty is a mistake.
    #[serde(default)]
    pub(super) topic: String,
    /// Other topics that the header `weir.route.topic` of a record may name instead, for plugins that declare `routes`.
    #[serde(default)]
    pub(super) routes: Vec<String>,
    /// How many partitions it gets where it is created. Default: as many as the source has.
    pub(super) partitions: Option<NonZeroU16>,
    /// How many replicas each partition gets where it is created. Default: as the brokers have it.
    pub(super) replication: Option<NonZeroU16>,
    /// Its settings where it is created, as in `config.cleanup.policy = "compact"`. Default: as the brokers have them.
    #[serde(default, deserialize_with = "flat")]
    pub(super) config: Map,
    /// Brokers. Default: those of `[kafka]`.
    pub(super) brokers: Option<String>,
    /// More properties, over those of `[kafka]`.
    #[serde(default)]
    pub(super) properties: Given,
}

impl Settings for ClusterSpec {}
impl Settings for SourceSpec {}
impl Settings for SinkSpec {}

pub(super) fn source_address(Address { rest, is_named }: Address<'_>) -> Result<Arc<dyn Settings>, String> {
    let pattern = rest.strip_prefix('/').filter(|_| is_named);
    let spec = match pattern.map(|text| text.strip_suffix('/')) {
        Some(Some(pattern)) if !pattern.is_empty() => {
            SourceSpec { pattern: Some(pattern.to_owned()), ..SourceSpec::default() }
        }
        Some(_) => return Err("a pattern is kafka:/REGEX/".to_owned()),
        None => SourceSpec { topic: Some(legal(rest)?.to_owned()), ..SourceSpec::default() },
    };
    Ok(Arc::new(spec))
}

pub(super) fn sink_address(Address { rest, is_named }: Address<'_>) -> Result<Arc<dyn Settings>, String> {
    if is_named && rest.starts_with('/') {
        return Err("a pattern can be read, not written; name one topic".to_owned());
    }
    Ok(Arc::new(SinkSpec { topic: legal(rest)?.to_owned(), ..SinkSpec::default() }))
}

/// Kafka's own rule for topic names.
fn legal(topic: &str) -> Result<&str, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !(1..=249).contains(&topic.len()) || !topic.bytes().all(legal) || topic == "." || topic == ".." {
        let hint = if topic.contains('/') { "; a file is file:PATH" } else { "" };
        return Err(format!("a topic has 1 to 249 of the characters a-z A-Z 0-9 . _ -{hint}"));
    }
    Ok(topic)
}

/// The name of a topic that stands at `at`.
pub(super) fn topic_name(topic: &str, at: &str) -> Result<String, Error> {
    if topic.is_empty() {
        return Err(Error::missing(at, "write the name of a topic"));
    }
    let wrong = |reason| Error::Address { address: topic.to_owned(), reason };
    let legal = legal(topic).map_err(|reason| Error::invalid(at, wrong(reason).to_string()))?;
    Ok(legal.to_owned())
}

/// What a flag says counts for the whole cluster, whatever single sources and sinks of the file say.
pub(super) fn lay_over(
    flags: &(dyn Settings + 'static),
    table: &mut Option<Arc<dyn Settings>>,
    nodes: Vec<&mut Arc<dyn Settings>>,
) -> Vec<(String, String)> {
    let Some(flags) = flags.of::<ClusterSpec>() else { return Vec::new() };
    for node in nodes {
        if let Some(spec) = node.of::<SourceSpec>() {
            let (brokers, properties) = flags.remaining(&spec.brokers, &spec.properties);
            *node = Arc::new(SourceSpec { brokers, properties, ..spec.clone() });
        } else if let Some(spec) = node.of::<SinkSpec>() {
            let (brokers, properties) = flags.remaining(&spec.brokers, &spec.properties);
            *node = Arc::new(SinkSpec { brokers, properties, ..spec.clone() });
        }
    }
    let mut spec = table.as_ref().and_then(|table| table.of::<ClusterSpec>()).cloned().unwrap_or_default();
    spec.brokers = flags.brokers.clone().or(spec.brokers);
    spec.create_topics = flags.create_topics.or(spec.create_topics);
    spec.properties.named.extend(flags.properties.named.clone());
    *table = Some(Arc::new(spec));
    flags.said()
}

impl ClusterSpec {
    /// The key of the table.
    pub const KEY: &'static str = "kafka";

    /// What of a node's own settings these flags leave.
    fn remaining(&self, brokers: &Option<String>, properties: &Given) -> (Option<String>, Given) {
        let mut properties = properties.clone();
        properties.named.retain(|key, _| !self.properties.named.contains_key(key));
        (brokers.clone().filter(|_| self.brokers.is_none()), properties)
    }

    /// The places that these flags say, each with its flag.
    fn said(&self) -> Vec<(String, String)> {
        let place = |key: &str, flag: &str| (format!("{}.{key}", Self::KEY), flag.to_owned());
        let brokers = self.brokers.is_some().then(|| place("brokers", "--brokers"));
        let create = self.create_topics.is_some().then(|| place("create-topics", "--create-topics"));
        let properties = self.properties.named.keys();
        let properties = properties.map(|key| place(&format!("properties.{key}"), &format!("--kafka {key}")));
        brokers.into_iter().chain(create).chain(properties).collect()
    }
}

impl Given {
    /// What is set, by whatever name.
    pub fn new(given: impl IntoIterator<Item = (String, Secret)>) -> Self {
        let mut properties = Self::default();
        for (key, value) in given {
            let other = properties.named.insert(canonical(&key).to_owned(), value.clone());
            if other.is_some_and(|other| other != value) {
                properties.twice.push(key);
            }
        }
        properties
    }

    /// Notes what cannot be set, and what is set twice; `at` is the table that they stand in.
    pub(super) fn check(&self, at: &str, found: &mut Found) {
        for (key, value) in &self.named {
            let alone = Map::from([(key.clone(), value.clone())]);
            if let Err(error) = Properties::new(&alone) {
                // What is no name may be a secret.
                let at = if is_name(key) { format!("{at}.properties.{key}") } else { format!("{at}.properties") };
                found.add(Error::invalid(at, error.to_string()));
            }
        }
        for key in &self.twice {
            let reason = format!("{:?} is the same property by another name; leave one out", canonical(key));
            found.add(Error::invalid(format!("{at}.properties.{key}"), reason));
        }
    }
}

/// `properties.ssl.ca.location = ".."` and `properties."ssl.ca.location" = ".."` are the same.
impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        flat(deserializer).map(Self::new)
    }
}

/// A table of texts, however deep.
fn flat<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map, D::Error> {
    use serde::de::Error as _;
    let mut flat = Map::new();
    // Serde's own words on a wrong type show the value, which may be a password.
    match toml::Value::deserialize(deserializer)? {
        toml::Value::Table(table) => flatten("", table, &mut flat).map_err(D::Error::custom)?,
        _ => return Err(D::Error::custom("properties are a table, as in properties.linger.ms = 5")),
    }
    Ok(flat)
}

/// TOML reads `a.b = 1` as a table in a table; librdkafka calls it `a.b`.
fn flatten(prefix: &str, table: toml::Table, flat: &mut Map) -> Result<(), String> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        let text = match value {
            toml::Value::Table(inner) => {
                flatten(&key, inner, flat)?;
                continue;
            }
            toml::Value::String(text) => text,
            toml::Value::Array(_) => return Err(format!("property {key:?} is a list; write its values as one string")),
            plain => plain.to_string(),
        };
        flat.insert(key, Secret::new(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_patterns() {
        let named = |rest| Address { rest, is_named: true };
        let topic = |name: &str| SourceSpec { topic: Some(name.into()), ..SourceSpec::default() };
        let pattern = SourceSpec { pattern: Some("^a.*b$".into()), ..SourceSpec::default() };
        for (text, wanted) in [("clicks", topic("clicks")), ("file", topic("file")), ("/^a.*b$/", pattern)] {
            assert_eq!(source_address(named(text)).unwrap().of(), Some(&wanted), "{text}");
        }
        for (text, wanted) in
            [("", "1 to 249"), ("a/b", "a file is file:PATH"), ("//", "kafka:/REGEX/"), ("/a", "kafka:/REGEX/")]
        {
            let error = source_address(named(text)).unwrap_err();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
        assert!(sink_address(named("/a/")).unwrap_err().contains("name one topic"));
        let path = Address { rest: "/a/", is_named: false };
        assert!(
            [source_address(path), sink_address(path)]
                .iter()
                .all(|read| { read.as_ref().is_err_and(|error| error.contains("a file is file:PATH")) })
        );
    }
}
