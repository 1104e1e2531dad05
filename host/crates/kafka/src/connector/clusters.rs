//! What sources and sinks say of brokers and properties, which must agree: a job has one Kafka cluster.
//!
//! How to get in (TLS, SASL) belongs to the cluster, wherever it is said: also what fences, commits and looks at topics
//! has to. Everything else belongs to the node that says it.

use std::collections::{BTreeMap, BTreeSet};

use weir_connector::{Error, Found};
use weir_core::Secret;

use super::Map;
use super::spec::{ClusterSpec, Given};

/// True for a property that says how to get into the cluster.
fn is_entry(key: &str) -> bool {
    ["security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https."].iter().any(|prefix| key.starts_with(prefix))
}

/// What has been said so far, and where first.
pub(super) struct Clusters<'a> {
    defaults: &'a ClusterSpec,
    brokers: Option<(String, String)>,
    sink: Option<(String, Map)>,
    /// How to get in: each property, and where it is said.
    entry: BTreeMap<String, (String, Secret)>,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(defaults: &'a ClusterSpec, found: &mut Found) -> Self {
        if let Some(brokers) = &defaults.brokers {
            check_addresses("kafka.brokers", brokers, found);
        }
        defaults.properties.check(ClusterSpec::KEY, found);
        let entry = defaults.properties.named.iter().filter(|(key, _)| is_entry(key));
        let entry =
            entry.map(|(key, value)| (key.clone(), (format!("kafka.properties.{key}"), value.clone()))).collect();
        Self { defaults, brokers: None, sink: None, entry }
    }

    /// A node at `at` uses Kafka: notes what it says otherwise than the others; its properties, defaults included.
    pub(super) fn join(&mut self, at: &str, brokers: Option<&str>, properties: &Given, found: &mut Found) -> Map {
        properties.check(&format!("{at}.kafka"), found);
        match (brokers, &self.defaults.brokers) {
            (Some(brokers), _) => {
                let at = format!("{at}.kafka.brokers");
                check_addresses(&at, brokers, found);
                self.agree_on_brokers(&at, brokers, found);
            }
            (None, Some(brokers)) => self.agree_on_brokers("kafka.brokers", brokers, found),
            (None, None) if ["kafka.brokers", &format!("{at}.kafka.brokers")].iter().any(|at| found.is_wrong(at)) => {}
            (None, None) => {
                let cure = "give --brokers HOST:PORT, or brokers = \"HOST:PORT\" under [kafka]";
                found.add(Error::missing(format!("{at}: the address of the Kafka brokers"), cure));
            }
        }
        for (key, value) in properties.named.iter().filter(|(key, _)| is_entry(key)) {
            let at = format!("{at}.kafka.properties.{key}");
            let (first, known) = self.entry.entry(key.clone()).or_insert_with(|| (at.clone(), value.clone()));
            if known != value {
                let reason = "a job gets into its Kafka cluster in one way; write it under [kafka]";
                found.add(Error::conflict(at, first.as_str(), reason));
            }
        }
        let mut all = self.defaults.properties.named.clone();
        all.extend(properties.named.clone());
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
    pub(super) fn complete(&self, properties: &mut Map) {
        properties.extend(self.entry.iter().map(|(key, (_, value))| (key.clone(), value.clone())));
    }

    /// [`Clusters::join`] for a sink.
    pub(super) fn join_sink(&mut self, at: &str, brokers: Option<&str>, properties: &Given, found: &mut Found) {
        let mut properties = self.join(at, brokers, properties, found);
        properties.retain(|key, _| !is_entry(key));
        let (first, known) = self.sink.get_or_insert_with(|| (at.to_owned(), properties.clone()));
        if *known != properties {
            let reason = "all Kafka sinks of a job share one producer; write its properties under [kafka]";
            found.add(Error::conflict(format!("{at}.kafka.properties"), format!("{first}.kafka.properties"), reason));
        }
    }

    /// The cluster that they all mean: its brokers (none where nobody has named them, which was noted), and the properties of
    /// sinks and of everything that is not a source.
    pub(super) fn agreed(&self) -> (String, Map) {
        let brokers = self.brokers.as_ref().map(|(_, brokers)| brokers.clone());
        let properties = self.sink.as_ref().map_or(&self.defaults.properties.named, |(_, properties)| properties);
        let mut properties = properties.clone();
        self.complete(&mut properties);
        (brokers.unwrap_or_default(), properties)
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
