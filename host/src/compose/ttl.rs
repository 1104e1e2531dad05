//! How long an operator keeps what it writes, where the pipeline says so: only its plugin knows the tables.

use weir_core::ports::OperatorFactory;
use weir_pipeline::Error;
use weir_pipeline::plan::OperatorPlan;

/// Whether `operator`, which `plugin` runs, has the tables that its pipeline names, and they are of a kind that can expire.
pub(super) fn check(operator: &OperatorPlan, plugin: &dyn OperatorFactory) -> Result<(), Error> {
    let description = plugin.description();
    for name in operator.ttl.keys() {
        let at = format!("operators.{}.ttl.{name}", operator.name);
        let Some(table) = description.tables.iter().find(|table| table.name == *name) else {
            let names: Vec<_> = description.tables.iter().map(|table| format!("{:?}", table.name)).collect();
            let has = if names.is_empty() { "no table".to_owned() } else { format!("the tables {}", names.join(", ")) };
            return Err(Error::invalid(at, format!("its plugin {:?} has {has}", description.name)));
        };
        if !table.kind.can_expire() {
            return Err(Error::invalid(at, format!("what is in a table of kind {} goes by itself", table.kind)));
        }
    }
    Ok(())
}
