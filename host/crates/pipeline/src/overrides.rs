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
        spec.operators
            .insert(operator, OperatorSpec { inputs: InputsSpec::one(source.clone()), ..OperatorSpec::of(plugin) });
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

impl OperatorSpec {
    /// A plugin with every default.
    fn of(plugin: PathBuf) -> Self {
        Self {
            plugin,
            inputs: InputsSpec::default(),
            key: None,
            parallelism: None,
            config: Config::new(),
            window: None,
            on_error: None,
            limits: crate::spec::LimitsSpec::default(),
        }
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::{Plan, SinkPlan};
    use crate::samples::CONNECTORS;
    use crate::{Mistakes, read, validate};
    use weir_core::Secret;
    use weir_kafka::connector::{ClusterSpec, Given};

    fn plan(flags: Overrides) -> Result<Plan, Mistakes> {
        validate(&flags.into_spec(CONNECTORS)?, CONNECTORS)
    }

    /// The plan of a file under flags.
    fn plan_over(flags: Overrides, file: &str) -> Result<Plan, Mistakes> {
        validate(&flags.lay_over(read(file, CONNECTORS).unwrap(), CONNECTORS), CONNECTORS)
    }

    fn from(address: &str) -> Option<Written> {
        Some(CONNECTORS.address(Side::Source, address).unwrap())
    }

    fn brokers(addresses: &str) -> BTreeMap<&'static str, Arc<dyn Settings>> {
        let flags = ClusterSpec { brokers: Some(addresses.into()), ..ClusterSpec::default() };
        BTreeMap::from([(ClusterSpec::KEY, Arc::new(flags) as Arc<dyn Settings>)])
    }

    #[test]
    fn flags_alone_make_a_whole_pipeline() {
        let flags = Overrides { plugin: Some("target/plugins/count.wasm".into()), ..Overrides::default() };
        let plan = plan(flags).unwrap();
        assert_eq!(plan.job.as_str(), "count-stdin-stdout");
        assert_eq!(
            (plan.sources[0].reads.words().as_str(), plan.sinks[0].writes.words().as_str()),
            ("stdin", "stdout")
        );
        assert_eq!(plan.operators[0].name, "operator");
    }

    #[test]
    fn the_default_name_says_what_runs() {
        for (address, to_address, wanted) in [
            ("in", "out", "count-in-out"),
            ("kafka:/a.*/", "-", "count-a.--stdout-ed706251"),
            ("file:.//a", "out", "count-a-out"),
        ] {
            let flags = Overrides {
                plugin: Some("count.wasm".into()),
                from: from(address),
                to: to(&[to_address]),
                shared: brokers("b:1"),
                ..Overrides::default()
            };
            assert_eq!(plan(flags).unwrap().job.as_str(), wanted);
        }
    }

    #[test]
    fn a_name_does_not_hang_on_the_plugins_file() {
        let named = |file: &str| {
            let plan = plan(Overrides { plugin: Some(file.into()), ..Overrides::default() }).unwrap();
            (plan.operators[0].name.clone(), plan.job.to_string())
        };
        for file in ["count.wasm", "old/count-1.0.1.wasm", "count_v2.wasm", "source.wasm", "sink.wasm"] {
            assert_eq!(named(file).0, "operator", "{file}");
        }
        assert_eq!(named("count.wasm").1, named("old/count-1.0.1.wasm").1);
    }

    #[test]
    fn a_topic_needs_brokers_and_a_pipeline_a_plugin() {
        let flags = Overrides { plugin: Some("p.wasm".into()), from: from("in"), ..Overrides::default() };
        assert!(plan(flags).unwrap_err().to_string().contains("give --brokers HOST:PORT"));
        assert!(plan(Overrides::default()).unwrap_err().to_string().contains("--plugin is missing"));
        let flags = Overrides { plugin: Some("p.wasm".into()), shared: brokers("b:1"), ..Overrides::default() };
        assert!(plan(flags).unwrap_err().to_string().contains("neither source nor sink is a Kafka topic"));
    }

    #[test]
    fn a_flag_overrides_the_file() {
        let file = "version = 1\njob = 'a'\n[kafka]\nbrokers = 'a:1'\n[sources.s]\nkafka = { topic = 't', brokers = 'a:1', properties.client.id = 'file' }\n\
            until = 'latest'\n[operators.o]\nplugin = 'o.wasm'\ninputs = ['s']\nconfig = { x = 1, y = 2 }\n\
            limits = { memory = 4096, call-deadline = '5s' }\n\
            [sinks.k]\ninputs = ['o']\nstdout = {}";
        let mut config = Config::new();
        config.insert("y".into(), 3.into());
        let cluster = ClusterSpec {
            brokers: Some("b:1".into()),
            properties: Given::new([("client.id".to_owned(), Secret::new("of-the-flag"))]),
            ..ClusterSpec::default()
        };
        let flags = Overrides {
            job: Some("b".into()),
            shared: BTreeMap::from([(ClusterSpec::KEY, Arc::new(cluster) as Arc<dyn Settings>)]),
            max_rate: NonZeroU64::new(9),
            parallelism: NonZeroU16::new(4),
            memory_limit: Some(Size(1 << 30)),
            config,
            ..Overrides::default()
        };
        let plan = plan_over(flags, file).unwrap();
        assert_eq!((plan.job.as_str(), plan.cluster.unwrap().address()), ("b", "b:1"));
        assert_eq!(plan.operators[0].config, serde_json::json!({"x": 1, "y": 3}));
        assert_eq!(plan.operators[0].parallelism.get(), 4);
        assert_eq!(plan.operators[0].limits.memory_bytes, 1 << 30);
        assert_eq!(plan.operators[0].limits.call_deadline.as_secs(), 5);
        assert_eq!(plan.sources[0].until, Some(Until::Latest), "what no flag speaks of stays");
    }

    /// A file that is right.
    const FILE: &str = "version = 1\njob = 'a'\n[kafka]\nbrokers = 'b:1'\n[sources.s]\nkafka = { topic = 't' }\nstart = 'latest'\n\
        [operators.o]\nplugin = 'o.wasm'\ninputs = ['s']\nparallelism = 2\nconfig.x = 1\n[sinks.k]\ninputs = ['o']\nstdout = {}\n\
        [epochs]\ninterval = '2s'\n";

    fn said(flags: Overrides, file: &str) -> Vec<String> {
        let mistakes = plan_over(flags, file).unwrap_err().to_string();
        mistakes.lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_flag_that_could_mean_two_nodes_is_told_and_no_other() {
        let flags = Overrides {
            from: from("-"),
            to: to(&["-"]),
            parallelism: NonZeroU16::new(3),
            job: Some("!".into()),
            ..Overrides::default()
        };
        let more = "[sources.extra]\nstdin = {}\n[sinks.spare]\ninputs = ['extra']\nfile.path = ''\n[operators.other]\n\
                    plugin = 'p.wasm'\ninputs = ['s']\n";
        let two = |flag: &str, kind: &str| {
            format!(
                "{flag} conflicts with the pipeline file: the file has 2 {kind}s, so the flag does not say which; set it in the file"
            )
        };
        let wanted = [
            "7 mistakes".to_owned(),
            two("--from", "source"),
            two("--to", "sink"),
            two("--parallelism", "operator"),
            "--job: job name \"!\" is not of the form [a-z0-9._-]{1,64}, or is . or ..".to_owned(),
        ];
        let said = said(flags, &format!("{FILE}{more}"));
        assert_eq!(said[..5], wanted);
        assert!(said[5].starts_with("line 5: sources.s conflicts with sources.extra"), "{said:?}");
        assert_eq!(said[6], "line 22: sinks.spare.file.path is missing; write the path of a file");
        assert!(said[7].starts_with("line 23: operators.other: nothing reads its output"), "{said:?}");
    }

    #[test]
    fn a_mistake_of_a_flag_is_told_by_its_name_and_one_of_the_file_by_its_line() {
        let one = |flags: Overrides, file: &str, wanted: &str| assert_eq!(said(flags, file), [wanted]);
        let none = Overrides::default;
        let too_many = |at: &str| format!("{at}: 2000 tasks are more than the 1024 key groups there are");
        one(Overrides { parallelism: NonZeroU16::new(2000), ..none() }, FILE, &too_many("--parallelism"));
        let file = FILE.replace("parallelism = 2", "parallelism = 2000");
        one(none(), &file, &too_many("line 11: operators.o.parallelism"));
        // Over a file that is wrong, a flag that is right is all that counts.
        assert!(plan_over(Overrides { parallelism: NonZeroU16::new(3), ..none() }, &file).is_ok());

        let conflict = |one: &str, other: &str| {
            format!(
                "{one} conflicts with {other}: the broker could abort what is not committed in time; an interval may be 1s \
                 at most"
            )
        };
        let timeout = || Overrides { transaction_timeout: Some(Span(Duration::from_secs(3))), ..none() };
        one(timeout(), FILE, &conflict("line 17: epochs.interval = 2s", "--transaction-timeout = 3s"));
        let both = Overrides { epoch_interval: Some(Span(Duration::from_secs(2))), ..timeout() };
        one(both, FILE, &conflict("--epoch-interval = 2s", "--transaction-timeout = 3s"));

        let start = "line 7: sources.s.start conflicts with stdin: it is always read from its beginning; leave it \
                     out";
        let piped = FILE.replace("[kafka]\nbrokers = 'b:1'", "# no\n# Kafka");
        one(Overrides { from: from("-"), ..none() }, &piped, start);
        let to_source = Overrides { to: to(&["t"]), ..none() };
        one(
            to_source,
            FILE,
            "line 13: sinks.k (--to) conflicts with sources.s: the job would read its own output, for ever",
        );
        let timed = Overrides { watermark: Some("timestamp=record".parse().unwrap()), ..none() };
        let piped = piped.replace("kafka = { topic = 't' }\nstart = 'latest'", "stdin = {}");
        let reason = "its records have no time of their own; use ingestion, or json:/POINTER into the value";
        one(timed, &piped, &format!("--watermark timestamp = record conflicts with stdin: {reason}"));
        let nowhere = Overrides { from: from("kafka:/(/"), ..none() };
        assert!(said(nowhere, FILE)[0].starts_with("--from: not a regular expression"));
    }

    fn to(flags: &[&str]) -> Vec<To> {
        flags.iter().map(|flag| To::parse(flag, CONNECTORS).unwrap()).collect()
    }

    #[test]
    fn every_output_may_go_somewhere() {
        let sinks = |flags: &[&str]| {
            let flags = Overrides { plugin: Some("p.wasm".into()), to: to(flags), ..Overrides::default() };
            let plan = plan(flags).unwrap();
            let words = |sink: &SinkPlan| (sink.inputs[0].output.clone(), sink.writes.words());
            plan.sinks.iter().map(words).collect::<Vec<_>>()
        };
        let file = |output: Option<&str>, path: &str| (output.map(str::to_owned), format!("file {path}"));
        let stdout = (None, "stdout".to_owned());
        assert_eq!(sinks(&[]), std::slice::from_ref(&stdout));
        assert_eq!(
            sinks(&["late.x=file:l", "-", "odd=file:o"]),
            [stdout, file(Some("late.x"), "l"), file(Some("odd"), "o")]
        );
        // Nobody asked for the first output: it goes nowhere, not somewhere.
        assert_eq!(sinks(&["late=file:l"]), [file(Some("late"), "l")]);
        for twice in [["-", "file:a"], ["late=-", "late=file:a"]] {
            let flags = Overrides { plugin: Some("p.wasm".into()), to: to(&twice), ..Overrides::default() };
            let error = plan(flags).unwrap_err().to_string();
            assert!(error.contains("flags write an output to one place"), "{error}");
        }
    }

    #[test]
    fn an_output_of_a_file_may_go_elsewhere() {
        let file = "version = 1\n[sources.s]\nstdin = {}\n[operators.o]\nplugin = 'o.wasm'\ninputs = ['s']\n\
            [sinks.a]\ninputs = ['o']\nstdout = {}\n[sinks.b]\ninputs = ['o.late']\nfile = { path = 'b' }";
        let over = |flag: &str| {
            let flags = Overrides { to: to(&[flag]), ..Overrides::default() };
            plan_over(flags, file).map(|plan| plan.sinks)
        };
        let sinks = over("late=file:c?format=json").unwrap();
        assert_eq!(sinks[1].writes.words(), "file c");
        assert_eq!(sinks[1].writes.details(), [("format", "json".to_owned())]);
        assert_eq!(sinks[0].writes.words(), "stdout");
        let error = over("odd=file:c").unwrap_err().to_string();
        assert!(
            error.contains("--to odd=ADDR conflicts with the pipeline file: no sink reads an output of that name"),
            "{error}"
        );
    }
}
