//! What a plugin says of itself.

use serde::Serialize;

use crate::state::{
    BroadcastTable, CellTable, ListTable, MapKey, MapTable, Number, ReducingTable, StateValue, ValueTable,
};

/// What a plugin says of itself; the host reads it before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Description {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) inputs: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) broadcast: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) outputs: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tables: Vec<Table>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) window: &'static str,
    pub(crate) origin: bool,
    pub(crate) routes: bool,
}

/// One keyed table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) kind: TableKind,
    pub(crate) schema: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) prefetch: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<Ttl>,
}

/// How long what is written in a table stays. Until then it is there, from then on it is not; when it leaves the disk is for
/// the host to say. Writing a value anew, or an entry of a map, begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ttl {
    /// Until event time has gone on by so many milliseconds; at least one.
    Event(u64),
    /// Until the clock on the wall has gone on by so many milliseconds; at least one.
    Processing(u64),
}

impl Table {
    /// Whether its values come with a batch.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.kind == TableKind::Value || self.prefetch
    }
}

/// What a table holds for each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TableKind {
    Value,
    Reducing,
    List,
    Map,
    Broadcast,
    Timer,
    ProcessingTimer,
    Window,
}

/// What [`Description::table`] takes: [`ValueTable`], [`ReducingTable`], [`ListTable`], [`MapTable`], [`BroadcastTable`], and
/// what is built of them ([`crate::join`]).
pub trait Declare {
    /// Adds the table to `description`.
    fn declare(self, description: &mut Description);
}

impl<T: StateValue> Declare for ValueTable<T> {
    fn declare(self, description: &mut Description) {
        description.push(self.name(), TableKind::Value, self.schema());
    }
}

impl<T: Number> Declare for ReducingTable<T> {
    fn declare(self, description: &mut Description) {
        let (name, schema, prefetch) = (self.name(), self.schema(), self.is_prefetched());
        description.tables.push(Table { name, kind: TableKind::Reducing, schema, prefetch, ttl: None });
    }
}

impl<T: StateValue> Declare for ListTable<T> {
    fn declare(self, description: &mut Description) {
        description.push(self.name(), TableKind::List, self.schema());
    }
}

impl<K: MapKey, V: StateValue> Declare for MapTable<K, V> {
    fn declare(self, description: &mut Description) {
        description.push(self.name(), TableKind::Map, self.schema());
    }
}

impl<K: MapKey, V: StateValue> Declare for BroadcastTable<K, V> {
    fn declare(self, description: &mut Description) {
        description.push(self.name(), TableKind::Broadcast, self.schema());
    }
}

impl Description {
    /// A plugin with one input, one output and no state. `env!("CARGO_PKG_NAME")` and `env!("CARGO_PKG_VERSION")` are
    /// the usual arguments.
    pub fn new(name: &'static str, version: &'static str) -> Self {
        let (inputs, broadcast, outputs, tables) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { name, version, inputs, broadcast, outputs, tables, window: "", origin: false, routes: false }
    }

    /// Adds a table.
    pub fn table(mut self, table: impl Declare) -> Self {
        table.declare(&mut self);
        self
    }

    /// Adds a table that keeps what is written for so long, unless the pipeline says how long.
    pub fn expiring(mut self, table: impl Declare, ttl: Ttl) -> Self {
        let others = self.tables.len();
        table.declare(&mut self);
        self.tables.iter_mut().skip(others).for_each(|table| table.ttl = Some(ttl));
        self
    }

    pub(crate) fn push(&mut self, name: &'static str, kind: TableKind, schema: String) {
        self.tables.push(Table { name, kind, schema, prefetch: false, ttl: None });
    }

    /// The tables whose values the host hands over with a batch.
    pub(crate) fn value_tables(&self) -> Vec<CellTable> {
        let tables = (0..).zip(&self.tables).filter(|(_, table)| table.is_handed_over());
        tables.map(|(index, table)| CellTable { index, is_set: table.kind == TableKind::Value }).collect()
    }

    /// Names the inputs, in the order of their indexes.
    pub fn inputs(self, names: &[&'static str]) -> Self {
        Self { inputs: names.to_vec(), ..self }
    }

    /// Of the inputs those whose records come to all tasks of the operator, whatever their keys. They are there to change the
    /// tables that all tasks have ([`BroadcastTable`]), and can do nothing else: emit nothing, keep nothing under their keys.
    pub fn broadcast(self, inputs: &[&'static str]) -> Self {
        Self { broadcast: inputs.to_vec(), ..self }
    }

    /// Whether the records of this input come to all tasks.
    pub(crate) fn is_broadcast(&self, input: u32) -> bool {
        self.inputs.get(input as usize).is_some_and(|input| self.broadcast.contains(input))
    }

    /// Names the outputs, in the order of their indexes.
    pub fn outputs(self, names: &[&'static str]) -> Self {
        Self { outputs: names.to_vec(), ..self }
    }

    /// Lets the operator set timers ([`crate::Context::set_timer`]). They are kept in a table of the name `timers`.
    pub fn with_timers(mut self) -> Self {
        self.needs_timers();
        self
    }

    /// Lets the operator set timers of processing time ([`crate::Context::set_processing_timer`]). They are kept in a table of
    /// the name `processing-timers`.
    pub fn with_processing_timers(mut self) -> Self {
        self.push("processing-timers", TableKind::ProcessingTimer, String::new());
        self
    }

    /// Adds their table, unless it is there: blocks need it, and so may the operator itself.
    pub(crate) fn needs_timers(&mut self) {
        if self.tables.iter().all(|table| table.kind != TableKind::Timer) {
            self.push("timers", TableKind::Timer, String::new());
        }
    }

    /// The windows of an [`crate::Aggregate`] where the pipeline names none, as in `tumbling:10s`.
    pub fn window(self, window: &'static str) -> Self {
        Self { window, ..self }
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
