//! Flags, laid over a file or standing alone. Both ways build the same [`Spec`], so nothing can be said in one of them
//! that means something else in the other.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;
use std::sync::Arc;

use weir_connector::{Error, Found, Registry, Settings, Side, Written};
use weir_core::{Delivery, Start, Until};

use crate::address::To;
use crate::event_time::WatermarkSpec;
use crate::inputs::InputsSpec;
use crate::places::Places;
use crate::restart::RestartSpec;
use crate::spec::{Config, Key, OnErrorSpec, OperatorSpec, SinkSpec, SourceSpec, Spec, WindowTable};
use crate::units::{Size, Span};

/// The operator's name where flags stand alone.
const OPERATOR: &str = "operator";
/// What is read and written where no flag says it.
const ADDRESS: &str = "-";

/// What flags say; `None` (or empty) is a flag that was not given.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--plugin`
    pub plugin: Option<PathBuf>,
    /// `--from`
    pub from: Option<Written>,
    /// `--to`, once for each output
    pub to: Vec<To>,
    /// The flags of connectors, by the key of the table that they stand for
    pub shared: BTreeMap<&'static str, Arc<dyn Settings>>,
    /// `--job`
    pub job: Option<String>,
    /// `--delivery`
    pub delivery: Option<Delivery>,
    /// `--state-dir`
    pub state_dir: Option<PathBuf>,
    /// `--state-memory`
    pub state_memory: Option<Size>,
    /// `--epoch-interval`
    pub epoch_interval: Option<Span>,
    /// `--transaction-timeout`
    pub transaction_timeout: Option<Span>,
    /// `--start`
    pub start: Option<Start>,
    /// `--until`
    pub until: Option<Until>,
    /// `--key`
    pub key: Option<Key>,
    /// `--parallelism`
    pub parallelism: Option<NonZeroU16>,
    /// `--discovery-interval`
    pub discovery_interval: Option<Span>,
    /// `--max-rate`
    pub max_rate: Option<NonZeroU64>,
    /// `--watermark`: the whole of it; nothing of the file's is kept.
    pub watermark: Option<WatermarkSpec>,
    /// `--config`
    pub config: Config,
    /// `--window`
    pub window: Option<WindowTable>,
    /// `--on-error`
    pub on_error: Option<OnErrorSpec>,
    /// `--memory-limit`
    pub memory_limit: Option<Size>,
    /// `--call-deadline`
    pub call_deadline: Option<Span>,
    /// `--api`
    pub api: Option<String>,
    /// `--restart`: the whole strategy; nothing of the file's is kept.
    pub restart: Option<RestartSpec>,
}

impl Overrides {
    /// The description that flags make alone: one source, one operator, a sink for each output that is named.
    pub fn into_spec(mut self, registry: Registry) -> Result<Spec, Error> {
        let plugin = self.plugin.clone();
        let plugin = plugin.ok_or_else(|| Error::missing("--plugin", "give --plugin FILE.wasm, or a pipeline file"))?;
        // Its state is found again by this name, whatever the plugin's file is called.
        let [source, operator] = ["source", OPERATOR].map(str::to_owned);
        let mut spec = Spec::empty();
        let from = SourceSpec { reads: vec![registry.address(Side::Source, ADDRESS)?], ..SourceSpec::default() };
        spec.places.replace(&format!("sources.{source}"), "--from");
        spec.places.replace(&format!("operators.{operator}"), "--plugin");
        add_sinks(&mut spec, &operator, std::mem::take(&mut self.to), registry)?;
        spec.operators.insert(
            operator,
            OperatorSpec { plugin, inputs: InputsSpec::one(source.clone()), ..OperatorSpec::default() },
        );
        spec.sources.insert(source, from);
        Ok(self.lay_over(spec, registry))
    }

    /// Lays the flags over `spec`. A flag that speaks of one source, operator or sink needs the file to have just one; what
    /// does not fit is told with whatever else is wrong.
    pub fn lay_over(self, mut spec: Spec, registry: Registry) -> Spec {
        let Spec { sources, operators, sinks, places, found, .. } = &mut spec;
        if let Some((name, source)) = only(sources, "source", &self.source_flags(), found) {
            self.change_source(name, source, places);
        }
        check_outputs_once(&self.to, found);
        for to in &self.to {
            if let Some((name, sink)) = sink_of(sinks, to.output.as_deref(), found) {
                places.add(&format!("sinks.{name}"), &to.flag());
                places.replace(&format!("sinks.{name}.{}", to.address.key), &to.flag());
                sink.writes = vec![to.address.clone()];
            }
        }
        if let Some((name, operator)) = only(operators, "operator", &self.operator_flags(), found) {
            self.change_operator(name, operator, places);
        }
        lay_over_shared(&mut spec, &self.shared, registry);
        self.change_job(&mut spec);
        spec
    }

    /// The flags that speak of a source and were given.
    fn source_flags(&self) -> Vec<&'static str> {
        given(&[
            ("--from", self.from.is_some()),
            ("--start", self.start.is_some()),
            ("--until", self.until.is_some()),
            ("--max-rate", self.max_rate.is_some()),
            ("--discovery-interval", self.discovery_interval.is_some()),
            ("--watermark", self.watermark.is_some()),
        ])
    }

    /// The flags that speak of an operator and were given.
    fn operator_flags(&self) -> Vec<&'static str> {
        given(&[
            ("--plugin", self.plugin.is_some()),
            ("--key", self.key.is_some()),
            ("--parallelism", self.parallelism.is_some()),
            ("--config", !self.config.is_empty()),
            ("--window", self.window.is_some()),
            ("--on-error", self.on_error.is_some()),
            ("--memory-limit", self.memory_limit.is_some()),
            ("--call-deadline", self.call_deadline.is_some()),
        ])
    }

    fn change_source(&self, name: &str, source: &mut SourceSpec, places: &mut Places) {
        let at = format!("sources.{name}");
        if let Some(from) = self.from.clone() {
            places.add(&at, "--from");
            places.replace(&format!("{at}.{}", from.key), "--from");
            source.reads = vec![from];
        }
        let mut over = Over { at: &at, places };
        over.set(("start", "--start"), &mut source.start, self.start.clone());
        over.set(("until", "--until"), &mut source.until, self.until.clone());
        over.set(("max-rate", "--max-rate"), &mut source.max_rate, self.max_rate);
        let interval = ("discovery-interval", "--discovery-interval");
        over.set(interval, &mut source.discovery_interval, self.discovery_interval);
        over.set(("watermark", "--watermark"), &mut source.watermark, self.watermark.clone());
        let words = self.watermark.iter().flat_map(WatermarkSpec::words);
        words.for_each(|(word, _)| over.says(&format!("watermark.{word}"), &format!("--watermark {word}")));
    }

    fn change_operator(&self, name: &str, operator: &mut OperatorSpec, places: &mut Places) {
        let at = format!("operators.{name}");
        if !self.config.is_empty() {
            places.add(&format!("{at}.config"), "--config");
            operator.config.extend(self.config.clone());
        }
        let mut over = Over { at: &at, places };
        if let Some(plugin) = self.plugin.clone() {
            over.says("plugin", "--plugin");
            operator.plugin = plugin;
        }
        over.set(("key", "--key"), &mut operator.key, self.key.clone());
        over.set(("parallelism", "--parallelism"), &mut operator.parallelism, self.parallelism);
        over.set(("window", "--window"), &mut operator.window, self.window.clone());
        over.set(("on-error", "--on-error"), &mut operator.on_error, self.on_error.clone());
        over.set(("limits.memory", "--memory-limit"), &mut operator.limits.memory, self.memory_limit);
        over.set(("limits.call-deadline", "--call-deadline"), &mut operator.limits.call_deadline, self.call_deadline);
    }

    fn change_job(self, spec: &mut Spec) {
        let mut over = Over { at: "", places: &mut spec.places };
        over.set(("job", "--job"), &mut spec.job, self.job);
        over.set(("delivery", "--delivery"), &mut spec.delivery, self.delivery);
        over.set(("api", "--api"), &mut spec.api, self.api);
        over.set(("state.dir", "--state-dir"), &mut spec.state.dir, self.state_dir);
        over.set(("state.memory", "--state-memory"), &mut spec.state.memory, self.state_memory);
        over.set(("epochs.interval", "--epoch-interval"), &mut spec.epochs.interval, self.epoch_interval);
        let timeout = ("epochs.transaction-timeout", "--transaction-timeout");
        over.set(timeout, &mut spec.epochs.transaction_timeout, self.transaction_timeout);
        if let Some(restart) = self.restart {
            over.says("restart", "--restart");
            spec.restart = restart;
        }
    }
}

/// Flags over what is said at a place.
struct Over<'a> {
    /// Its path; empty is the whole description.
    at: &'a str,
    places: &'a mut Places,
}

impl Over<'_> {
    /// Where `given`, it is what counts from now on, and `flag` says it.
    fn set<T>(&mut self, (key, flag): (&str, &str), value: &mut Option<T>, given: Option<T>) {
        if given.is_some() {
            *value = given;
            self.says(key, flag);
        }
    }

    fn says(&mut self, key: &str, flag: &str) {
        match self.at {
            "" => self.places.replace(key, flag),
            at => self.places.replace(&format!("{at}.{key}"), flag),
        }
    }
}

fn given(flags: &[(&'static str, bool)]) -> Vec<&'static str> {
    flags.iter().filter(|(_, given)| *given).map(|(flag, _)| *flag).collect()
}

/// A sink for each of `to`. Where none is named the first output goes to stdout; a plain address comes first in the order
/// of the pipeline.
fn add_sinks(spec: &mut Spec, operator: &str, mut to: Vec<To>, registry: Registry) -> Result<(), Error> {
    check_outputs_once(&to, &mut spec.found);
    if to.is_empty() {
        to.push(To { output: None, address: registry.address(Side::Sink, ADDRESS)? });
    }
    for to in to {
        let flag = to.flag();
        let (name, input) = match to.output {
            None => ("sink".to_owned(), operator.to_owned()),
            // A name of an output may have any characters, that of a node may not.
            Some(output) => (format!("sink-{}", spec.sinks.len()), format!("{operator}.{output}")),
        };
        spec.places.replace(&format!("sinks.{name}"), &flag);
        spec.sinks.insert(name, SinkSpec { inputs: vec![input], writes: vec![to.address] });
    }
    Ok(())
}

fn check_outputs_once(to: &[To], found: &mut Found) {
    for (index, one) in to.iter().enumerate() {
        if to.iter().take(index).any(|other| other.output == one.output) {
            let reason = "flags write an output to one place; a file may have several sinks that read it";
            found.add(Error::conflict(one.flag(), format!("another {}", one.flag()), reason));
        }
    }
}

/// The one sink that a `--to` over a file means.
fn sink_of<'a>(
    sinks: &'a mut BTreeMap<String, SinkSpec>,
    output: Option<&str>,
    found: &mut Found,
) -> Option<(&'a str, &'a mut SinkSpec)> {
    let Some(output) = output else { return only(sinks, "sink", &["--to"], found) };
    let reads = |sink: &SinkSpec| matches!(sink.inputs.as_slice(), [one] if one.split_once('.').is_some_and(|(_, named)| named == output));
    let mut readers = sinks.iter_mut().filter(|(_, sink)| reads(sink));
    match (readers.next(), readers.next()) {
        (Some((name, sink)), None) => Some((name.as_str(), sink)),
        (reader, _) => {
            let count = if reader.is_some() { "several sinks read" } else { "no sink reads" };
            let reason = format!("{count} an output of that name there; describe the sink in the file");
            found.add(Error::conflict(format!("--to {output}=ADDR"), "the pipeline file", reason));
            None
        }
    }
}

/// The one node that `flags` can mean, if any of them was given.
fn only<'a, T>(
    nodes: &'a mut BTreeMap<String, T>,
    kind: &str,
    flags: &[&str],
    found: &mut Found,
) -> Option<(&'a str, &'a mut T)> {
    let count = nodes.len();
    let mut nodes = nodes.iter_mut();
    match (nodes.next(), nodes.next()) {
        (Some((name, node)), None) => (!flags.is_empty()).then_some((name.as_str(), node)),
        _ => {
            for flag in flags {
                let reason =
                    format!("the file has {count} {kind}s, so the flag does not say which; set it in the file");
                found.add(Error::conflict(*flag, "the pipeline file", reason));
            }
            None
        }
    }
}

impl To {
    /// The flag that says it.
    fn flag(&self) -> String {
        self.output.as_ref().map_or_else(|| "--to".to_owned(), |output| format!("--to {output}=ADDR"))
    }
}

/// The flags of each connector over its table and over its nodes, as it has it.
fn lay_over_shared(spec: &mut Spec, flags: &BTreeMap<&'static str, Arc<dyn Settings>>, registry: Registry) {
    for (connector, shared) in registry.shared() {
        let Some(flags) = flags.get(shared.key) else { continue };
        let mut table = spec.shared.remove(shared.key);
        let own = spec.written().filter(|written| std::ptr::eq(written.connector, connector));
        let said = (shared.lay_over)(&**flags, &mut table, own.map(|written| &mut written.settings).collect());
        said.iter().for_each(|(path, flag)| spec.places.replace(path, flag));
        spec.shared.extend(table.map(|table| (shared.key, table)));
    }
}

#[cfg(test)]
mod tests;
