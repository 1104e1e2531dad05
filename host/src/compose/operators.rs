//! A job's operators: loaded, described, opened once with their configuration, and joined by their outputs. All that a
//! plugin can have against a pipeline comes out here, before a directory or a broker is touched.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use weir_core::ports::OperatorFactory;
use weir_core::{Fault, PortError};
use weir_pipeline::plan::{self, OperatorPlan, Plan, SinkKind, SinkPlan};
pub use weir_plugin::CodeCache;
use weir_plugin::{Inspection, Limits, Runtime};
use weir_runtime::{OperatorSetup, SinkSetup};

use super::{SHARD, keys, outputs};

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

/// What a job runs: its operators and what reads their outputs.
pub struct Loaded {
    pub(super) operators: Vec<OperatorSetup>,
    pub(super) sinks: Vec<SinkSetup>,
}

impl Loaded {
    /// What the plugin of each operator is, in the order of the plan.
    pub fn plugins(&self) -> impl Iterator<Item = &dyn OperatorFactory> {
        self.operators.iter().map(|operator| &*operator.factory)
    }

    /// What a start of `plan` would warn of, as far as its plugins tell.
    pub fn warnings(&self, plan: &Plan) -> Vec<String> {
        let unread = outputs::unread(&self.operators, &self.sinks).into_iter().map(|unread| unread.named());
        unread.chain(keys::missing(plan, &self.operators)).collect()
    }
}

/// Loads and checks the operators of `plan`.
pub fn load(plan: &Plan, loader: &dyn LoadOperator) -> Result<Loaded> {
    let mut operators: Vec<OperatorSetup> = Vec::new();
    for planned in &plan.operators {
        // In order: only an operator that is loaded knows its side outputs.
        let reader = format!("operators.{}", planned.name);
        let input_output = outputs::index(&planned.input, &operators, &reader)?;
        let setup = operator(planned, input_output, loader)?;
        check(&setup, plan)?;
        operators.push(setup);
    }
    let sinks = plan.sinks.iter().map(|sink| sink_setup(sink, &operators)).collect::<Result<Vec<_>>>()?;
    Ok(Loaded { operators, sinks })
}

/// Nothing but configuration and file decides how a plugin opens, so one that does not is wrong usage. Only what the
/// host has no room for is what it is.
fn check(setup: &OperatorSetup, plan: &Plan) -> Result<()> {
    let Err(error) = setup.check(&plan.job, SHARD) else { return Ok(()) };
    let fault = if error.fault() == Fault::User { Fault::Config } else { error.fault() };
    let name = &setup.name;
    let about =
        || format!("operator {name:?} does not start with its configuration (operators.{name}.config, --config)");
    Err(PortError::new(fault, error)).with_context(about)
}

fn operator(plan: &OperatorPlan, input_output: u32, loader: &dyn LoadOperator) -> Result<OperatorSetup> {
    let factory = loader.load(plan)?;
    let description = factory.description();
    if description.routes {
        let text = format!(
            "plugin {:?} routes records by weir.route.* headers, which this host does not do yet",
            description.name
        );
        return Err(PortError::new(Fault::Config, text).into());
    }
    Ok(OperatorSetup {
        name: plan.name.clone(),
        key: plan.key.clone(),
        parallelism: plan.parallelism.get(),
        config: plan.config.to_string(),
        on_error: plan.on_error,
        input_output,
        factory,
    })
}

fn sink_setup(sink: &SinkPlan, operators: &[OperatorSetup]) -> Result<SinkSetup> {
    let topic = match &sink.kind {
        SinkKind::Kafka { topic } => topic.clone(),
        SinkKind::Stdout { .. } => "-".to_owned(),
        SinkKind::File { path, .. } => path.display().to_string(),
    };
    let output = outputs::index(&sink.input, operators, &outputs::words_of(sink))?;
    Ok(SinkSetup { topic, operator: sink.input.operator, output })
}
