//! `-`: lines of standard input and to standard output.

use std::sync::Arc;

use weir_connector::{
    Abilities, Address, Connector, Error, Fixed, Found, JobFacts, Kind, Nodes, Part, Place, PlannedSink, PlannedSource,
    Range, Scheme, Settings, table,
};
use weir_core::ports::{Sink, SourceConnector};
use weir_core::{KeySpec, PortError};

use super::StdinSource;
use crate::format::{LineFormat, LinesSpec};
use crate::sink::LocalSink;

/// The row of the registry.
pub(crate) static CONNECTOR: Connector = Connector {
    title: "the standard streams",
    scheme: Scheme::Dash,
    source: Ok(Kind { key: "stdin", usage: "- (stdin)", address, table: table::<LinesSpec> }),
    sink: Ok(Kind { key: "stdout", usage: "- (stdout)", address, table: table::<LinesSpec> }),
    shared: None,
    transactional: false,
    plan,
};

fn address(address: Address<'_>) -> Result<Arc<dyn Settings>, String> {
    Ok(Arc::new(LinesSpec::parse(address.rest)?))
}

fn plan(nodes: &Nodes<'_>, found: &mut Found) -> Part {
    let sides = [(&nodes.sources, "there is one standard input"), (&nodes.sinks, "they would mix their lines")];
    for (nodes, reason) in sides {
        let Some((first, others)) = nodes.split_first() else { continue };
        others.iter().for_each(|other| found.add(Error::conflict(&other.at, &first.at, reason)));
    }
    Part {
        sources: nodes.plan_sources(found, |at, spec: &LinesSpec, found| {
            Some(Arc::new(Stdin(found.keep(spec.plan(&format!("{at}.stdin")))?)))
        }),
        sinks: nodes.plan_sinks(found, |at, spec: &LinesSpec, found| {
            Some(Arc::new(Stdout(found.keep(spec.plan(&format!("{at}.stdout")))?)))
        }),
        cluster: None,
    }
}

#[derive(Debug)]
struct Stdin(LineFormat);

impl PlannedSource for Stdin {
    fn noun(&self) -> &'static str {
        "stdin"
    }

    fn words(&self) -> String {
        "stdin".to_owned()
    }

    fn name(&self) -> String {
        "stdin".to_owned()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.0.details()
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            replays: false,
            ends: true,
            commits_positions: false,
            splits: false,
            times: self.0.is_whole(),
            headers: self.0.is_whole(),
            no_offsets: None,
            fixed: Some(Fixed { ends: "it is read to its end", ends_at_latest: true, pace: Fixed::NO_PACE }),
        }
    }

    fn lacks(&self, key: &KeySpec) -> Option<&'static str> {
        self.0.lacks(key)
    }

    fn place(&self) -> Option<Place<'_>> {
        Some(Place::Stdin)
    }

    fn open(&self, _job: &JobFacts, _range: &Range) -> Result<Arc<dyn SourceConnector>, PortError> {
        Ok(Arc::new(StdinSource::new(self.0.clone())))
    }
}

#[derive(Debug)]
struct Stdout(LineFormat);

impl PlannedSink for Stdout {
    fn words(&self) -> String {
        "stdout".to_owned()
    }

    fn name(&self) -> String {
        "stdout".to_owned()
    }

    fn target(&self) -> String {
        "-".to_owned()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.0.details()
    }

    fn place(&self) -> Option<Place<'_>> {
        Some(Place::Stdout)
    }

    fn open(&self) -> Result<Option<Box<dyn Sink>>, PortError> {
        LocalSink::Stdout(self.0.clone()).open().map(Some)
    }
}
