//! Kafka topics that are read.

use std::num::NonZeroU64;
use std::sync::Arc;

use weir_connector::{Abilities, Error, Found, JobFacts, PlannedSource, Range, exactly_one};
use weir_core::PortError;
use weir_core::ports::SourceConnector;

use super::Map;
use super::clusters::Clusters;
use super::spec::{SourceSpec, topic_name};
use crate::{ClientOptions, KafkaSource, Properties, SourceOptions, Topics};

/// Topics that are read, checked.
#[derive(Debug, Clone)]
pub(super) struct PlannedTopics {
    topics: Topics,
    brokers: String,
    pub(super) properties: Map,
}

/// `None` where something of it was found wrong.
pub(super) fn plan(
    at: &str,
    spec: &SourceSpec,
    clusters: &mut Clusters<'_>,
    found: &mut Found,
) -> Option<PlannedTopics> {
    let properties = clusters.join(at, spec.brokers.as_deref(), &spec.properties, found);
    Some(PlannedTopics { topics: topics(at, spec, found)?, brokers: String::new(), properties })
}

fn topics(at: &str, spec: &SourceSpec, found: &mut Found) -> Option<Topics> {
    let kinds =
        [("topic", spec.topic.is_some()), ("topics", spec.topics.is_some()), ("pattern", spec.pattern.is_some())];
    found.keep(exactly_one(&format!("{at}.kafka"), &kinds))?;
    if let Some(pattern) = &spec.pattern {
        let wrong = |error| Error::invalid(format!("{at}.kafka.pattern"), format!("not a regular expression: {error}"));
        found.keep(regex::Regex::new(pattern).map_err(wrong))?;
        return Some(Topics::Pattern(pattern.clone()));
    }
    let (at, names) = match (&spec.topic, &spec.topics) {
        (Some(one), _) => (format!("{at}.kafka.topic"), vec![one.clone()]),
        (None, several) => (format!("{at}.kafka.topics"), several.clone().unwrap_or_default()),
    };
    let before = found.count();
    if names.is_empty() {
        found.add(Error::missing(&at, "name at least one topic"));
    }
    for (index, name) in names.iter().enumerate() {
        found.keep(topic_name(name, &at));
        if names.iter().take(index).any(|other| other == name) {
            found.add(Error::invalid(&at, format!("{name:?} is named twice")));
        }
    }
    (found.count() == before).then_some(Topics::Named(names))
}

impl PlannedTopics {
    /// What is known of the cluster once every node has spoken.
    pub(super) fn join(&mut self, brokers: &str, clusters: &Clusters<'_>) {
        brokers.clone_into(&mut self.brokers);
        clusters.complete(&mut self.properties);
    }

    /// The topics that are read by name.
    pub(super) fn named(&self) -> Vec<String> {
        match &self.topics {
            Topics::Named(names) => names.clone(),
            Topics::Pattern(_) => Vec::new(),
        }
    }

    fn is_one_topic(&self) -> bool {
        matches!(&self.topics, Topics::Named(names) if names.len() == 1)
    }

    /// Whether a topic is among them.
    pub(super) fn select(&self, topic: &str) -> bool {
        match &self.topics {
            Topics::Named(names) => names.iter().any(|name| name == topic),
            // Checked before; the whole name must match.
            Topics::Pattern(pattern) => {
                regex::Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(topic))
            }
        }
    }

    /// A topic that both select. What two patterns have in common only the cluster knows, unless they are the same.
    pub(super) fn shared(&self, other: &Self) -> Option<String> {
        match (&self.topics, &other.topics) {
            (Topics::Pattern(one), Topics::Pattern(other)) => {
                (one == other).then(|| format!("the topics of the pattern {one:?}"))
            }
            (Topics::Named(names), _) => names.iter().find(|name| other.select(name)).map(named),
            (_, Topics::Named(names)) => names.iter().find(|name| self.select(name)).map(named),
        }
    }
}

fn named(topic: &String) -> String {
    format!("the topic {topic:?}")
}

impl PlannedSource for PlannedTopics {
    fn noun(&self) -> &'static str {
        "a Kafka source"
    }

    fn words(&self) -> String {
        match &self.topics {
            Topics::Named(topics) => format!("kafka {}", topics.join(", ")),
            Topics::Pattern(pattern) => format!("kafka /{pattern}/"),
        }
    }

    fn name(&self) -> String {
        match &self.topics {
            Topics::Named(topics) => topics.join("+"),
            Topics::Pattern(pattern) => pattern.clone(),
        }
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            replays: true,
            ends: false,
            commits_positions: true,
            splits: true,
            times: true,
            headers: true,
            no_offsets: (!self.is_one_topic()).then_some("offsets can be given for a single topic only"),
            fixed: None,
        }
    }

    fn open(&self, job: &JobFacts, range: &Range) -> Result<Arc<dyn SourceConnector>, PortError> {
        let client = ClientOptions {
            brokers: self.brokers.clone(),
            properties: Properties::new(&self.properties)?,
            job: job.name.clone(),
            shard: job.shard,
        };
        let options = SourceOptions {
            start: range.start.clone(),
            until: range.until.clone(),
            max_rate: range.max_rate.map(NonZeroU64::get),
            discovery_interval: range.discovery_interval,
            holds: range.holds,
            ..SourceOptions::new(self.topics.clone())
        };
        Ok(Arc::new(KafkaSource::new(client, options)?))
    }
}
