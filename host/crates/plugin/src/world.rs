//! The world a plugin must fit in: which exports the host looks for, which imports it grants.
//!
//! Names match along a version's compatible track, as wasmtime's linker does it: 0.1.3 fits 0.1.0, 0.2.0 does not.
//! Extra exports are tolerated; an import that brings only types needs no grant.

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex};
use weir_core::ports::Role;

use crate::artifact::Artifact;
use crate::error::Error;

/// The package and the version that this host runs.
pub(crate) const CONTRACT: &str = "weir:operator@0.1.0";
/// Imported: where records go.
pub(crate) const OUTPUT: &str = "weir:operator/output@0.1.0";
/// Imported: words for people.
pub(crate) const LOG: &str = "weir:operator/log@0.1.0";
/// Imported: lists and maps.
pub(crate) const STATE: &str = "weir:operator/state@0.1.0";
/// Imported: what time it is.
pub(crate) const CONTEXT: &str = "weir:operator/context@0.1.0";
/// Imported, types only.
const TYPES: &str = "weir:operator/types@0.1.0";
/// Exported: what the plugin says of itself.
const PLUGIN: &str = "weir:operator/plugin@0.1.0";
/// Exported: the operator.
const OPERATOR: &str = "weir:operator/operator@0.1.0";
/// Exported beside it, if the plugin has timers: what they do.
const TIMERS: &str = "weir:operator/timers@0.1.0";
/// Exported: when records were made, for a source.
const TIMESTAMPS: &str = "weir:operator/timestamps@0.1.0";
/// Exported: what folds the records of windows.
const AGGREGATE: &str = "weir:operator/aggregate@0.1.0";

/// What to do about a plugin that wants WASI.
pub(crate) const WASI_CURE: &str = "this host grants nothing of WASI; build for wasm32-unknown-unknown, or stub WASI \
                                    out (option --stub-wasi of componentize-py and componentize-qjs, or an adapter)";
const OTHER_CURE: &str =
    "this host grants output, state, context and log of weir:operator; remove the import from the plugin";
/// All that is granted.
const GRANTED: [&str; 5] = [OUTPUT, STATE, CONTEXT, LOG, TYPES];

/// The functions that the host calls.
#[derive(Clone, Copy)]
pub(crate) struct Exports {
    pub(crate) describe: ComponentExportIndex,
    pub(crate) open: ComponentExportIndex,
    pub(crate) calls: Calls<ComponentExportIndex, ComponentExportIndex>,
}

/// What the interface of a plugin's role is called by, once it is open.
#[derive(Clone, Copy)]
pub(crate) enum Calls<Batch, Due> {
    /// `operator.process`, and `timers.on-timers` where the plugin exports it.
    Operator(Batch, Option<Due>),
    /// The functions of `aggregate`: `fold` is called as `process` is, `merge` as `finish`.
    Aggregate {
        /// Records into accumulators.
        fold: Batch,
        /// Accumulators into accumulators.
        merge: Due,
        /// Accumulators into records.
        finish: Due,
    },
}

impl<Batch, Due> Calls<Batch, Due> {
    /// Whose they are.
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Operator(..) => Role::Operator,
            Self::Aggregate { .. } => Role::Aggregate,
        }
    }

    /// Whether there is something to call for timers.
    pub(crate) fn has_timers(&self) -> bool {
        matches!(self, Self::Operator(_, Some(_)))
    }
}

/// Finds the exports and refuses an import that is not granted.
pub(crate) fn check(artifact: &Artifact) -> Result<Exports, Error> {
    let plugin = interface(artifact, PLUGIN)?;
    let describe = function(artifact, PLUGIN, &plugin, "describe")?;
    let has = |interface| artifact.component.get_export_index(None, interface).is_some();
    if has(OPERATOR) && has(AGGREGATE) {
        return Err(Error::Roles { path: artifact.path.clone() });
    }
    let name = if has(AGGREGATE) { AGGREGATE } else { OPERATOR };
    let role = interface(artifact, name)?;
    check_imports(artifact)?;
    let find = |function_name| function(artifact, name, &role, function_name);
    let open = find("open")?;
    let calls = match name {
        AGGREGATE => Calls::Aggregate { fold: find("fold")?, merge: find("merge")?, finish: find("finish")? },
        _ => Calls::Operator(find("process")?, on_timers(artifact)?),
    };
    Ok(Exports { describe, open, calls })
}

/// Finds the function that says when records were made, and refuses an import that is not granted.
pub(crate) fn timestamps(artifact: &Artifact) -> Result<ComponentExportIndex, Error> {
    if artifact.component.get_export_index(None, TIMESTAMPS).is_none() {
        let names = exports(&artifact.component);
        let path = artifact.path.clone();
        return match names.iter().find(|name| base(name) == base(TIMESTAMPS)) {
            Some(found) => Err(version(artifact, TIMESTAMPS, found)),
            None => Err(Error::Untimed { path, found: names.join(", ") }),
        };
    }
    let timestamps = interface(artifact, TIMESTAMPS)?;
    check_imports(artifact)?;
    function(artifact, TIMESTAMPS, &timestamps, "timestamps")
}

fn on_timers(artifact: &Artifact) -> Result<Option<ComponentExportIndex>, Error> {
    let Some(timers) = artifact.component.get_export_index(None, TIMERS) else { return Ok(None) };
    function(artifact, TIMERS, &timers, "on-timers").map(Some)
}

/// Names of what a component imports.
pub(crate) fn imports(component: &Component) -> Vec<String> {
    component.component_type().imports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

/// Names of what a component exports.
pub(crate) fn exports(component: &Component) -> Vec<String> {
    component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

fn interface(artifact: &Artifact, wanted: &'static str) -> Result<ComponentExportIndex, Error> {
    if let Some(index) = artifact.component.get_export_index(None, wanted) {
        return Ok(index);
    }
    let names = exports(&artifact.component);
    match names.iter().find(|name| base(name) == base(wanted)) {
        Some(found) => Err(version(artifact, wanted, found)),
        None => Err(missing(artifact, wanted.to_owned(), &names)),
    }
}

fn function(
    artifact: &Artifact,
    interface: &str,
    index: &ComponentExportIndex,
    name: &str,
) -> Result<ComponentExportIndex, Error> {
    artifact
        .component
        .get_export_index(Some(index), name)
        .ok_or_else(|| missing(artifact, format!("function {name} of {interface}"), &exports(&artifact.component)))
}

fn check_imports(artifact: &Artifact) -> Result<(), Error> {
    let engine = artifact.component.engine();
    for (name, import) in artifact.component.component_type().imports(engine) {
        if GRANTED.iter().any(|granted| fits(name, granted)) || brings_only_types(&import.ty, engine) {
            continue;
        }
        if let Some(wanted) = GRANTED.iter().find(|granted| base(name) == base(granted)) {
            return Err(version(artifact, wanted, name));
        }
        let cure = if name.starts_with("wasi:") { WASI_CURE } else { OTHER_CURE };
        return Err(Error::Import { path: artifact.path.clone(), name: name.to_owned(), cure });
    }
    Ok(())
}

fn brings_only_types(item: &ComponentItem, engine: &Engine) -> bool {
    match item {
        ComponentItem::Type(_) => true,
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)))
        }
        _ => false,
    }
}

/// The name without its version.
fn base(name: &str) -> &str {
    name.split_once('@').map_or(name, |(base, _)| base)
}

/// True when `name` is on the compatible track of `granted`, whose version is 0.MINOR.0.
fn fits(name: &str, granted: &str) -> bool {
    let track = granted.strip_suffix('0').unwrap_or(granted);
    name == granted || name.strip_prefix(track).is_some_and(|patch| patch.bytes().all(|b| b.is_ascii_digit()))
}

fn version(artifact: &Artifact, wanted: &str, found: &str) -> Error {
    Error::Version { path: artifact.path.clone(), wanted: wanted.to_owned(), found: found.to_owned() }
}

fn missing(artifact: &Artifact, wanted: String, names: &[String]) -> Error {
    let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    Error::Missing { path: artifact.path.clone(), wanted, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_fits_and_nothing_else() {
        for (name, expected) in [
            ("weir:operator/log@0.1.0", true),
            ("weir:operator/log@0.1.12", true),
            ("weir:operator/log@0.2.0", false),
            ("weir:operator/log@0.1.0-rc.1", false),
            ("weir:operator/log", false),
            ("weir:operator/logs@0.1.0", false),
        ] {
            assert_eq!(fits(name, LOG), expected, "{name}");
        }
    }
}
