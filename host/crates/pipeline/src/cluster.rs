//! The one Kafka cluster of a job: what its sources and sinks say about brokers and properties must agree.
//!
//! How to get in (TLS, SASL) belongs to the cluster, wherever it is said: also what fences, commits and looks at topics
//! has to. Everything else belongs to the node that says it.

use std::collections::{BTreeMap, BTreeSet};

use weir_connector::{Error, Found};
use weir_core::Secret;

use crate::plan::KafkaPlan;
use crate::spec::{KafkaSpec, Properties};

type Map = BTreeMap<String, Secret>;

/// True for a property that says how to get into the cluster.
fn is_entry(key: &str) -> bool {
    ["security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https."].iter().any(|prefix| key.starts_with(prefix))
}

/// What has been said so far, and where first.
pub(crate) struct Clusters<'a> {
    defaults: &'a KafkaSpec,
    brokers: Option<(String, String)>,
    sink: Option<(String, Map)>,
    /// How to get in: each property, and where it is said.
    entry: BTreeMap<String, (String, Secret)>,
}

impl<'a> Clusters<'a> {
    pub(crate) fn new(defaults: &'a KafkaSpec, found: &mut Found) -> Self {
        if let Some(brokers) = &defaults.brokers {
            check_addresses("kafka.brokers", brokers, found);
        }
        let entry = defaults.properties.0.iter().filter(|(key, _)| is_entry(key));
        let entry =
            entry.map(|(key, value)| (key.clone(), (format!("kafka.properties.{key}"), value.clone()))).collect();
        Self { defaults, brokers: None, sink: None, entry }
    }

    /// A node at `at` uses Kafka: notes what it says otherwise than the others; its properties, defaults included.
    pub(crate) fn join(&mut self, at: &str, brokers: Option<&str>, properties: &Properties, found: &mut Found) -> Map {
        match (brokers, &self.defaults.brokers) {
            (Some(brokers), _) => {
                let at = format!("{at}.kafka.brokers");
                check_addresses(&at, brokers, found);
                self.agree_on_brokers(&at, brokers, found);
            }
            (None, Some(brokers)) => self.agree_on_brokers("kafka.brokers", brokers, found),
            (None, None) => {
                let cure = "give --brokers HOST:PORT, or brokers = \"HOST:PORT\" under [kafka]";
                found.add(Error::missing(format!("{at}: the address of the Kafka brokers"), cure));
            }
        }
        for (key, value) in properties.0.iter().filter(|(key, _)| is_entry(key)) {
            let at = format!("{at}.kafka.properties.{key}");
            let (first, known) = self.entry.entry(key.clone()).or_insert_with(|| (at.clone(), value.clone()));
            if known != value {
                let reason = "a job gets into its Kafka cluster in one way; write it under [kafka]";
                found.add(Error::conflict(at, first.as_str(), reason));
            }
        }
        let mut all = self.defaults.properties.0.clone();
        all.extend(properties.0.clone());
        all
    }

    fn agree_on_brokers(&mut self, at: &str, brokers: &str, found: &mut Found) {
        let (first, known) = self.brokers.get_or_insert_with(|| (at.to_owned(), brokers.to_owned()));
        // What is no address may be a password, and was noted.
        let are_addresses = [known.as_str(), brokers].iter().all(|brokers| addresses(brokers).all(is_address));
        if are_addresses && addresses(known).collect::<BTreeSet<_>>() != addresses(brokers).collect::<BTreeSet<_>>() {
            let (one, other) = (format!("{at} = {brokers}"), format!("{first} = {known}"));
            let reason = "a job has one Kafka cluster, where its output and its offsets share a transaction";
            found.add(Error::conflict(one, other, reason));
        }
    }

    /// Adds to the properties of a node how to get in, wherever that was said. To be asked after the last node joined.
    pub(crate) fn complete(&self, properties: &mut Map) {
        properties.extend(self.entry.iter().map(|(key, (_, value))| (key.clone(), value.clone())));
    }

    /// [`Clusters::join`] for a sink.
    pub(crate) fn join_sink(&mut self, at: &str, brokers: Option<&str>, properties: &Properties, found: &mut Found) {
        let mut properties = self.join(at, brokers, properties, found);
        properties.retain(|key, _| !is_entry(key));
        let (first, known) = self.sink.get_or_insert_with(|| (at.to_owned(), properties.clone()));
        if *known != properties {
            let reason = "all Kafka sinks of a job share one producer; write its properties under [kafka]";
            found.add(Error::conflict(format!("{at}.kafka.properties"), format!("{first}.kafka.properties"), reason));
        }
    }

    /// The cluster, if any node uses one.
    pub(crate) fn finish(self) -> Result<Option<KafkaPlan>, Error> {
        let mut properties = match &self.sink {
            Some((_, properties)) => properties.clone(),
            None => self.defaults.properties.0.clone(),
        };
        self.complete(&mut properties);
        match (self.brokers, &self.defaults.brokers) {
            (Some((_, brokers)), _) => Ok(Some(KafkaPlan { brokers, properties })),
            (None, None) => Ok(None),
            // A job that was meant for Kafka must not quietly run without it.
            (None, Some(_)) => {
                let reason = "neither source nor sink is a Kafka topic; name a topic, or leave the brokers out";
                Err(Error::conflict("kafka.brokers", "source and sinks", reason))
            }
        }
    }
}

/// The addresses in `HOST:PORT,..`.
fn addresses(brokers: &str) -> impl Iterator<Item = &str> {
    brokers.split(',').map(str::trim).filter(|address| !address.is_empty())
}

fn is_address(address: &str) -> bool {
    let port = address.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
    let is_port = |port: &str| port.parse().is_ok_and(|port: u16| port != 0);
    port.is_some_and(is_port) && !address.contains(['/', '@']) && !address.contains(char::is_whitespace)
}

fn check_addresses(at: &str, brokers: &str, found: &mut Found) {
    if addresses(brokers).next().is_none() {
        found.add(Error::missing(at, "write HOST:PORT,.."));
    }
    for address in addresses(brokers).filter(|address| !is_address(address)) {
        let reason = match address.contains('@') {
            // What stands before the @ may be a password.
            true => "an address is HOST:PORT and has no user or password; those are sasl.username and sasl.password"
                .to_owned(),
            false => format!("{address:?} is not HOST:PORT, as in localhost:9092"),
        };
        found.add(Error::invalid(at, reason));
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{Plan, SourceKind};
    use crate::{Mistakes, read, validate};

    fn plan(kafka: &str, source: &str, sink: &str) -> Result<Plan, Mistakes> {
        let text = format!(
            "version = 1\njob = 'a'\n[kafka]\nbrokers = 'b:1'\n{kafka}\n[sources.s]\nkafka = {{ topic = 't', properties = {{ {source} }} }}\n\
             [operators.o]\nplugin = 'o.wasm'\ninputs = ['s']\n[sinks.k]\ninputs = ['o']\n{sink}"
        );
        validate(&read(&text)?)
    }

    fn of_source(plan: &Plan) -> Vec<&str> {
        match &plan.sources[0].kind {
            SourceKind::Kafka { properties, .. } => properties.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn the_way_into_the_cluster_is_everybodys_wherever_it_is_said() {
        let login = "sasl.password = 'hunter2', fetch.wait.max.ms = 7";
        let login_of_sink = "kafka = { topic = 'u', properties = { sasl.password = 'hunter2', linger.ms = 1 } }";
        for (source, sink, of_cluster, wanted) in [
            (login, "stdout = {}", &["sasl.password"][..], &["fetch.wait.max.ms", "sasl.password"][..]),
            ("", login_of_sink, &["linger.ms", "sasl.password"], &["sasl.password"]),
        ] {
            let plan = plan("", source, sink).unwrap();
            let kafka = plan.kafka.as_ref().unwrap();
            assert_eq!(kafka.properties.keys().collect::<Vec<_>>(), of_cluster);
            assert_eq!(of_source(&plan), wanted);
            assert!(!format!("{plan:?}").contains("hunter2"));
        }
    }

    #[test]
    fn two_ways_into_one_cluster_are_refused_without_telling_them() {
        let login = "sasl.password = 'hunter2'";
        for (kafka, sink) in [
            ("properties.sasl.password = 'hunter3'", "stdout = {}"),
            ("", "kafka = { topic = 'u', properties = { sasl.password = 'hunter3' } }"),
        ] {
            let error = plan(kafka, login, sink).unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains("sasl.password") && said.contains("sources.s"), "{said}");
            assert!(!said.contains("hunter"), "{said}");
        }
    }

    #[test]
    fn every_node_is_told_what_it_says_otherwise() {
        let sink = "kafka = { topic = 'u', brokers = 'c:0,d', properties = { sasl.password = 'x', sasl.username = 'y' } }\n\
                    [sinks.l]\ninputs = ['o']\nkafka = { topic = 'v', brokers = 'c:1', properties = { linger.ms = 1 } }";
        let login = "properties.sasl.password = 'z'\nproperties.sasl.username = 'z'";
        let said = plan(login, "sasl.username = 'w'", sink).unwrap_err().to_string();
        let in_one_way = "a job gets into its Kafka cluster in one way; write it under [kafka]";
        let property = |line: u32, at: &str, key: &str| {
            format!(
                "line {line}: {at}.kafka.properties.sasl.{key} conflicts with kafka.properties.sasl.{key}: {in_one_way}"
            )
        };
        let wanted = [
            "7 mistakes".to_owned(),
            property(8, "sources.s", "username"),
            "line 14: sinks.k.kafka.brokers: \"c:0\" is not HOST:PORT, as in localhost:9092".to_owned(),
            "line 14: sinks.k.kafka.brokers: \"d\" is not HOST:PORT, as in localhost:9092".to_owned(),
            property(14, "sinks.k", "password"),
            property(14, "sinks.k", "username"),
            "line 17: sinks.l.kafka.brokers = c:1 conflicts with kafka.brokers = b:1: a job has one Kafka cluster, where its \
             output and its offsets share a transaction"
                .to_owned(),
            "line 17: sinks.l.kafka.properties conflicts with sinks.k.kafka.properties: all Kafka sinks of a job share one \
             producer; write its properties under [kafka]"
                .to_owned(),
        ];
        assert_eq!(said.lines().collect::<Vec<_>>(), wanted);
    }
}
