//! Flags, laid over a file or standing alone. Both ways build the same [`Spec`], so nothing can be said in one of them
//! that means something else in the other.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;

use weir_connector::{Error, Found};
use weir_core::{Delivery, Secret, Start, Until};

use crate::address::{SinkAddress, SourceAddress, To};
use crate::event_time::WatermarkSpec;
use crate::inputs::InputsSpec;
use crate::lines::LinesSpec;
use crate::places::Places;
use crate::restart::RestartSpec;
use crate::spec::{Config, Key, OnErrorSpec, OperatorSpec, SinkSpec, SourceSpec, Spec, WindowTable};
use crate::units::{Size, Span};

/// The operator's name where flags stand alone.
const OPERATOR: &str = "operator";

/// What flags say; `None` (or empty) is a flag that was not given.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--plugin`
    pub plugin: Option<PathBuf>,
    /// `--from`
    pub from: Option<SourceAddress>,
    /// `--to`, once for each output
    pub to: Vec<To>,
    /// `--brokers`
    pub brokers: Option<String>,
    /// `--kafka k=v`
    pub kafka: BTreeMap<String, Secret>,
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
    /// `--create-topics`
    pub create_topics: bool,
    /// `--api`
    pub api: Option<String>,
    /// `--restart`: the whole strategy; nothing of the file's is kept.
    pub restart: Option<RestartSpec>,
}

impl Overrides {
    /// The description that flags make alone: one source, one operator, a sink for each output that is named.
    pub fn into_spec(mut self) -> Result<Spec, Error> {
        let plugin = self.plugin.clone();
        let plugin = plugin.ok_or_else(|| Error::missing("--plugin", "give --plugin FILE.wasm, or a pipeline file"))?;
        // Its state is found again by this name, whatever the plugin's file is called.
        let [source, operator] = ["source", OPERATOR].map(str::to_owned);
        let mut spec = Spec::empty();
        let mut from = SourceSpec::default();
        SourceAddress::Stdin(LinesSpec::default()).replace(&mut from);
        spec.places.replace(&format!("sources.{source}"), "--from");
        spec.places.replace(&format!("operators.{operator}"), "--plugin");
        add_sinks(&mut spec, &operator, std::mem::take(&mut self.to));
        spec.operators
            .insert(operator, OperatorSpec { inputs: InputsSpec::one(source.clone()), ..OperatorSpec::of(plugin) });
        spec.sources.insert(source, from);
        Ok(self.lay_over(spec))
    }

    /// Lays the flags over `spec`. A flag that speaks of one source, operator or sink needs the file to have just one; what
    /// does not fit is told with whatever else is wrong.
    pub fn lay_over(self, mut spec: Spec) -> Spec {
        let Spec { sources, operators, sinks, places, found, .. } = &mut spec;
        if let Some((name, source)) = only(sources, "source", &self.source_flags(), found) {
            self.change_source(name, source, places);
        }
        check_outputs_once(&self.to, found);
        for to in &self.to {
            if let Some((name, sink)) = sink_of(sinks, to.output.as_deref(), found) {
                places.add(&format!("sinks.{name}"), &to.flag());
                places.replace(&format!("sinks.{name}.{}", to.address.key()), &to.flag());
                to.address.clone().replace(sink);
            }
        }
        if let Some((name, operator)) = only(operators, "operator", &self.operator_flags(), found) {
            self.change_operator(name, operator, places);
        }
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
            places.replace(&format!("{at}.{}", from.key()), "--from");
            from.replace(source);
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
        if self.brokers.is_some() {
            use_default_brokers(spec);
        }
        set_properties(spec, self.kafka);
        let mut over = Over { at: "", places: &mut spec.places };
        over.set(("kafka.brokers", "--brokers"), &mut spec.kafka.brokers, self.brokers);
        let create_topics = self.create_topics.then_some(true);
        over.set(("kafka.create-topics", "--create-topics"), &mut spec.kafka.create_topics, create_topics);
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
fn add_sinks(spec: &mut Spec, operator: &str, to: Vec<To>) {
    check_outputs_once(&to, &mut spec.found);
    let default = To { output: None, address: SinkAddress::Stdout(LinesSpec::default()) };
    let to = if to.is_empty() { vec![default] } else { to };
    for to in to {
        let flag = to.flag();
        let (name, input) = match to.output {
            None => ("sink".to_owned(), operator.to_owned()),
            // A name of an output may have any characters, that of a node may not.
            Some(output) => (format!("sink-{}", spec.sinks.len()), format!("{operator}.{output}")),
        };
        let mut sink = SinkSpec { inputs: vec![input], ..SinkSpec::default() };
        to.address.replace(&mut sink);
        spec.places.replace(&format!("sinks.{name}"), &flag);
        spec.sinks.insert(name, sink);
    }
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

/// `--brokers` means this cluster and no other, whatever single sources and sinks of the file say.
fn use_default_brokers(spec: &mut Spec) {
    spec.sources.values_mut().filter_map(|s| s.kafka.as_mut()).for_each(|k| k.brokers = None);
    spec.sinks.values_mut().filter_map(|s| s.kafka.as_mut()).for_each(|k| k.brokers = None);
}

/// `--kafka` sets a property for this cluster, whatever single sources and sinks of the file say.
fn set_properties(spec: &mut Spec, given: BTreeMap<String, Secret>) {
    let sources = spec.sources.values_mut().filter_map(|s| s.kafka.as_mut()).map(|k| &mut k.properties);
    let sinks = spec.sinks.values_mut().filter_map(|s| s.kafka.as_mut()).map(|k| &mut k.properties);
    sources.chain(sinks).for_each(|properties| properties.0.retain(|key, _| !given.contains_key(key)));
    given.keys().for_each(|key| spec.places.replace(&format!("kafka.properties.{key}"), &format!("--kafka {key}")));
    spec.kafka.properties.0.extend(given);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lines::LineFormat;
    use crate::plan::{Plan, SinkKind, SourceKind};
    use crate::{Mistakes, read, validate};

    fn plan(flags: Overrides) -> Result<Plan, Mistakes> {
        validate(&flags.into_spec()?)
    }

    #[test]
    fn flags_alone_make_a_whole_pipeline() {
        let flags = Overrides { plugin: Some("target/plugins/count.wasm".into()), ..Overrides::default() };
        let plan = plan(flags).unwrap();
        assert_eq!(plan.job.as_str(), "count-stdin-stdout");
        assert_eq!(
            (plan.sources[0].kind.clone(), plan.sinks[0].kind.clone()),
            (SourceKind::Stdin { format: LineFormat::Value }, SinkKind::Stdout { format: LineFormat::Value })
        );
        assert_eq!(plan.operators[0].name, "operator");
    }

    #[test]
    fn the_default_name_says_what_runs() {
        for (from, to, wanted) in [
            ("in", "out", "count-in-out"),
            ("kafka:/a.*/", "-", "count-a.--stdout-ed706251"),
            ("file:.//a", "out", "count-a-out"),
        ] {
            let flags = Overrides {
                plugin: Some("count.wasm".into()),
                from: Some(from.parse().unwrap()),
                to: vec![to.parse().unwrap()],
                brokers: Some("b:1".into()),
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
        let from = Some("in".parse().unwrap());
        let flags = Overrides { plugin: Some("p.wasm".into()), from, ..Overrides::default() };
        assert!(plan(flags).unwrap_err().to_string().contains("give --brokers HOST:PORT"));
        assert!(plan(Overrides::default()).unwrap_err().to_string().contains("--plugin is missing"));
        let brokers = Some("b:1".to_owned());
        let flags = Overrides { plugin: Some("p.wasm".into()), brokers, ..Overrides::default() };
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
        let flags = Overrides {
            job: Some("b".into()),
            brokers: Some("b:1".into()),
            max_rate: NonZeroU64::new(9),
            kafka: BTreeMap::from([("client.id".to_owned(), Secret::new("flag"))]),
            parallelism: NonZeroU16::new(4),
            memory_limit: Some(Size(1 << 30)),
            config,
            ..Overrides::default()
        };
        let plan = validate(&flags.lay_over(read(file).unwrap())).unwrap();
        let kafka = plan.kafka.unwrap();
        assert_eq!((plan.job.as_str(), kafka.brokers.as_str()), ("b", "b:1"));
        let SourceKind::Kafka { properties, .. } = &plan.sources[0].kind else { panic!("no Kafka source") };
        let set = |all: &BTreeMap<String, Secret>| all.values().map(|v| v.expose().to_owned()).collect::<Vec<_>>();
        let all: Vec<String> = [properties, &kafka.properties].into_iter().flat_map(set).collect();
        assert_eq!(all, ["flag", "flag"], "also over what the source says alone");
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
        let mistakes = validate(&flags.lay_over(read(file).unwrap())).unwrap_err().to_string();
        mistakes.lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_flag_that_could_mean_two_nodes_is_told_and_no_other() {
        let flags = Overrides {
            from: Some("-".parse().unwrap()),
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
        assert!(
            validate(&Overrides { parallelism: NonZeroU16::new(3), ..none() }.lay_over(read(&file).unwrap())).is_ok()
        );

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

        let start = "line 7: sources.s.start conflicts with stdin: it is always read from its beginning; only Kafka topics have \
                     other starts";
        let piped = FILE.replace("[kafka]\nbrokers = 'b:1'", "# no\n# Kafka");
        one(Overrides { from: Some("-".parse().unwrap()), ..none() }, &piped, start);
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
        let nowhere = Overrides { from: Some("kafka:/(/".parse().unwrap()), ..none() };
        assert!(said(nowhere, FILE)[0].starts_with("--from: not a regular expression"));
    }

    fn to(flags: &[&str]) -> Vec<To> {
        flags.iter().map(|flag| flag.parse().unwrap()).collect()
    }

    #[test]
    fn every_output_may_go_somewhere() {
        let sinks = |flags: &[&str]| {
            let flags = Overrides { plugin: Some("p.wasm".into()), to: to(flags), ..Overrides::default() };
            let plan = plan(flags).unwrap();
            let words = |sink: &crate::plan::SinkPlan| (sink.inputs[0].output.clone(), sink.kind.clone());
            plan.sinks.iter().map(words).collect::<Vec<_>>()
        };
        let file = |output: Option<&str>, path: &str| {
            (output.map(str::to_owned), SinkKind::File { path: path.into(), format: LineFormat::Value })
        };
        let stdout = (None, SinkKind::Stdout { format: LineFormat::Value });
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
            validate(&flags.lay_over(read(file).unwrap())).map(|plan| plan.sinks)
        };
        let sinks = over("late=file:c?format=json").unwrap();
        assert_eq!(sinks[1].kind, SinkKind::File { path: "c".into(), format: LineFormat::Json });
        assert!(matches!(sinks[0].kind, SinkKind::Stdout { .. }));
        let error = over("odd=file:c").unwrap_err().to_string();
        assert!(
            error.contains("--to odd=ADDR conflicts with the pipeline file: no sink reads an output of that name"),
            "{error}"
        );
    }
}
