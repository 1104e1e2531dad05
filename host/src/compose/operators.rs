//! A job's operators: loaded, described, opened once with their configuration, and joined by their outputs. All that a
//! plugin can have against a pipeline comes out here, before a directory or a broker is touched.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use weir_core::ports::{OperatorFactory, TimestampsFactory};
use weir_core::{Fault, KeySpec, OnError, PortError};
use weir_pipeline::plan::{self, OperatorPlan, Plan};
use weir_pipeline::{Draft, Error, Found, settle};
use weir_plan::{Graph, Shown, layout};
pub use weir_plugin::CodeCache;
use weir_plugin::{Inspection, Limits, Runtime};
use weir_runtime::{OperatorSetup, SinkSetup};

use super::{SHARD, keys, outputs, ttl, windows};
use crate::exit;

/// Makes an operator's code ready to run. Wasm in the product; native code where the two are compared.
pub trait LoadOperator: Send + Sync {
    /// Loads what `operator` names.
    fn load(&self, operator: &OperatorPlan) -> Result<Arc<dyn OperatorFactory>>;

    /// Loads what says when the records of a source were made.
    fn load_timestamps(&self, file: &Path) -> Result<Arc<dyn TimestampsFactory>>;
}

/// Loads plugins from files.
pub struct WasmOperators(Runtime);

impl WasmOperators {
    /// Starts the wasm engine.
    pub fn new(cache: &CodeCache) -> Result<Self> {
        Ok(Self(Runtime::new(cache).map_err(PortError::from)?))
    }

    /// What can be said of a plugin's file, and whether this host runs it.
    pub fn inspect(&self, file: &Path) -> Result<Inspection> {
        Ok(self.0.inspect(file).map_err(PortError::from)?)
    }
}

impl LoadOperator for WasmOperators {
    fn load(&self, operator: &OperatorPlan) -> Result<Arc<dyn OperatorFactory>> {
        let plan::Limits { memory_bytes, call_deadline, .. } = operator.limits;
        let plugin = self.0.load(&operator.plugin, Limits { memory_bytes, call_deadline }).map_err(PortError::from)?;
        Ok(Arc::new(plugin))
    }

    fn load_timestamps(&self, file: &Path) -> Result<Arc<dyn TimestampsFactory>> {
        let plan::Limits { memory_bytes, call_deadline, .. } = plan::Limits::default();
        let plugin = self.0.load_timestamps(file, Limits { memory_bytes, call_deadline }).map_err(PortError::from)?;
        Ok(Arc::new(plugin))
    }
}

/// What a job runs: its graph, and what runs the operators in it.
pub struct Loaded {
    pub(super) graph: Graph,
    pub(super) operators: Vec<OperatorSetup>,
    pub(super) sinks: Vec<SinkSetup>,
    /// What says when records were made, by the sources that ask a plugin.
    pub(super) timestamps: BTreeMap<String, Arc<dyn TimestampsFactory>>,
}

impl Loaded {
    /// The graph of the plan that was loaded.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Which threads will run it.
    pub fn shown(&self) -> Shown {
        Shown::of(&self.graph, &layout(&self.graph))
    }

    /// What the plugin of each operator is, in the order of the plan.
    pub fn plugins(&self) -> impl Iterator<Item = &dyn OperatorFactory> {
        self.operators.iter().map(|operator| &*operator.factory)
    }

    /// What a start of `plan` would warn of, as far as its plugins tell.
    pub fn warnings(&self, plan: &Plan) -> Vec<String> {
        let unread = outputs::unread(&self.graph).into_iter().map(|unread| unread.named());
        unread.chain(keys::missing(plan, &self.graph)).collect()
    }
}

/// Loads and checks the operators of `plan`: that they fit its graph, and that they open with their configuration. Whoever
/// corrects a pipeline wants to do so once: a plugin that cannot be loaded hides nothing of the others.
pub fn load(plan: &Plan, loader: &dyn LoadOperator) -> Result<Loaded> {
    let mut found = Found::default();
    let (graph, operators) = examine(plan, loader, &mut found)?;
    let timestamps = load_timestamps(plan, loader, &mut found)?;
    let graph = settle(found, graph, &plan.places)?;
    let sinks =
        plan.sinks.iter().map(|sink| SinkSetup { name: sink.name.clone(), target: sink.writes.target() }).collect();
    Ok(Loaded { graph, operators, sinks, timestamps })
}

/// Notes what the plugins of `draft` have against what is right of it.
pub fn find_mistakes(draft: &mut Draft, loader: &dyn LoadOperator) {
    // What is no mistake of the draft comes alone, another time.
    drop(examine(&draft.plan, loader, &mut draft.found));
    drop(load_timestamps(&draft.plan, loader, &mut draft.found));
}

/// Loads what sources ask when their records were made.
fn load_timestamps(
    plan: &Plan,
    loader: &dyn LoadOperator,
    found: &mut Found,
) -> Result<BTreeMap<String, Arc<dyn TimestampsFactory>>> {
    let mut all = BTreeMap::new();
    for source in &plan.sources {
        let Some(file) = source.timestamps() else { continue };
        let at = format!("sources.{}.watermark.timestamp", source.name);
        let loaded = keep(loader.load_timestamps(file), &at, found)?;
        all.extend(loaded.map(|loaded| (source.name.clone(), loaded)));
    }
    Ok(all)
}

/// Loads what can be loaded and notes what is wrong.
fn examine(plan: &Plan, loader: &dyn LoadOperator, found: &mut Found) -> Result<(Option<Graph>, Vec<OperatorSetup>)> {
    let mut factories = Vec::new();
    for operator in &plan.operators {
        let at = format!("operators.{}.plugin", operator.name);
        let is_named = !found.is_wrong(&at);
        factories.push(if is_named { keep(loader.load(operator), &at, found)? } else { None });
    }
    let described = factories.iter().map(|factory| factory.as_ref().map(|factory| factory.description()));
    let graph = weir_pipeline::graph(plan, &described.collect::<Vec<_>>(), found);
    let mut operators = Vec::new();
    for (operator, factory) in plan.operators.iter().zip(factories) {
        let Some(factory) = factory else { continue };
        operators.extend(set_up(plan, operator, factory, found)?);
    }
    Ok((graph, operators))
}

/// What went well. What did not is a mistake of the pipeline at `at`; or it is not, and comes alone.
fn keep<T>(outcome: Result<T>, at: &str, found: &mut Found) -> Result<Option<T>> {
    match outcome {
        Err(error) if exit::fault(&error) == Fault::Config => {
            found.add(Error::invalid(at, format!("{error:#}")));
            Ok(None)
        }
        outcome => outcome.map(Some),
    }
}

fn set_up(
    plan: &Plan,
    operator: &OperatorPlan,
    factory: Arc<dyn OperatorFactory>,
    found: &mut Found,
) -> Result<Option<OperatorSetup>> {
    let Some(setup) = found.keep(setup(operator, factory)) else { return Ok(None) };
    let at = format!("operators.{}.config", operator.name);
    Ok(keep(check(&setup, operator, plan), &at, found)?.map(|()| setup))
}

/// Nothing but configuration and file decides how a plugin opens, so one that does not is wrong usage. Only what the
/// host has no room for is what it is.
fn check(setup: &OperatorSetup, planned: &OperatorPlan, plan: &Plan) -> Result<()> {
    let Err(error) = setup.check(&plan.job, SHARD, planned.parallelism.get()) else { return Ok(()) };
    let fault = if error.fault() == Fault::User { Fault::Config } else { error.fault() };
    Err(PortError::new(fault, error)).context("the operator does not start with its configuration")
}

/// An operator that no pipeline describes, and that goes on without what fails.
pub(crate) fn alone(plugin: &Path) -> OperatorPlan {
    OperatorPlan {
        name: "operator".to_owned(),
        plugin: plugin.to_owned(),
        inputs: Vec::new(),
        key: KeySpec::Key,
        parallelism: NonZeroU16::MIN,
        config: serde_json::Value::Object(serde_json::Map::new()),
        window: None,
        ttl: BTreeMap::new(),
        on_error: OnError::Skip,
        limits: plan::Limits::default(),
    }
}

/// What runs the operator of `plan`: `factory` is its plugin.
pub(crate) fn setup(plan: &OperatorPlan, factory: Arc<dyn OperatorFactory>) -> Result<OperatorSetup, Error> {
    let windows = windows::of(plan, &*factory)?;
    ttl::check(plan, &*factory)?;
    let (name, config) = (plan.name.clone(), plan.config.to_string());
    let (on_error, ttl, timer_rounds) = (plan.on_error, plan.ttl.clone(), plan.limits.timer_rounds);
    Ok(OperatorSetup { name, config, on_error, factory, windows, timer_rounds, ttl, took_over: None })
}

#[cfg(test)]
mod tests {
    use anyhow::bail;
    use weir_core::Digest;
    use weir_core::ports::{Operator, PluginDescription};

    use super::*;
    use crate::connectors::CONNECTORS;

    const TABLES: &str = r#"{"name": "fake", "version": "1", "outputs": ["good", "bad"], "tables": [
        {"name": "kept", "kind": "value"}, {"name": "short", "kind": "map", "ttl": {"event": 5}},
        {"name": "timers", "kind": "timer"}]}"#;

    /// A plugin with these outputs, which opens where it is said to.
    struct Fake {
        description: PluginDescription,
        digest: Digest,
        opens: bool,
    }

    impl OperatorFactory for Fake {
        fn description(&self) -> &PluginDescription {
            &self.description
        }
        fn digest(&self) -> &Digest {
            &self.digest
        }
        fn instantiate(&self, _: &str, _: &str) -> Result<Box<dyn Operator>, PortError> {
            Err(PortError::new(Fault::Bug, "it runs nothing"))
        }
        fn check(&self, _: &str, _: &str) -> Result<(), PortError> {
            if self.opens { Ok(()) } else { Err(PortError::new(Fault::User, "no window is given")) }
        }
    }

    /// `absent.wasm` is not there, and for `large.wasm` is no room.
    struct Fakes;

    impl LoadOperator for Fakes {
        fn load(&self, operator: &OperatorPlan) -> Result<Arc<dyn OperatorFactory>> {
            match operator.plugin.to_str() {
                Some("absent.wasm") => {
                    Err(PortError::new(Fault::Config, "no such file")).context("failed to read it")?
                }
                Some("large.wasm") => bail!(PortError::new(Fault::Transient, "no room")),
                _ => {}
            }
            let description = serde_json::from_str(TABLES)?;
            let opens = operator.plugin != Path::new("closed.wasm");
            Ok(Arc::new(Fake { description, digest: Digest("d".to_owned()), opens }))
        }

        fn load_timestamps(&self, file: &Path) -> Result<Arc<dyn TimestampsFactory>> {
            bail!(PortError::new(Fault::Config, format!("{} does not say when", file.display())))
        }
    }

    fn loaded(text: &str) -> Result<Loaded> {
        load(&weir_pipeline::validate(&weir_pipeline::read(text, CONNECTORS)?, CONNECTORS)?, &Fakes)
    }

    const TEXT: &str = "version = 1\n[sources.s]\nstdin = {}\n\
        [operators.a]\nplugin = 'open.wasm'\ninputs = ['s']\n\
        [operators.b]\nplugin = 'open.wasm'\ninputs = ['a.bad']\n\
        [operators.c]\nplugin = 'open.wasm'\ninputs = ['b']\n\
        [sinks.k]\ninputs = ['c']\nstdout = {}\n";

    #[test]
    fn every_operator_that_is_wrong_is_told_of_and_hides_no_other() {
        assert_eq!(loaded(TEXT).unwrap().operators.len(), 3);
        let text =
            TEXT.replacen("open.wasm", "closed.wasm", 1).replace("a.bad", "a.bads").replace("['c']", "['c', 'b.bads']");
        let text = text.replace("[operators.c]\nplugin = 'open.wasm'", "[operators.c]\nplugin = 'absent.wasm'");
        let said = loaded(&text).err().unwrap();
        let wanted = "4 mistakes\n\
            line 4: operators.a.config: the operator does not start with its configuration: no window is given\n\
            line 9: operators.b.inputs: operator \"a\" has no output named \"bads\"; its plugin has the outputs \"good\", \
            \"bad\"; did you mean \"bad\"?\n\
            line 11: operators.c.plugin: failed to read it: no such file\n\
            line 14: sinks.k.inputs: operator \"b\" has no output named \"bads\"; its plugin has the outputs \
            \"good\", \"bad\"; did you mean \"bad\"?";
        assert_eq!(said.to_string(), wanted);
        assert_eq!(exit::fault(&said), Fault::Config);
        // What is no mistake comes alone.
        let said = loaded(&text.replace("absent", "large")).err().unwrap();
        assert_eq!((said.to_string().as_str(), exit::fault(&said)), ("no room", Fault::Transient));
    }

    #[test]
    fn what_says_when_records_were_made_is_loaded_with_the_rest() {
        let text = TEXT.replacen("stdin = {}", "stdin = {}\nwatermark = { timestamp = 'plugin:when.wasm' }", 1);
        let said = loaded(&text.replacen("open.wasm", "absent.wasm", 1)).err().unwrap();
        let wanted = "2 mistakes\nline 4: sources.s.watermark.timestamp: when.wasm does not say when\n\
            line 6: operators.a.plugin: failed to read it: no such file";
        assert_eq!((said.to_string().as_str(), exit::fault(&said)), (wanted, Fault::Config));
    }

    #[test]
    fn a_pipeline_says_how_long_tables_keep_what_they_have_and_no_others() {
        let with = |ttl: &str| TEXT.replacen("inputs = ['s']\n", &format!("inputs = ['s']\nttl = {{ {ttl} }}\n"), 1);
        let said = |ttl: &str| {
            let tables = loaded(&with(ttl)).unwrap().operators.first().unwrap().tables();
            tables.into_iter().map(|table| table.ttl.map(|ttl| ttl.to_string())).collect::<Vec<_>>()
        };
        let ms = |words: &str| Some(words.to_owned());
        assert_eq!(said(""), [None, ms("5 ms of event time"), None]);
        let all = "kept = { processing = '1s' }, short = { event = '7s' }";
        assert_eq!(said(all), [ms("1000 ms of processing time"), ms("7000 ms of event time"), None]);
        for (ttl, expected) in [
            (
                "keep = { event = '1s' }",
                "operators.a.ttl.keep: its plugin \"fake\" has the tables \"kept\", \"short\", \"timers\"",
            ),
            ("timers = { event = '1s' }", "operators.a.ttl.timers: what is in a table of kind timer goes by itself"),
        ] {
            let said = loaded(&with(ttl)).err().unwrap().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }
}
