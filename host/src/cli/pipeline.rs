//! The flags that describe a pipeline, alone or over a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use weir_connector::{Settings, Side, Written};
use weir_core::{Fault, PortError};
use weir_kafka::connector::{ClusterSpec, Given};
use weir_pipeline::spec::Config;
use weir_pipeline::{Error, Keys, Overrides, Plan, Spec, To};

use super::kafka::{self, KafkaArg};
use crate::compose::operators::{self, LoadOperator};
use crate::connectors::CONNECTORS;
use crate::places;

/// What addresses of lines say besides.
const LINES: &str = "lines take ?format=value|key-value|json";

/// What is to run. A flag overrides the pipeline file.
#[derive(Debug, Default, clap::Args)]
pub(super) struct PipelineArgs {
    /// Pipeline file; paths in it are relative to its own folder
    #[arg(value_name = "PIPELINE.toml")]
    file: Option<PathBuf>,
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true, value_parser = from, help = from_help())]
    from: Option<Written>,
    #[arg(long, value_name = "[OUTPUT=]ADDR", allow_hyphen_values = true, value_parser = to, help = to_help())]
    to: Vec<To>,
    /// Kafka brokers
    #[arg(long, value_name = "HOST:PORT,..")]
    brokers: Option<String>,
    /// A librdkafka property: TLS, SASL, tuning; repeat it for more
    #[arg(long, value_name = "KEY=VALUE")]
    kafka: Vec<KafkaArg>,
    /// Create missing topics of sinks instead of refusing to start
    #[arg(long)]
    create_topics: bool,
    /// Configuration of the plugin: one value (JSON, or else text), or a file with a JSON object; repeat it for more
    #[arg(long, value_name = "KEY=VALUE|@FILE.json")]
    config: Vec<ConfigArg>,
    /// Those that are keys of the file are defined with them
    #[command(flatten)]
    keys: Keys,
}

#[derive(Debug, Clone)]
pub(super) enum ConfigArg {
    Value(String, serde_json::Value),
    File(PathBuf),
}

impl ConfigArg {
    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Value(..) => None,
            Self::File(path) => Some(path.clone()),
        }
    }
}

impl FromStr for ConfigArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix('@') {
            return Ok(Self::File(path.into()));
        }
        let (key, value) = key_value(text)?;
        // min-price=50 is a number, name=count a text, name='"50"' a text of digits.
        let value = serde_json::from_str(&value).unwrap_or_else(|_| value.into());
        Ok(Self::Value(key, value))
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it must be of the form KEY=VALUE".to_owned()),
    }
}

fn from_help() -> String {
    format!("Where records come from: {}; {LINES} [default: -]", CONNECTORS.usage(Side::Source))
}

fn to_help() -> String {
    let usage = CONNECTORS.usage(Side::Sink);
    format!("Where records go: {usage}; {LINES}. For a side output OUTPUT=ADDR; repeat it for more [default: -]")
}

fn from(text: &str) -> Result<Written, Error> {
    CONNECTORS.address(Side::Source, text)
}

fn to(text: &str) -> Result<To, Error> {
    To::parse(text, CONNECTORS)
}

impl PipelineArgs {
    /// The plan that file and flags make together; or all that is wrong with it, which its plugins are loaded for.
    pub(super) fn plan(self, loader: impl FnOnce() -> Result<Arc<dyn LoadOperator>>) -> Result<Plan> {
        let file = self.file.clone();
        if file.as_ref().is_some_and(|file| file.as_os_str().as_encoded_bytes().contains(&b'=') && !file.exists()) {
            // Not shown: it may be what a --kafka was forgotten before.
            let text =
                "an argument is neither a flag nor a pipeline file; each KEY=VALUE needs its own --kafka or --config";
            return Err(PortError::new(Fault::Config, text).into());
        }
        let configs = self.config.iter().filter_map(ConfigArg::path);
        let described_by: Vec<PathBuf> = file.iter().cloned().chain(configs).collect();
        let overrides = self.overrides()?;
        let spec = match &file {
            Some(path) => overrides.lay_over(read(path)?, CONNECTORS),
            None => overrides.into_spec(CONNECTORS)?,
        };
        let mut draft = weir_pipeline::draft(&spec, CONNECTORS);
        places::check(&draft.plan, &described_by, &mut draft.found);
        if draft.found.count() > 0
            && let Ok(loader) = loader()
        {
            operators::find_mistakes(&mut draft, loader.as_ref());
        }
        match file {
            Some(path) => draft.settle().with_context(|| format!("{} cannot run", path.display())),
            None => Ok(draft.settle()?),
        }
    }

    fn overrides(self) -> Result<Overrides> {
        let config = collect_config(self.config)?;
        let cluster = ClusterSpec {
            brokers: self.brokers,
            create_topics: self.create_topics.then_some(true),
            properties: Given::new(kafka::properties(self.kafka)?),
        };
        let shared = BTreeMap::from([(ClusterSpec::KEY, Arc::new(cluster) as Arc<dyn Settings>)]);
        Ok(Overrides { from: self.from, to: self.to, shared, config, keys: self.keys })
    }
}

fn read(path: &Path) -> Result<Spec> {
    let mut spec = weir_pipeline::read(&read_text(path)?, CONNECTORS)
        .with_context(|| format!("{} is not a valid pipeline file", path.display()))?;
    spec.rebase(path.parent().unwrap_or(Path::new("")));
    Ok(spec)
}

/// What all `--config` say together; the last word counts.
pub(super) fn collect_config(args: Vec<ConfigArg>) -> Result<Config> {
    let mut config = Config::new();
    for arg in args {
        match arg {
            ConfigArg::Value(key, value) => drop(config.insert(key, value)),
            ConfigArg::File(path) => config.extend(read_config(&path)?),
        }
    }
    Ok(config)
}

fn read_config(path: &Path) -> Result<Config> {
    let config = serde_json::from_str(&read_text(path)?).map_err(|error| PortError::new(Fault::Config, error));
    config.with_context(|| format!("{} does not hold a JSON object", path.display()))
}

fn read_text(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(|error| PortError::new(Fault::Config, error));
    text.with_context(|| match path.extension() {
        Some(extension) if extension == "wasm" => {
            let path = path.display();
            format!("{path} is not a pipeline file; a plugin is run with --plugin {path}")
        }
        _ => format!("failed to read {}", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_json_or_text() {
        for (text, wanted) in [
            ("a=50", serde_json::json!(50)),
            ("a=x", serde_json::json!("x")),
            ("a=", serde_json::json!("")),
            ("a=b=c", serde_json::json!("b=c")),
            ("a=\"50\"", serde_json::json!("50")),
            ("a=[1,true]", serde_json::json!([1, true])),
        ] {
            match text.parse() {
                Ok(ConfigArg::Value(key, value)) => assert_eq!((key.as_str(), value), ("a", wanted)),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!("a".parse::<ConfigArg>().is_err() && "=b".parse::<ConfigArg>().is_err());
        assert!(matches!("@x.json".parse(), Ok(ConfigArg::File(_))));
    }
}
