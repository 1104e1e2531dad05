//! `generate:NAME`: made-up records.

use std::num::NonZeroU64;
use std::sync::Arc;

use serde::Deserialize;
use weir_connector::{
    Abilities, Address, Connector, Error, Fixed, Found, JobFacts, Kind, Nodes, Part, PlannedSource, Range, Scheme,
    Settings, closest, table,
};
use weir_core::PortError;
use weir_core::ports::SourceConnector;

use super::{GenerateOptions, Generator, GeneratorSource};

/// The row of the registry.
pub(crate) static CONNECTOR: Connector = Connector {
    title: "generators",
    scheme: Scheme::Named("generate"),
    source: Ok(Kind {
        key: "generate",
        usage: "generate:NAME?rate=N&keys=N&count=N&bytes=N",
        address,
        table: table::<GenerateSpec>,
    }),
    sink: Err("a generator is a source; nothing can be written to it"),
    shared: None,
    transactional: false,
    plan,
};

const KEYS: u64 = 1000;
/// As much as a line may have.
const BYTES_MAX: u32 = 64 << 20;
/// What no record can hold is refused as what it is, whatever a number of the machine can hold.
const BYTES_TOO_MANY: &str = "bytes is at most 67108864 (64 MiB)";

/// Made-up records: the record at an offset is always the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct GenerateSpec {
    /// What is generated: `sequence`, `clicks` or `nexmark`; empty is a mistake.
    #[serde(default)]
    name: String,
    /// Records per second. Default: unlimited.
    rate: Option<NonZeroU64>,
    /// How many distinct keys. Default: 1000. Those of nexmark are as they are.
    keys: Option<NonZeroU64>,
    /// How many records in all. Default: endless.
    count: Option<u64>,
    /// Least size of a value in bytes. Default: as it comes (sequence), 300 (clicks). Those of nexmark are as they are.
    bytes: Option<u32>,
}

impl Settings for GenerateSpec {}

fn address(Address { rest, .. }: Address<'_>) -> Result<Arc<dyn Settings>, String> {
    let (name, settings) = rest.split_once('?').unwrap_or((rest, ""));
    let mut spec = GenerateSpec { name: name.to_owned(), ..GenerateSpec::default() };
    for setting in settings.split('&').filter(|s| !s.is_empty()) {
        spec.set(setting)?;
    }
    Ok(Arc::new(spec))
}

impl GenerateSpec {
    /// Takes `KEY=VALUE`.
    fn set(&mut self, setting: &str) -> Result<(), String> {
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        let number = |least: u64| match value.parse::<u64>() {
            Ok(number) if number >= least => Ok(number),
            _ => Err(format!("{key} needs a whole number from {least}, as in {key}=1000")),
        };
        match key {
            "rate" => self.rate = NonZeroU64::new(number(1)?),
            "keys" => self.keys = NonZeroU64::new(number(1)?),
            "count" => self.count = Some(number(0)?),
            "bytes" => self.bytes = Some(u32::try_from(number(0)?).map_err(|_| BYTES_TOO_MANY)?),
            _ => {
                let close = closest(key, ["rate", "keys", "count", "bytes"]);
                let close = close.map(|c| format!("; did you mean {c}?")).unwrap_or_default();
                return Err(format!("a generator has rate, keys, count and bytes, not {key:?}{close}"));
            }
        }
        Ok(())
    }

    fn options(&self, at: &str, found: &mut Found) -> Option<GenerateOptions> {
        let at = format!("{at}.generate");
        let before = found.count();
        let named = Generator::ALL.into_iter().find(|(name, _)| *name == self.name);
        if named.is_none() {
            let known = Generator::ALL.map(|(name, _)| name);
            let cure = match closest(&self.name, known) {
                Some(close) => format!("did you mean {close:?}?"),
                None => format!("known are {}", known.join(", ")),
            };
            found.add(Error::invalid(format!("{at}.name"), format!("no generator is named {:?}; {cure}", self.name)));
        }
        if self.bytes.is_some_and(|bytes| bytes > BYTES_MAX) {
            found.add(Error::invalid(format!("{at}.bytes"), BYTES_TOO_MANY));
        }
        if self.count.is_some_and(|count| i64::try_from(count).is_err()) {
            found.add(Error::invalid(
                format!("{at}.count"),
                "count is at most 9223372036854775807, the last offset there is",
            ));
        }
        let is_given = named.is_some_and(|(_, generator)| generator.is_given());
        for (key, is_set) in [("keys", self.keys.is_some()), ("bytes", self.bytes.is_some())] {
            if is_given && is_set {
                found.add(Error::invalid(
                    format!("{at}.{key}"),
                    format!("{} has rate and count, and no {key}", self.name),
                ));
            }
        }
        let (_, generator) = named.filter(|_| found.count() == before)?;
        let default = NonZeroU64::new(KEYS).expect("the default is not zero");
        let keys = self.keys.unwrap_or(default);
        Some(GenerateOptions { generator, rate: self.rate, keys, count: self.count, bytes: self.bytes })
    }
}

fn plan(nodes: &Nodes<'_>, found: &mut Found) -> Part {
    let source = |at: &str, spec: &GenerateSpec, found: &mut Found| -> Option<Arc<dyn PlannedSource>> {
        Some(Arc::new(spec.options(at, found)?))
    };
    Part { sources: nodes.plan_sources(found, source), ..Part::default() }
}

impl PlannedSource for GenerateOptions {
    fn noun(&self) -> &'static str {
        "a generator"
    }

    fn words(&self) -> String {
        format!("generate {}", self.generator.name())
    }

    fn name(&self) -> String {
        self.generator.name().to_owned()
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            replays: true,
            ends: self.count.is_some(),
            commits_positions: false,
            splits: false,
            times: self.generator.is_given(),
            headers: false,
            no_offsets: None,
            fixed: Some(Fixed { ends: "give it count=N", ends_at_latest: false, pace: "give it rate=N" }),
        }
    }

    fn open(&self, _job: &JobFacts, _range: &Range) -> Result<Arc<dyn SourceConnector>, PortError> {
        Ok(Arc::new(GeneratorSource::new(*self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_numbers() {
        let address = |rest| address(Address { rest, is_named: true });
        let wanted = GenerateSpec {
            name: "clicks".into(),
            rate: NonZeroU64::new(10),
            count: Some(5),
            ..GenerateSpec::default()
        };
        assert_eq!(address("clicks?rate=10&count=5").unwrap().of(), Some(&wanted));
        for (text, wanted) in [
            ("clicks?rat=1", "did you mean rate?"),
            ("clicks?rate=0", "rate needs a whole number from 1"),
            ("clicks?bytes=5000000000", "at most 67108864"),
        ] {
            let error = address(text).unwrap_err();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }
}
