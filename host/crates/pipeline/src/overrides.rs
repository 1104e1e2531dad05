//! Flags, laid over a file or standing alone. Both ways build the same [`Spec`], so nothing can be said in one of them
//! that means something else in the other. Most flags are keys of the file and are defined with them, in [`crate::spec`]: here
//! it is only found out which were given, of which node they speak, and that they are what counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use weir_connector::{Error, Found, Registry, Settings, Side, Written};

use crate::address::To;
use crate::event_time::WatermarkSpec;
use crate::inputs::InputsSpec;
use crate::places::Places;
use crate::spec::{Config, OperatorSpec, SinkSpec, SourceSpec, Spec};

/// The operator's name where flags stand alone.
const OPERATOR: &str = "operator";
/// What is read and written where no flag says it.
const ADDRESS: &str = "-";

/// What flags say; `None` (or empty) is a flag that was not given.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--from`
    pub from: Option<Written>,
    /// `--to`, once for each output
    pub to: Vec<To>,
    /// The flags of connectors, by the key of the table that they stand for
    pub shared: BTreeMap<&'static str, Arc<dyn Settings>>,
    /// `--config`
    pub config: Config,
    /// The flags that are keys of the file. Each says the whole of its key, of which nothing of the file's is kept.
    pub keys: Keys,
}

/// The flags that are keys of the file, as they were given.
#[derive(Debug, Clone)]
pub struct Keys(ArgMatches);

impl Args for Keys {
    fn augment_args(command: Command) -> Command {
        Spec::augment_args(OperatorSpec::augment_args(SourceSpec::augment_args(command)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Keys {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(matches.clone()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.clone_from(matches);
        Ok(())
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::parse(&[]).expect("no flag is needed")
    }
}

impl Keys {
    /// Reads flags alone: `["--job", "orders"]`.
    pub fn parse(words: &[&str]) -> Result<Self, clap::Error> {
        let command = Self::augment_args(Command::new("flags").no_binary_name(true));
        command.try_get_matches_from(words).map(Self)
    }

    /// The flags of `T` that were given: the key of each, and the flag.
    fn given<T: Args>(&self) -> Vec<Given> {
        let all = T::augment_args(Command::new("flags"));
        let is_given = |id: &str| self.0.value_source(id) == Some(ValueSource::CommandLine);
        let given = all.get_arguments().filter(|flag| is_given(flag.get_id().as_str())).filter_map(|flag| {
            let key = flag.get_id().as_str().replace('_', "-");
            Some(Given { key, flag: format!("--{}", flag.get_long()?) })
        });
        given.collect()
    }

    /// What was given is what counts in `spec`, and what says it.
    fn lay_over<T: Args>(&self, at: &str, spec: &mut T, places: &mut Places) {
        for Given { key, flag } in self.given::<T>() {
            let path = if at.is_empty() { key } else { format!("{at}.{key}") };
            places.replace(&path, &flag);
        }
        spec.update_from_arg_matches(&self.0).expect("a flag was read as what its key is");
    }
}

struct Given {
    key: String,
    flag: String,
}

impl Overrides {
    /// The description that flags make alone: one source, one operator, a sink for each output that is named.
    pub fn into_spec(mut self, registry: Registry) -> Result<Spec, Error> {
        if !self.keys.given::<OperatorSpec>().iter().any(|given| given.key == "plugin") {
            return Err(Error::missing("--plugin", "give --plugin FILE.wasm, or a pipeline file"));
        }
        // Its state is found again by this name, whatever the plugin's file is called.
        let [source, operator] = ["source", OPERATOR].map(str::to_owned);
        let mut spec = Spec::empty();
        let from = SourceSpec { reads: vec![registry.address(Side::Source, ADDRESS)?], ..SourceSpec::default() };
        spec.places.replace(&format!("sources.{source}"), "--from");
        spec.places.replace(&format!("operators.{operator}"), "--plugin");
        add_sinks(&mut spec, &operator, std::mem::take(&mut self.to), registry)?;
        let inputs = InputsSpec::one(source.clone());
        spec.operators.insert(operator, OperatorSpec { inputs, ..OperatorSpec::default() });
        spec.sources.insert(source, from);
        Ok(self.lay_over(spec, registry))
    }

    /// Lays the flags over `spec`. A flag that speaks of one source, operator or sink needs the file to have just one; what
    /// does not fit is told with whatever else is wrong.
    pub fn lay_over(self, mut spec: Spec, registry: Registry) -> Spec {
        let Spec { sources, operators, sinks, places, found, .. } = &mut spec;
        let flags = self.given::<SourceSpec>("--from", self.from.is_some());
        if let Some((name, source)) = only(sources, "source", &flags, found) {
            self.change_source(&format!("sources.{name}"), source, places);
        }
        check_outputs_once(&self.to, found);
        for to in &self.to {
            if let Some((name, sink)) = sink_of(sinks, to.output.as_deref(), found) {
                places.add(&format!("sinks.{name}"), &to.flag());
                places.replace(&format!("sinks.{name}.{}", to.address.key), &to.flag());
                sink.writes = vec![to.address.clone()];
            }
        }
        let flags = self.given::<OperatorSpec>("--config", !self.config.is_empty());
        if let Some((name, operator)) = only(operators, "operator", &flags, found) {
            self.change_operator(&format!("operators.{name}"), operator, places);
        }
        lay_over_shared(&mut spec, &self.shared, registry);
        let mut places = std::mem::take(&mut spec.places);
        self.keys.lay_over("", &mut spec, &mut places);
        spec.places = places;
        spec
    }

    /// The flags that speak of a `T` and were given, with one that is no key of it.
    fn given<T: Args>(&self, other: &str, is_given: bool) -> Vec<String> {
        let other = is_given.then(|| other.to_owned());
        other.into_iter().chain(self.keys.given::<T>().into_iter().map(|given| given.flag)).collect()
    }

    fn change_source(&self, at: &str, source: &mut SourceSpec, places: &mut Places) {
        if let Some(from) = self.from.clone() {
            places.add(at, "--from");
            places.replace(&format!("{at}.{}", from.key), "--from");
            source.reads = vec![from];
        }
        let before = source.watermark.take();
        self.keys.lay_over(at, source, places);
        // A mistake of one of its words is told by the word.
        let words = source.watermark.iter().flat_map(WatermarkSpec::words);
        words.for_each(|(word, _)| places.replace(&format!("{at}.watermark.{word}"), &format!("--watermark {word}")));
        source.watermark = source.watermark.take().or(before);
    }

    fn change_operator(&self, at: &str, operator: &mut OperatorSpec, places: &mut Places) {
        if !self.config.is_empty() {
            places.add(&format!("{at}.config"), "--config");
            operator.config.extend(self.config.clone());
        }
        self.keys.lay_over(at, operator, places);
    }
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
    let Some(output) = output else { return only(sinks, "sink", &["--to".to_owned()], found) };
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
    flags: &[String],
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
                found.add(Error::conflict(flag, "the pipeline file", reason));
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
