//! The one Kafka cluster of a job: what its sources and sinks say about brokers and properties must agree.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::plan::KafkaPlan;
use crate::spec::{KafkaSpec, Properties};

type Map = BTreeMap<String, String>;

/// What has been said so far, and where first.
pub(crate) struct Clusters<'a> {
    defaults: &'a KafkaSpec,
    brokers: Option<(String, String)>,
    sink: Option<(String, Map)>,
}

impl<'a> Clusters<'a> {
    pub(crate) fn new(defaults: &'a KafkaSpec) -> Self {
        Self { defaults, brokers: None, sink: None }
    }

    /// A node at `at` uses Kafka: checks its brokers, returns its properties, defaults included.
    pub(crate) fn join(&mut self, at: &str, brokers: Option<&str>, properties: &Properties) -> Result<Map, Error> {
        let brokers = brokers.or(self.defaults.brokers.as_deref());
        let cure = "give --brokers HOST:PORT, or brokers = \"HOST:PORT\" under [kafka]";
        let brokers = brokers.ok_or_else(|| Error::missing(format!("{at}: the address of the Kafka brokers"), cure))?;
        let given = addresses(brokers)?;
        let (first, known) = self.brokers.get_or_insert_with(|| (at.to_owned(), brokers.to_owned()));
        if addresses(known)? != given {
            let (one, other) = (format!("{at}: brokers {brokers}"), format!("{first}: brokers {known}"));
            let reason = "a job has one Kafka cluster, where its output and its offsets share a transaction";
            return Err(Error::conflict(one, other, reason));
        }
        let mut all = self.defaults.properties.0.clone();
        all.extend(properties.0.clone());
        Ok(all)
    }

    /// [`Clusters::join`] for a sink.
    pub(crate) fn join_sink(&mut self, at: &str, brokers: Option<&str>, properties: &Properties) -> Result<(), Error> {
        let properties = self.join(at, brokers, properties)?;
        let (first, known) = self.sink.get_or_insert_with(|| (at.to_owned(), properties.clone()));
        if *known != properties {
            let reason = "all Kafka sinks of a job share one producer; write its properties under [kafka]";
            return Err(Error::conflict(format!("{at}: properties"), format!("{first}: properties"), reason));
        }
        Ok(())
    }

    /// The cluster, if any node uses one.
    pub(crate) fn finish(self) -> Result<Option<KafkaPlan>, Error> {
        let properties = self.sink.map_or_else(|| self.defaults.properties.0.clone(), |(_, properties)| properties);
        match (self.brokers, &self.defaults.brokers) {
            (Some((_, brokers)), _) => Ok(Some(KafkaPlan { brokers, properties })),
            (None, None) => Ok(None),
            // A job that was meant for Kafka must not quietly run without it.
            (None, Some(brokers)) => {
                let reason = "neither source nor sink is a Kafka topic; name a topic, or leave the brokers out";
                Err(Error::conflict(format!("brokers {brokers}"), "source and sinks", reason))
            }
        }
    }
}

/// The addresses in `HOST:PORT,..`, whatever their order.
fn addresses(brokers: &str) -> Result<BTreeSet<&str>, Error> {
    let addresses: BTreeSet<&str> = brokers.split(',').map(str::trim).filter(|a| !a.is_empty()).collect();
    let wrong = addresses.iter().find(|address| {
        let port = address.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
        port.is_none_or(|port| port.parse::<u16>().is_err())
    });
    match wrong {
        Some(address) => Err(Error::invalid("brokers", format!("{address:?} is not HOST:PORT, as in localhost:9092"))),
        None if addresses.is_empty() => Err(Error::missing("brokers", "write HOST:PORT,..")),
        None => Ok(addresses),
    }
}
