//! One sink: what it writes.

use weir_connector::{Error, Found};

use super::{exactly_one, path};
use crate::address::topic_name;
use crate::cluster::Clusters;
use crate::plan::{Input, SinkKind, SinkPlan, TopicCreation};
use crate::spec::SinkSpec;

/// `None` where something of it was found wrong.
pub(super) fn plan(
    name: &str,
    spec: &SinkSpec,
    inputs: Vec<Input>,
    clusters: &mut Clusters<'_>,
    found: &mut Found,
) -> Option<SinkPlan> {
    let kind = kind(&format!("sinks.{name}"), spec, clusters, found)?;
    let creation = spec.kafka.as_ref().map(|kafka| TopicCreation {
        partitions: kafka.partitions,
        replication: kafka.replication,
        config: kafka.config.0.clone(),
    });
    Some(SinkPlan { name: name.to_owned(), inputs, kind, creation: creation.unwrap_or_default() })
}

fn kind(at: &str, spec: &SinkSpec, clusters: &mut Clusters<'_>, found: &mut Found) -> Option<SinkKind> {
    let kinds = [("kafka", spec.kafka.is_some()), ("file", spec.file.is_some()), ("stdout", spec.stdout.is_some())];
    found.keep(exactly_one(at, &kinds))?;
    Some(if let Some(kafka) = &spec.kafka {
        clusters.join_sink(at, kafka.brokers.as_deref(), &kafka.properties, found);
        let topic = found.keep(topic(&kafka.topic, &format!("{at}.kafka.topic")));
        let at = format!("{at}.kafka.routes");
        let routes = kafka.routes.iter().map(|route| found.keep(topic_of_route(route, &kafka.topic, &at)));
        let routes: Vec<Option<String>> = routes.collect();
        SinkKind::Kafka { topic: topic?, routes: routes.into_iter().collect::<Option<_>>()? }
    } else if let Some(file) = &spec.file {
        let path = found.keep(path(&format!("{at}.file.path"), &file.path));
        SinkKind::File { format: found.keep(file.lines().plan(&format!("{at}.file")))?, path: path? }
    } else {
        SinkKind::Stdout { format: found.keep(spec.stdout.clone().unwrap_or_default().plan(&format!("{at}.stdout")))? }
    })
}

fn topic(name: &str, at: &str) -> Result<String, Error> {
    topic_name(name, name).map_err(|error| Error::invalid(at, error.to_string()))
}

fn topic_of_route(route: &str, own: &str, at: &str) -> Result<String, Error> {
    if route == own {
        return Err(Error::invalid(at, format!("{route:?} is the topic of the sink; name others")));
    }
    topic(route, at)
}
