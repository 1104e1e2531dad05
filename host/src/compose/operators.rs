//! A job's operators: loaded, described, opened once with their configuration, and joined by their outputs. All that a
//! plugin can have against a pipeline comes out here, before a directory or a broker is touched.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use weir_core::ports::{OperatorFactory, PluginDescription};
use weir_core::{Fault, PortError};
use weir_pipeline::plan::{self, OperatorPlan, Plan, SinkKind, SinkPlan};
use weir_plan::{Graph, Shown, layout};
pub use weir_plugin::CodeCache;
use weir_plugin::{Inspection, Limits, Runtime};
use weir_runtime::{OperatorSetup, SinkSetup};

use super::{SHARD, keys, outputs, windows};
use crate::exit;

/// Makes an operator's code ready to run. Wasm in the product; native code where the two are compared.
pub trait LoadOperator {
    /// Loads what `operator` names.
    fn load(&self, operator: &OperatorPlan) -> Result<Arc<dyn OperatorFactory>>;
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
        let plan::Limits { memory_bytes, call_deadline } = operator.limits;
        let plugin = self.0.load(&operator.plugin, Limits { memory_bytes, call_deadline }).map_err(PortError::from)?;
        Ok(Arc::new(plugin))
    }
}

/// What a job runs: its graph, and what runs the operators in it.
pub struct Loaded {
    pub(super) graph: Graph,
    pub(super) operators: Vec<OperatorSetup>,
    pub(super) sinks: Vec<SinkSetup>,
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

/// Loads and checks the operators of `plan`: that they fit its graph, and that they open with their configuration.
pub fn load(plan: &Plan, loader: &dyn LoadOperator) -> Result<Loaded> {
    let factories = all(plan.operators.iter().map(|operator| loader.load(operator)))?;
    let described: Vec<&PluginDescription> = factories.iter().map(|factory| factory.description()).collect();
    let graph = weir_pipeline::graph(plan, &described)?;
    let operators = plan.operators.iter().zip(factories).map(|(operator, factory)| {
        let setup = setup(operator, factory)?;
        check(&setup, operator, plan)?;
        Ok(setup)
    });
    let operators = all(operators)?;
    let sinks = plan.sinks.iter().map(|sink| SinkSetup { name: sink.name.clone(), target: target_of(sink) }).collect();
    Ok(Loaded { graph, operators, sinks })
}

/// What went well, if all did. Whoever corrects a pipeline wants to do so once, and is told of all operators that are wrong;
/// what is no mistake of theirs comes alone.
fn all<T>(outcomes: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let (mut good, mut mistakes) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(one) => good.push(one),
            Err(error) if exit::fault(&error) == Fault::Config => mistakes.push(error),
            Err(error) => return Err(error),
        }
    }
    if mistakes.len() > 1 {
        let each = mistakes.iter().map(|error| format!("\n{error:#}")).collect::<String>();
        return Err(PortError::new(Fault::Config, format!("{} mistakes{each}", mistakes.len())).into());
    }
    mistakes.pop().map_or(Ok(good), Err)
}

/// Nothing but configuration and file decides how a plugin opens, so one that does not is wrong usage. Only what the
/// host has no room for is what it is.
fn check(setup: &OperatorSetup, planned: &OperatorPlan, plan: &Plan) -> Result<()> {
    let Err(error) = setup.check(&plan.job, SHARD, planned.parallelism.get()) else { return Ok(()) };
    let fault = if error.fault() == Fault::User { Fault::Config } else { error.fault() };
    let name = &setup.name;
    let about =
        || format!("operator {name:?} does not start with its configuration (operators.{name}.config, --config)");
    Err(PortError::new(fault, error)).with_context(about)
}

fn setup(plan: &OperatorPlan, factory: Arc<dyn OperatorFactory>) -> Result<OperatorSetup> {
    let windows = windows::of(plan, &*factory)?;
    let (name, config) = (plan.name.clone(), plan.config.to_string());
    Ok(OperatorSetup { name, config, on_error: plan.on_error, factory, windows })
}

/// Where a sink writes, for people.
fn target_of(sink: &SinkPlan) -> String {
    match &sink.kind {
        SinkKind::Kafka { topic, .. } => topic.clone(),
        SinkKind::Stdout { .. } => "-".to_owned(),
        SinkKind::File { path, .. } => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_that_is_wrong_is_told_of() {
        let wrong = |name: &str| Err(PortError::new(Fault::Config, format!("{name} is wrong")).into());
        let said = all([wrong("a"), Ok(1), wrong("b")].into_iter()).unwrap_err();
        assert_eq!(said.to_string(), "2 mistakes\na is wrong\nb is wrong");
        assert_eq!(exit::fault(&said), Fault::Config);
        assert_eq!(all([Ok(1), wrong("b")].into_iter()).unwrap_err().to_string(), "b is wrong");
        let full = Err(PortError::new(Fault::Transient, "no room").into());
        let said = all([wrong("a"), full, Ok(1)].into_iter()).unwrap_err();
        assert_eq!((said.to_string().as_str(), exit::fault(&said)), ("no room", Fault::Transient));
        assert_eq!(all([Ok(1), Ok(2)].into_iter()).unwrap(), [1, 2]);
    }
}
