//! Which windows an operator has: those that the pipeline names, or else its plugin. Whether it has any is for the plugin
//! to say: by the interface that it exports.

use anyhow::Result;
use weir_core::ports::{OperatorFactory, Role};
use weir_core::{Fault, PortError};
use weir_pipeline::plan::OperatorPlan;
use weir_pipeline::windows_run;
use weir_time::WindowSpec;

/// The windows of `operator`, which `plugin` runs.
pub(super) fn of(operator: &OperatorPlan, plugin: &dyn OperatorFactory) -> Result<Option<WindowSpec>> {
    let (name, description) = (&operator.name, plugin.description());
    let of_plugin = &description.name;
    match (plugin.role(), &operator.window) {
        (Role::Operator, None) => Ok(None),
        (Role::Operator, Some(_)) => Err(wrong(format!(
            "operator {name:?} has windows (operators.{name}.window, --window), and its plugin {of_plugin:?} does not export \
             the interface aggregate, which they need; leave the windows out, or give a plugin that aggregates"
        ))),
        (Role::Aggregate, Some(window)) => Ok(Some(window.clone())),
        (Role::Aggregate, None) if description.window.is_empty() => Err(wrong(format!(
            "operator {name:?} has no windows, and its plugin {of_plugin:?} aggregates windows and names none itself: give \
             --window tumbling:10s, or operators.{name}.window = {{ tumbling = \"10s\" }}"
        ))),
        (Role::Aggregate, None) => {
            let about = |why: String| {
                wrong(format!(
                    "plugin {of_plugin:?} names the windows {:?}, and {why}: give others, as in --window tumbling:10s",
                    description.window
                ))
            };
            let window: WindowSpec = description.window.parse().map_err(|error| about(format!("{error}")))?;
            windows_run(&window).map_err(|what| about(format!("{what} is not there yet")))?;
            Ok(Some(window))
        }
    }
}

fn wrong(text: String) -> anyhow::Error {
    PortError::new(Fault::Config, text).into()
}
