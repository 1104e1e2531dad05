//! One source: what it reads, and how.

use std::num::NonZeroU64;
use std::time::Duration;

use weir_connector::{Error, Found, closest};
use weir_core::{Start, Until};

use super::{exactly_one, path, positive};
use crate::address::{GENERATED_BYTES_TOO_MANY, topic_name};
use crate::cluster::Clusters;
use crate::plan::{GeneratePlan, Generator, SourceKind, SourcePlan, Topics};
use crate::spec::{GenerateSpec, KafkaSourceSpec, SourceSpec};

const DISCOVERY_INTERVAL: Duration = Duration::from_secs(30);
const GENERATOR_KEYS: u64 = 1000;
/// As much as a line may have.
const GENERATED_BYTES_MAX: u32 = 64 << 20;

/// `None` where what it reads was found wrong.
pub(super) fn plan(
    name: &str,
    spec: &SourceSpec,
    clusters: &mut Clusters<'_>,
    found: &mut Found,
) -> Option<SourcePlan> {
    let at = format!("sources.{name}");
    let kind = kind(&at, spec, clusters, found);
    if let Some(kind) = &kind {
        check_kafka_only(&at, spec, kind, found);
    }
    let watermark = spec.watermark.as_ref().map(|watermark| watermark.plan(&at, kind.as_ref(), found));
    let discovery_interval = found.keep(positive(
        &format!("{at}.discovery-interval"),
        spec.discovery_interval.map_or(DISCOVERY_INTERVAL, |s| s.0),
    ));
    Some(SourcePlan {
        name: name.to_owned(),
        kind: kind?,
        start: spec.start.clone().unwrap_or_default(),
        until: spec.until.clone(),
        max_rate: spec.max_rate,
        discovery_interval: discovery_interval?,
        watermark: watermark.flatten(),
    })
}

fn kind(at: &str, spec: &SourceSpec, clusters: &mut Clusters<'_>, found: &mut Found) -> Option<SourceKind> {
    let kinds = [
        ("kafka", spec.kafka.is_some()),
        ("file", spec.file.is_some()),
        ("generate", spec.generate.is_some()),
        ("stdin", spec.stdin.is_some()),
    ];
    found.keep(exactly_one(at, &kinds))?;
    Some(if let Some(kafka) = &spec.kafka {
        let properties = clusters.join(at, kafka.brokers.as_deref(), &kafka.properties, found);
        SourceKind::Kafka { topics: topics(at, kafka, found)?, properties }
    } else if let Some(file) = &spec.file {
        let path = found.keep(path(&format!("{at}.file.path"), &file.path));
        SourceKind::File { format: found.keep(file.lines().plan(&format!("{at}.file")))?, path: path? }
    } else if let Some(generate) = &spec.generate {
        SourceKind::Generate(generate_plan(at, generate, found)?)
    } else {
        SourceKind::Stdin { format: found.keep(spec.stdin.clone().unwrap_or_default().plan(&format!("{at}.stdin")))? }
    })
}

/// Settings that only a Kafka source has.
fn check_kafka_only(at: &str, spec: &SourceSpec, kind: &SourceKind, found: &mut Found) {
    let (what, ends) = match kind {
        SourceKind::Kafka { .. } => return,
        SourceKind::Stdin { .. } => ("stdin", "it is read to its end"),
        SourceKind::File { .. } => ("a file", "it is read to the end that it has at the first start"),
        SourceKind::Generate(_) => ("a generator", "give it count=N"),
    };
    let mut refuse = |key: &str, reason: &str| found.add(Error::conflict(format!("{at}.{key}"), what, reason));
    if spec.start.as_ref().is_some_and(|start| *start != Start::Earliest) {
        refuse("start", "it is always read from its beginning; only Kafka topics have other starts");
    }
    // "To the end it has now" is what a file and stdin do anyway.
    let generated = matches!(kind, SourceKind::Generate(_));
    if spec.until.as_ref().is_some_and(|until| generated || *until != Until::Latest) {
        refuse("until", ends);
    }
    if spec.max_rate.is_some() {
        let cure = if generated { "give it rate=N" } else { "only Kafka sources have a rate" };
        refuse("max-rate", cure);
    }
    if spec.discovery_interval.is_some() {
        refuse("discovery-interval", "there are no partitions to discover");
    }
}

fn topics(at: &str, kafka: &KafkaSourceSpec, found: &mut Found) -> Option<Topics> {
    let kinds =
        [("topic", kafka.topic.is_some()), ("topics", kafka.topics.is_some()), ("pattern", kafka.pattern.is_some())];
    found.keep(exactly_one(&format!("{at}.kafka"), &kinds))?;
    if let Some(pattern) = &kafka.pattern {
        let wrong = |error| Error::invalid(format!("{at}.kafka.pattern"), format!("not a regular expression: {error}"));
        found.keep(regex::Regex::new(pattern).map_err(wrong))?;
        return Some(Topics::Pattern(pattern.clone()));
    }
    let (at, names) = match (&kafka.topic, &kafka.topics) {
        (Some(one), _) => (format!("{at}.kafka.topic"), vec![one.clone()]),
        (None, several) => (format!("{at}.kafka.topics"), several.clone().unwrap_or_default()),
    };
    let before = found.count();
    if names.is_empty() {
        found.add(Error::missing(&at, "name at least one topic"));
    }
    for (index, name) in names.iter().enumerate() {
        found.keep(topic_name(name, name).map_err(|error| Error::invalid(&at, error.to_string())));
        if names.iter().take(index).any(|other| other == name) {
            found.add(Error::invalid(&at, format!("{name:?} is named twice")));
        }
    }
    (found.count() == before).then_some(Topics::Named(names))
}

fn generate_plan(at: &str, spec: &GenerateSpec, found: &mut Found) -> Option<GeneratePlan> {
    let at = format!("{at}.generate");
    let before = found.count();
    let named = Generator::ALL.into_iter().find(|(name, _)| *name == spec.name);
    if named.is_none() {
        let close = closest(&spec.name, Generator::ALL.map(|(name, _)| name));
        let known = Generator::ALL.map(|(name, _)| name).join(", ");
        let cure = close.map_or_else(|| format!("known are {known}"), |close| format!("did you mean {close:?}?"));
        found.add(Error::invalid(&at, format!("no generator is named {:?}; {cure}", spec.name)));
    }
    if spec.bytes.is_some_and(|bytes| bytes > GENERATED_BYTES_MAX) {
        found.add(Error::invalid(&at, GENERATED_BYTES_TOO_MANY));
    }
    if spec.count.is_some_and(|count| i64::try_from(count).is_err()) {
        found.add(Error::invalid(&at, "count is at most 9223372036854775807, the last offset there is"));
    }
    let default = NonZeroU64::new(GENERATOR_KEYS).expect("the default is not zero");
    let (_, generator) = named.filter(|_| found.count() == before)?;
    let keys = spec.keys.unwrap_or(default);
    Some(GeneratePlan { generator, rate: spec.rate, keys, count: spec.count, bytes: spec.bytes })
}
