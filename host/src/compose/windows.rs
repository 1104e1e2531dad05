//! Which windows an operator has: those that the pipeline names, or else its plugin. Whether it has any is for the plugin
//! to say: by the interface that it exports.

use weir_core::ports::{OperatorFactory, Role};
use weir_pipeline::Error;
use weir_pipeline::plan::OperatorPlan;
use weir_time::WindowSpec;

/// The windows of `operator`, which `plugin` runs.
pub(super) fn of(operator: &OperatorPlan, plugin: &dyn OperatorFactory) -> Result<Option<WindowSpec>, Error> {
    let description = plugin.description();
    let of_plugin = &description.name;
    let at = |key: &str| format!("operators.{}.{key}", operator.name);
    match (plugin.role(), &operator.window) {
        (Role::Operator, None) => Ok(None),
        (Role::Operator, Some(_)) => {
            let reason = format!(
                "its plugin {of_plugin:?} does not export the interface aggregate, which windows need; leave them out, or \
                 give a plugin that aggregates"
            );
            Err(Error::invalid(at("window"), reason))
        }
        (Role::Aggregate, Some(window)) => Ok(Some(window.clone())),
        (Role::Aggregate, None) if description.window.is_empty() => {
            let cure = format!(
                "its plugin {of_plugin:?} aggregates windows and names none itself: give --window tumbling:10s, or window \
                 = {{ tumbling = \"10s\" }}"
            );
            Err(Error::missing(at("window"), cure))
        }
        (Role::Aggregate, None) => {
            let wrong = |why: String| {
                let named = &description.window;
                let reason = format!(
                    "plugin {of_plugin:?} names the windows {named:?}, and {why}: give others, as in --window tumbling:10s"
                );
                Error::invalid(at("plugin"), reason)
            };
            let window: WindowSpec = description.window.parse().map_err(|error| wrong(format!("{error}")))?;
            Ok(Some(window))
        }
    }
}
