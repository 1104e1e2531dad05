//! Settings of the cluster that work against what a job promises. Nothing here is needed to run, so nothing here is an
//! error: what may not be seen (it takes the right DescribeConfigs) is left out.

use std::collections::BTreeMap;

use rdkafka::admin::{AdminClient, ResourceSpecifier};
use weir_connector::Findings;

use crate::admin::{CALL_TIMEOUT, admin_client, admin_options, block_on};
use crate::client::Context;
use crate::error::Error;
use crate::options::ClientOptions;

/// Where Kafka keeps what consumer groups have committed, and the transactions.
const OFFSETS: &str = "__consumer_offsets";
const TRANSACTIONS: &str = "__transaction_state";

const REPLICAS: usize = 3;
const MIN_INSYNC: u64 = 2;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// As Kafka has it by default.
const RETENTION_MINUTES: u64 = 7 * 24 * 60;
/// Longer than any marker.
const METADATA_BYTES: u64 = 512;

/// What a job needs of its cluster.
#[derive(Debug, Clone)]
pub(crate) struct Needs {
    /// The topics that it writes.
    pub outputs: Vec<String>,
    /// True where it writes in transactions.
    pub transactions: bool,
}

/// The configuration of one topic or broker; what is not allowed to be seen is not there.
type Settings = BTreeMap<String, String>;

/// A topic as far as it matters.
#[derive(Debug, Clone)]
struct Replication {
    topic: String,
    /// Of the partition that has the fewest.
    replicas: usize,
    min_insync: Option<u64>,
}

/// Looks at the cluster.
pub(crate) fn examine(options: &ClientOptions, needs: &Needs) -> Result<Findings, Error> {
    let admin = admin_client(options)?;
    let mut findings = Findings::default();
    let internal = needs.transactions.then_some(TRANSACTIONS).into_iter().chain([OFFSETS]);
    for topic in needs.outputs.iter().map(String::as_str).chain(internal) {
        match replication(&admin, topic)? {
            Some(found) => findings.advice.extend(advise_topic(&found)),
            None => findings.unseen.push(format!("topic {topic}")),
        }
    }
    let (brokers, settings) = broker(&admin)?;
    findings.is_alone = brokers == 1;
    match settings {
        settings if settings.is_empty() => findings.unseen.push("the brokers' configuration".to_owned()),
        settings => findings.advice.extend(advise_broker(&settings, needs)),
    }
    Ok(findings)
}

/// One setting of a broker; `None` where it may not be seen.
pub(crate) fn broker_setting(options: &ClientOptions, key: &str) -> Result<Option<String>, Error> {
    Ok(broker(&admin_client(options)?)?.1.remove(key))
}

fn replication(admin: &AdminClient<Context>, topic: &str) -> Result<Option<Replication>, Error> {
    let asked = admin.inner().fetch_metadata(Some(topic), CALL_TIMEOUT);
    let metadata = asked.map_err(|e| Error::of(format!("describe topic {topic:?}"), e))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let Some(replicas) = found.and_then(|t| t.partitions().iter().map(|p| p.replicas().len()).min()) else {
        return Ok(None);
    };
    let settings = configuration(admin, &ResourceSpecifier::Topic(topic))?;
    let min_insync = number(&settings, "min.insync.replicas");
    Ok(Some(Replication { topic: topic.to_owned(), replicas, min_insync }))
}

/// How many brokers there are, and the configuration of the first: they should not differ in what is looked at here.
fn broker(admin: &AdminClient<Context>) -> Result<(usize, Settings), Error> {
    // Any one topic: the brokers come with each answer.
    let asked = admin.inner().fetch_metadata(Some(OFFSETS), CALL_TIMEOUT);
    let metadata = asked.map_err(|e| Error::of("list the brokers", e))?;
    match metadata.brokers().iter().map(|b| b.id()).min() {
        Some(id) => Ok((metadata.brokers().len(), configuration(admin, &ResourceSpecifier::Broker(id))?)),
        None => Ok((0, Settings::new())),
    }
}

fn configuration(admin: &AdminClient<Context>, of: &ResourceSpecifier<'_>) -> Result<Settings, Error> {
    let answer = block_on(admin.describe_configs([of], &admin_options()));
    let answer = answer.map_err(|e| Error::of("read the configuration of the cluster", e))?;
    // rdkafka shows a refusal as a configuration without entries.
    let entries = answer.into_iter().flatten().flat_map(|resource| resource.entries);
    Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
}

fn number(settings: &Settings, key: &str) -> Option<u64> {
    settings.get(key)?.parse().ok()
}

fn advise_topic(found: &Replication) -> Option<String> {
    let Replication { topic, replicas, min_insync } = found;
    let what = match topic.as_str() {
        OFFSETS => "the job's offsets and marker",
        TRANSACTIONS => "the outcome of transactions",
        _ => "committed records",
    };
    let few = *replicas < REPLICAS;
    match min_insync {
        Some(min) if few || *min < MIN_INSYNC => Some(format!(
            "topic {topic:?} has {replicas} replicas and min.insync.replicas = {min}: brokers that are lost can take {what} \
             along; have {REPLICAS} and {MIN_INSYNC}"
        )),
        None if few => Some(format!(
            "topic {topic:?} has {replicas} replicas: brokers that are lost can take {what} along; have {REPLICAS}"
        )),
        _ => None,
    }
}

fn advise_broker(settings: &Settings, needs: &Needs) -> Vec<String> {
    let below = |key: &str, least: u64, so: &str| {
        let value = number(settings, key).filter(|value| *value < least)?;
        Some(format!("{key} = {value}: {so}; have at least {least}"))
    };
    let retention = below(
        "offsets.retention.minutes",
        RETENTION_MINUTES,
        "a job that is stopped for longer loses its offsets and marker, and refuses to start",
    );
    let metadata =
        below("offset.metadata.max.bytes", METADATA_BYTES, "the marker may not fit, and no epoch could commit");
    let expiration = below(
        "transactional.id.expiration.ms",
        DAY_MS,
        "the id of an idle job expires between its hourly commits, or soon after it was stopped",
    );
    let expiration = expiration.filter(|_| needs.transactions);
    [retention, metadata, expiration].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advised(topic: &str, replicas: usize, min_insync: Option<u64>) -> Option<String> {
        advise_topic(&Replication { topic: topic.to_owned(), replicas, min_insync })
    }

    #[test]
    fn a_topic_needs_replicas_that_must_agree() {
        assert_eq!(advised("out", 3, Some(2)), None);
        assert_eq!(advised("out", 3, None), None, "what may not be seen is not warned about");
        let text = advised("out", 1, Some(1)).unwrap();
        assert!(text.contains("\"out\" has 1 replicas and min.insync.replicas = 1"), "{text}");
        assert!(advised("out", 3, Some(1)).unwrap().contains("have 3 and 2"));
        assert!(advised("out", 2, None).unwrap().ends_with("have 3"));
        assert!(advised(OFFSETS, 1, Some(1)).unwrap().contains("marker"));
        assert!(advised(TRANSACTIONS, 1, Some(1)).unwrap().contains("outcome of transactions"));
    }

    #[test]
    fn a_brokers_settings_are_compared_with_what_a_job_needs() {
        let lines = |settings: &[(&str, &str)], transactions| -> Vec<String> {
            let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let needs = Needs { outputs: Vec::new(), transactions };
            advise_broker(&settings, &needs)
        };
        let defaults = [
            ("offsets.retention.minutes", "10080"),
            ("offset.metadata.max.bytes", "4096"),
            ("transactional.id.expiration.ms", "604800000"),
        ];
        assert_eq!(lines(&defaults, true), Vec::<String>::new());
        assert_eq!(lines(&[], true), Vec::<String>::new());
        let low = [
            ("offsets.retention.minutes", "60"),
            ("offset.metadata.max.bytes", "128"),
            ("transactional.id.expiration.ms", "3600000"),
        ];
        let said = lines(&low, true);
        assert_eq!(said.len(), 3, "{said:?}");
        for ((key, value), line) in low.iter().zip(&said) {
            assert!(line.starts_with(&format!("{key} = {value}: ")), "{line}");
        }
        assert_eq!(lines(&low, false).len(), 2, "without transactions no id expires");
    }
}
