//! Kafka topics that are written.

use std::num::NonZeroU16;

use weir_connector::{Error, Found, PlannedSink};
use weir_core::PortError;
use weir_core::ports::Sink;

use super::Map;
use super::clusters::Clusters;
use super::spec::{SinkSpec, topic_name};
use crate::TopicOptions;
use crate::admin::NewTopic;

/// A topic that is written, checked.
#[derive(Debug, Clone)]
pub(super) struct PlannedTopic {
    pub(super) options: TopicOptions,
    creation: TopicCreation,
}

/// How a topic is made where it is not there and may be created; what is not said follows the source, or the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TopicCreation {
    partitions: Option<NonZeroU16>,
    replication: Option<NonZeroU16>,
    config: Map,
}

/// `None` where something of it was found wrong.
pub(super) fn plan(at: &str, spec: &SinkSpec, clusters: &mut Clusters<'_>, found: &mut Found) -> Option<PlannedTopic> {
    clusters.join_sink(at, spec.brokers.as_deref(), &spec.properties, found);
    let topic = found.keep(topic_name(&spec.topic, &format!("{at}.kafka.topic")));
    let at = format!("{at}.kafka.routes");
    let routes = spec.routes.iter().map(|route| found.keep(topic_of_route(route, &spec.topic, &at)));
    let routes: Vec<Option<String>> = routes.collect();
    let SinkSpec { partitions, replication, config, .. } = spec.clone();
    let options = TopicOptions { topic: topic?, routes: routes.into_iter().collect::<Option<_>>()? };
    Some(PlannedTopic { options, creation: TopicCreation { partitions, replication, config } })
}

fn topic_of_route(route: &str, own: &str, at: &str) -> Result<String, Error> {
    if route == own {
        return Err(Error::invalid(at, format!("{route:?} is the topic of the sink; name others")));
    }
    topic_name(route, at)
}

impl PlannedTopic {
    /// Every topic that may be written, the sink's own first.
    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.options.topics().map(String::as_str)
    }

    /// How its topics are made.
    pub(super) fn new_topic(&self) -> NewTopic {
        let TopicCreation { partitions, replication, config } = &self.creation;
        NewTopic {
            partitions: partitions.map(|partitions| partitions.get().into()),
            replication: replication.map(|replication| replication.get().into()),
            settings: config.iter().map(|(key, value)| (key.clone(), value.expose().to_owned())).collect(),
        }
    }

    /// Whether both may write one topic, by its name or by their routes, and would make it differently: then either of
    /// them may be the one that makes it.
    pub(super) fn makes_otherwise(&self, other: &Self) -> bool {
        self.creation != other.creation && self.topics().any(|topic| other.topics().any(|name| name == topic))
    }
}

impl PlannedSink for PlannedTopic {
    fn words(&self) -> String {
        let TopicOptions { topic, routes } = &self.options;
        match routes.as_slice() {
            [] => format!("kafka {topic}"),
            routes => format!("kafka {topic}, or by its records {}", routes.join(", ")),
        }
    }

    fn name(&self) -> String {
        self.options.topic.clone()
    }

    fn target(&self) -> String {
        self.options.topic.clone()
    }

    fn routes(&self) -> Option<&'static str> {
        (!self.options.routes.is_empty()).then_some("kafka.routes")
    }

    fn open(&self) -> Result<Option<Box<dyn Sink>>, PortError> {
        Ok(None)
    }
}
