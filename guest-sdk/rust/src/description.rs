//! What a plugin says of itself.

use serde::Serialize;

use crate::state::{StateValue, ValueTable};

/// What a plugin says of itself; the host reads it before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Description {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) inputs: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) outputs: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tables: Vec<Table>,
    pub(crate) origin: bool,
    pub(crate) routes: bool,
}

/// One keyed table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) schema: String,
}

impl Description {
    /// A plugin with one input, one output and no state. `env!("CARGO_PKG_NAME")` and `env!("CARGO_PKG_VERSION")` are
    /// the usual arguments.
    pub fn new(name: &'static str, version: &'static str) -> Self {
        let (inputs, outputs, tables) = (Vec::new(), Vec::new(), Vec::new());
        Self { name, version, inputs, outputs, tables, origin: false, routes: false }
    }

    /// Adds a table.
    pub fn table<T: StateValue>(mut self, table: ValueTable<T>) -> Self {
        self.tables.push(Table { name: table.name(), kind: "value", schema: table.schema() });
        self
    }

    /// Names the inputs, in the order of their indexes.
    pub fn inputs(self, names: &[&'static str]) -> Self {
        Self { inputs: names.to_vec(), ..self }
    }

    /// Names the outputs, in the order of their indexes.
    pub fn outputs(self, names: &[&'static str]) -> Self {
        Self { outputs: names.to_vec(), ..self }
    }

    /// Asks for the headers `weir.origin.topic`, `weir.origin.partition` and `weir.origin.offset`.
    pub fn with_origin(self) -> Self {
        Self { origin: true, ..self }
    }

    /// Asks to route records by the headers `weir.route.topic` and `weir.route.partition`.
    pub fn with_routes(self) -> Self {
        Self { routes: true, ..self }
    }

    /// How many outputs there are.
    pub(crate) fn output_count(&self) -> usize {
        self.outputs.len().max(1)
    }

    /// As the host reads it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and booleans always serialise")
    }
}
