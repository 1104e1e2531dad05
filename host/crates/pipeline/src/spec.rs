//! What a user may write, key by key. The doc comments are the manual; `host/docs/reference.md` has the same keys, and
//! a test compares them.
//!
//! A key that a flag may say over the file is marked `arg(long)`: name, type and help of the flag are then the key's own. The flag's
//! id is the path of the key below its node (or a field's name, with `_` for `-`), and by it mistakes are told; see
//! [`crate::overrides`].

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::{Deserialize, Deserializer};
use weir_connector::{Found, Settings, Written, closest};
use weir_core::{Delivery, KeySpec, Start, Until};
use weir_time::WindowSpec;
use weir_time::window::spec::words;

use crate::event_time::WatermarkSpec;
use crate::inputs::InputsSpec;
use crate::places::Places;
use crate::restart::RestartSpec;
use crate::token::TokenFile;
use crate::units::{Size, Span, optional_text};

/// A whole pipeline file.
#[derive(Debug, Clone, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Spec {
    /// Version of the file format: 1. `None` is a mistake, which was told.
    #[arg(skip)]
    pub version: Option<u32>,
    /// Name of the job, [a-z0-9._-]{1,64} [default: PLUGIN-FROM-TO]
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
    /// What the job promises [default: exactly-once where the source can be read again and either end is Kafka, else
    /// at-least-once]
    #[arg(long, value_name = "MODE", value_parser = delivery())]
    pub delivery: Option<Delivery>,
    /// Where the HTTP API listens, or off [default: 127.0.0.1:7070, or the next free port]
    #[arg(long, value_name = "HOST:PORT|off")]
    pub api: Option<String>,
    /// The file with the token that whoever changes the job by its API must know; the environment variable WEIR_API_TOKEN holds
    /// it otherwise [default: none, and on other addresses than this machine's own the API changes nothing]
    #[serde(default, deserialize_with = "optional_text")]
    #[arg(long, value_name = "@FILE")]
    pub api_token: Option<TokenFile>,
    /// Take the token also where it crosses the network in clear: the API has no TLS [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub api_plaintext: Option<bool>,
    /// What all nodes of a connector share, by the key of its table.
    #[serde(skip)]
    #[arg(skip)]
    pub shared: BTreeMap<&'static str, Arc<dyn Settings>>,
    /// Where records come from, by name.
    #[serde(skip)]
    #[arg(skip)]
    pub sources: BTreeMap<String, SourceSpec>,
    /// What happens to records, by name.
    #[serde(default)]
    #[arg(skip)]
    pub operators: BTreeMap<String, OperatorSpec>,
    /// Where records go, by name.
    #[serde(skip)]
    #[arg(skip)]
    pub sinks: BTreeMap<String, SinkSpec>,
    /// How the stream is cut into epochs.
    #[serde(default)]
    #[command(flatten)]
    pub epochs: EpochsSpec,
    /// Where state is kept.
    #[serde(default)]
    #[command(flatten)]
    pub state: StateSpec,
    /// When a failure that may pass is followed by another attempt: exponential, fixed, failure-rate, none; with settings,
    /// as in fixed:attempts=3,delay=1s or failure-rate:failures=5,within=1min [default: exponential]
    #[serde(default)]
    #[arg(long, value_name = "STRATEGY[:KEY=VALUE,..]", required = false)]
    pub restart: RestartSpec,
    /// Which line or flag says each key.
    #[serde(skip)]
    #[arg(skip)]
    pub places: Places,
    /// What is known to be wrong before the whole is looked at.
    #[serde(skip)]
    #[arg(skip)]
    pub(crate) found: Found,
}

/// One source: the table of exactly one connector, and how it is read.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SourceSpec {
    /// What is read: a table each. One is right.
    #[serde(skip)]
    #[arg(skip)]
    pub reads: Vec<Written>,
    /// Where the first start begins: earliest, latest, committed:GROUP, timestamp:TIME (RFC 3339 or ms),
    /// offsets:PARTITION=OFFSET,.. A job that has state goes on from there instead [default: earliest]
    #[serde(default, deserialize_with = "optional_text")]
    #[arg(long, value_name = "WHERE")]
    pub start: Option<Start>,
    /// Where reading ends: latest, timestamp:TIME, offsets:PARTITION=OFFSET,.. Then commit and exit 0 [default: never]
    #[serde(default, deserialize_with = "optional_text")]
    #[arg(long, value_name = "WHERE")]
    pub until: Option<Until>,
    /// Records per second per partition, at most [default: unlimited]
    #[arg(long, value_name = "N")]
    pub max_rate: Option<NonZeroU64>,
    /// How often new partitions and topics are looked for [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub discovery_interval: Option<Span>,
    /// Event time of the source: max-disorder=5s, idle-after=30s, max-drift=off, max-future=1h, on-future=keep|clamp|fail,
    /// timestamp=record|ingestion|processing|header:NAME|json:/POINTER|plugin:FILE.wasm, timestamp-unit=ms [default: none, unless an operator
    /// needs it]
    #[arg(long, value_name = "WORD=TEXT,..")]
    pub watermark: Option<WatermarkSpec>,
}

/// One operator: a plugin and how to run it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OperatorSpec {
    /// The plugin to run
    #[serde(default)]
    #[arg(long, value_name = "FILE.wasm", required = false, display_order = 0)]
    pub plugin: PathBuf,
    /// Names of what it reads: a source, an operator, or `operator.side-output`. A plugin with one input reads them all;
    /// one with several takes one for each, in its order, or a table: `inputs = { left = "a", right = ["b", "c"] }`.
    #[serde(default)]
    #[arg(skip)]
    pub inputs: InputsSpec,
    /// What state is keyed by: key, header:NAME [default: key]
    #[serde(default)]
    #[arg(long, value_name = "WHAT")]
    pub key: Option<Key>,
    /// How many tasks run the operator [default: 1]
    #[arg(long, value_name = "N")]
    pub parallelism: Option<NonZeroU16>,
    /// Anything the plugin reads.
    #[serde(default, deserialize_with = "json_object")]
    #[arg(skip)]
    pub config: Config,
    /// The windows of an aggregate: tumbling:10s, or calendar days, weeks and months of a zone, as in
    /// tumbling:1day@Europe/Berlin; with options, as in tumbling:10s,early-every=1s,allowed-lateness=5s [default: those that
    /// the plugin names]
    #[arg(long, value_name = "KIND:LENGTH[,WORD=TEXT..]")]
    pub window: Option<WindowTable>,
    /// How long what is written in a table stays: `{ TABLE = { event = "1h" } }`, or `processing`. Default: what its plugin
    /// says, for ever where that says nothing.
    #[serde(default)]
    #[arg(skip)]
    pub ttl: BTreeMap<String, TtlSpec>,
    /// What becomes of a record that the plugin fails on: fail, skip, or dead-letter:TOPIC, which keeps it with the reason in a
    /// topic of its own [default: fail]
    #[arg(long, value_name = "POLICY")]
    pub on_error: Option<OnErrorSpec>,
    /// Bounds of one call.
    #[serde(default)]
    #[command(flatten)]
    pub limits: LimitsSpec,
}

/// The configuration of a plugin, as it gets it.
pub type Config = serde_json::Map<String, serde_json::Value>;

/// The windows of an operator, as written: words and their texts, as `tumbling = "10s"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct WindowTable(pub BTreeMap<String, String>);

impl FromStr for WindowTable {
    type Err = String;

    /// The form of the flag.
    fn from_str(text: &str) -> Result<Self, String> {
        let table = words(text).map_err(|error| error.to_string())?;
        // What can be understood at all is told by what understands it.
        WindowSpec::from_table(&table).map_err(|error| error.to_string())?;
        Ok(Self(table))
    }
}

/// How long what is written in a table stays, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TtlSpec {
    /// By event time.
    Event(Span),
    /// By the clock on the wall.
    Processing(Span),
}

/// What an operator's state is keyed by, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(pub KeySpec);

/// What becomes of a record that a plugin fails on, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnErrorSpec {
    /// Stop the job.
    Fail,
    /// Drop and count it.
    Skip,
    /// Send it to this topic.
    DeadLetter(String),
}

/// Bounds of one call of a plugin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LimitsSpec {
    /// Memory of an instance of the plugin; each task has one [default: 64MiB]
    #[arg(id = "limits.memory", long = "memory-limit", value_name = "SIZE")]
    pub memory: Option<Size>,
    /// The longest that one call of the plugin may take [default: 1s]
    #[arg(id = "limits.call-deadline", long = "call-deadline", value_name = "TIME")]
    pub call_deadline: Option<Span>,
    /// How many timers may set each other, all due at once, before that is a storm [default: 100000]
    #[arg(id = "limits.timer-rounds", long = "timer-rounds", value_name = "N")]
    pub timer_rounds: Option<NonZeroU32>,
}

/// One sink: the table of exactly one connector, and what it takes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SinkSpec {
    /// Names of what it takes, one or several: a source, an operator, or `operator.side-output`.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// What is written: a table each. One is right.
    #[serde(skip)]
    pub writes: Vec<Written>,
}

/// How the stream is cut into epochs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EpochsSpec {
    /// Time between two commits; at most a third of --transaction-timeout [default: 100ms]
    #[arg(id = "epochs.interval", long = "epoch-interval", value_name = "TIME")]
    pub interval: Option<Span>,
    /// After how long the broker aborts a transaction [default: 15s]
    #[arg(id = "epochs.transaction-timeout", long = "transaction-timeout", value_name = "TIME")]
    pub transaction_timeout: Option<Span>,
}

/// Where state is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StateSpec {
    /// Where state is kept [default: .weir/JOB; temporary without Kafka, unless --job is given]
    #[arg(id = "state.dir", long = "state-dir", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Memory for caches and overlays [default: 128MiB]
    #[arg(id = "state.memory", long = "state-memory", value_name = "SIZE")]
    pub memory: Option<Size>,
}

fn delivery() -> impl TypedValueParser<Value = Delivery> {
    PossibleValuesParser::new(["exactly-once", "at-least-once", "none"]).map(|word| match word.as_str() {
        "exactly-once" => Delivery::ExactlyOnce,
        "at-least-once" => Delivery::AtLeastOnce,
        _ => Delivery::None,
    })
}

impl Spec {
    /// An empty description, for flags to fill.
    pub fn empty() -> Self {
        Self {
            version: Some(1),
            job: None,
            delivery: None,
            api: None,
            api_token: None,
            api_plaintext: None,
            shared: BTreeMap::new(),
            sources: BTreeMap::new(),
            operators: BTreeMap::new(),
            sinks: BTreeMap::new(),
            epochs: EpochsSpec::default(),
            state: StateSpec::default(),
            restart: RestartSpec::default(),
            places: Places::default(),
            found: Found::default(),
        }
    }

    /// Makes every relative path relative to `folder`: the one that the file lies in.
    pub fn rebase(&mut self, folder: &Path) {
        let plugins = self.operators.values_mut().map(|o| &mut o.plugin);
        let paths = plugins.chain(self.state.dir.as_mut()).filter(|path| !path.as_os_str().is_empty());
        paths.for_each(|path| *path = folder.join(&*path));
        self.api_token.iter_mut().for_each(|token| token.rebase(folder));
        let watermarks = self.sources.values_mut().filter_map(|source| source.watermark.as_mut());
        watermarks.for_each(|watermark| watermark.rebase(folder));
        for written in self.written() {
            if let Some(rebased) = written.settings.rebased(folder) {
                written.settings = rebased;
            }
        }
    }

    /// What is written for connectors, of all nodes.
    pub(crate) fn written(&mut self) -> impl Iterator<Item = &mut Written> {
        let sources = self.sources.values_mut().flat_map(|source| &mut source.reads);
        sources.chain(self.sinks.values_mut().flat_map(|sink| &mut sink.writes))
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::units::text(deserializer)
    }
}

impl FromStr for OnErrorSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "fail" => Ok(Self::Fail),
            None if text == "skip" => Ok(Self::Skip),
            Some(("dead-letter", topic)) if !topic.is_empty() => Ok(Self::DeadLetter(topic.to_owned())),
            _ if text == "dead-letter" => Err("it needs a topic, as in dead-letter:clicks-dlq".to_owned()),
            _ => {
                let word = text.split_once(':').map_or(text, |(word, _)| word);
                let close = closest(word, ["fail", "skip", "dead-letter:TOPIC"]);
                let close = close.map(|close| format!("; did you mean {close}?")).unwrap_or_default();
                Err(format!("{text:?} is none of fail, skip and dead-letter:TOPIC{close}"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for OnErrorSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;
        impl<'de> serde::de::Visitor<'de> for WordOrTable {
            type Value = OnErrorSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#""fail", "skip" or { dead-letter = "TOPIC" }"#)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OnErrorSpec, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<OnErrorSpec, A::Error> {
                #[derive(Deserialize)]
                #[serde(rename_all = "kebab-case", deny_unknown_fields)]
                struct Table {
                    dead_letter: String,
                }
                let table = Table::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(OnErrorSpec::DeadLetter(table.dead_letter))
            }
        }
        deserializer.deserialize_any(WordOrTable)
    }
}

fn json_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Config, D::Error> {
    let table = toml::Table::deserialize(deserializer)?;
    Ok(table.into_iter().map(|(key, value)| (key, json(value))).collect())
}

/// TOML as a plugin gets it; a date becomes text.
fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(list) => list.into_iter().map(json).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
    }
}
