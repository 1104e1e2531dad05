//! Flags, laid over a file or standing alone. Both ways build the same [`Spec`], so nothing can be said in one of them
//! that means something else in the other.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;

use weir_core::{Delivery, Secret, Start, Until};

use crate::address::{SinkAddress, SourceAddress, To};
use crate::error::Error;
use crate::event_time::WatermarkSpec;
use crate::inputs::InputsSpec;
use crate::lines::LinesSpec;
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
        spec.sinks = sinks(&operator, std::mem::take(&mut self.to))?;
        spec.operators
            .insert(operator, OperatorSpec { inputs: InputsSpec::one(source.clone()), ..OperatorSpec::of(plugin) });
        spec.sources.insert(source, from);
        self.lay_over(spec)
    }

    /// Lays the flags over `spec`. A flag that speaks of one source, operator or sink needs the file to have just one.
    pub fn lay_over(self, mut spec: Spec) -> Result<Spec, Error> {
        if self.has_source_flags() {
            self.change_source(only(&mut spec.sources, "source", "--from, --start, --until, --max-rate, --watermark")?);
        }
        check_outputs_once(&self.to)?;
        for To { output, address } in &self.to {
            address.clone().replace(sink_of(&mut spec.sinks, output.as_deref())?);
        }
        if self.has_operator_flags() {
            let flags =
                "--plugin, --key, --parallelism, --config, --window, --on-error, --memory-limit, --call-deadline";
            self.change_operator(only(&mut spec.operators, "operator", flags)?);
        }
        if self.brokers.is_some() {
            use_default_brokers(&mut spec);
        }
        set(&mut spec.kafka.brokers, self.brokers);
        set_properties(&mut spec, self.kafka);
        if self.create_topics {
            spec.kafka.create_topics = Some(true);
        }
        set(&mut spec.job, self.job);
        set(&mut spec.delivery, self.delivery);
        set(&mut spec.api, self.api);
        set(&mut spec.state.dir, self.state_dir);
        set(&mut spec.state.memory, self.state_memory);
        set(&mut spec.epochs.interval, self.epoch_interval);
        set(&mut spec.epochs.transaction_timeout, self.transaction_timeout);
        if let Some(restart) = self.restart {
            spec.restart = restart;
        }
        Ok(spec)
    }

    fn has_source_flags(&self) -> bool {
        self.from.is_some()
            || self.start.is_some()
            || self.until.is_some()
            || self.max_rate.is_some()
            || self.discovery_interval.is_some()
            || self.watermark.is_some()
    }

    fn has_operator_flags(&self) -> bool {
        self.plugin.is_some()
            || self.key.is_some()
            || self.parallelism.is_some()
            || !self.config.is_empty()
            || self.window.is_some()
            || self.on_error.is_some()
            || self.memory_limit.is_some()
            || self.call_deadline.is_some()
    }

    fn change_source(&self, source: &mut SourceSpec) {
        if let Some(from) = self.from.clone() {
            from.replace(source);
        }
        set(&mut source.start, self.start.clone());
        set(&mut source.until, self.until.clone());
        set(&mut source.max_rate, self.max_rate);
        set(&mut source.discovery_interval, self.discovery_interval);
        set(&mut source.watermark, self.watermark.clone());
    }

    fn change_operator(&self, operator: &mut OperatorSpec) {
        if let Some(plugin) = self.plugin.clone() {
            operator.plugin = plugin;
        }
        set(&mut operator.key, self.key.clone());
        set(&mut operator.parallelism, self.parallelism);
        set(&mut operator.window, self.window.clone());
        set(&mut operator.on_error, self.on_error.clone());
        set(&mut operator.limits.memory, self.memory_limit);
        set(&mut operator.limits.call_deadline, self.call_deadline);
        operator.config.extend(self.config.clone());
    }
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
fn sinks(operator: &str, to: Vec<To>) -> Result<BTreeMap<String, SinkSpec>, Error> {
    let mut sinks = BTreeMap::new();
    check_outputs_once(&to)?;
    let default = To { output: None, address: SinkAddress::Stdout(LinesSpec::default()) };
    let to = if to.is_empty() { vec![default] } else { to };
    for To { output, address } in to {
        let (name, input) = match output {
            None => ("sink".to_owned(), operator.to_owned()),
            // A name of an output may have any characters, that of a node may not.
            Some(output) => (format!("sink-{}", sinks.len()), format!("{operator}.{output}")),
        };
        let mut sink = SinkSpec { inputs: vec![input], ..SinkSpec::default() };
        address.replace(&mut sink);
        sinks.insert(name, sink);
    }
    Ok(sinks)
}

fn check_outputs_once(to: &[To]) -> Result<(), Error> {
    for (index, To { output, .. }) in to.iter().enumerate() {
        if to.iter().take(index).any(|other| other.output == *output) {
            let [one, other] = match output {
                None => ["--to ADDR".to_owned(), "another --to ADDR".to_owned()],
                Some(output) => [format!("--to {output}=ADDR"), format!("another --to {output}=ADDR")],
            };
            let reason = "flags write an output to one place; a file may have several sinks that read it";
            return Err(Error::conflict(one, other, reason));
        }
    }
    Ok(())
}

/// The one sink that a `--to` over a file means.
fn sink_of<'a>(sinks: &'a mut BTreeMap<String, SinkSpec>, output: Option<&str>) -> Result<&'a mut SinkSpec, Error> {
    let Some(output) = output else { return only(sinks, "sink", "--to") };
    let reads = |sink: &SinkSpec| matches!(sink.inputs.as_slice(), [one] if one.split_once('.').is_some_and(|(_, named)| named == output));
    let mut found = sinks.values_mut().filter(|sink| reads(sink));
    match (found.next(), found.next()) {
        (Some(sink), None) => Ok(sink),
        (found, _) => {
            let count = if found.is_some() { "several sinks read" } else { "no sink reads" };
            let reason = format!("{count} an output of that name there; describe the sink in the file");
            Err(Error::conflict(format!("--to {output}=ADDR"), "the pipeline file", reason))
        }
    }
}

fn set<T>(place: &mut Option<T>, given: Option<T>) {
    if given.is_some() {
        *place = given;
    }
}

fn only<'a, T>(nodes: &'a mut BTreeMap<String, T>, kind: &str, flags: &str) -> Result<&'a mut T, Error> {
    let count = nodes.len();
    let mut nodes = nodes.values_mut();
    match (nodes.next(), nodes.next()) {
        (Some(node), None) => Ok(node),
        _ => {
            let reason = format!("the file has {count} {kind}s, so the flag does not say which; set it in the file");
            Err(Error::conflict(flags, "the pipeline file", reason))
        }
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
    spec.kafka.properties.0.extend(given);
}

#[cfg(test)]
mod tests {
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
        let plan = validate(&flags.lay_over(read(file).unwrap()).unwrap()).unwrap();
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

    #[test]
    fn a_flag_that_could_mean_two_nodes_is_refused() {
        let mut spec = Spec::empty();
        for name in ["a", "b"] {
            spec.sinks.insert(name.into(), SinkSpec::default());
        }
        let flags = Overrides { to: vec!["-".parse().unwrap()], ..Overrides::default() };
        let error = flags.lay_over(spec).unwrap_err().to_string();
        assert_eq!(
            error,
            "--to conflicts with the pipeline file: the file has 2 sinks, so the flag does not say which; set it in the file"
        );
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
            let error = flags.into_spec().unwrap_err().to_string();
            assert!(error.contains("flags write an output to one place"), "{error}");
        }
    }

    #[test]
    fn an_output_of_a_file_may_go_elsewhere() {
        let file = "version = 1\n[sources.s]\nstdin = {}\n[operators.o]\nplugin = 'o.wasm'\ninputs = ['s']\n\
            [sinks.a]\ninputs = ['o']\nstdout = {}\n[sinks.b]\ninputs = ['o.late']\nfile = { path = 'b' }";
        let over = |flag: &str| {
            let flags = Overrides { to: to(&[flag]), ..Overrides::default() };
            Ok::<_, Mistakes>(validate(&flags.lay_over(read(file).unwrap())?)?.sinks)
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
