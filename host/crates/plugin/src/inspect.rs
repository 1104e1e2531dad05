//! What `host inspect FILE.wasm` prints.

use std::fmt;
use std::path::{Path, PathBuf};

use weir_core::Digest;
use weir_core::ports::{OperatorFactory, PluginDescription, TableKind};
use weir_core::text::printable_lines;

use crate::artifact::{Artifact, Form};
use crate::engine::Runtime;
use crate::error::Error;
use crate::plugin::Plugin;
use crate::world;

/// All that can be said of a plugin's file.
#[derive(Debug)]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: usize,
    /// Its digest, as the manifest of an epoch names it.
    pub digest: Digest,
    /// `component`, or `core module with WIT`.
    pub form: Form,
    /// Names of what it exports, with versions.
    pub exports: Vec<String>,
    /// Names of what it imports, with versions.
    pub imports: Vec<String>,
    /// What it says of itself, or why this host does not run it.
    pub description: Result<PluginDescription, Error>,
}

/// Looks at a file.
pub fn inspect(path: &Path) -> Result<Inspection, Error> {
    Runtime::new()?.inspect(path)
}

impl Inspection {
    pub(crate) fn new(artifact: &Artifact, plugin: Result<Plugin, Error>) -> Self {
        Self {
            path: artifact.path.clone(),
            size_bytes: artifact.size_bytes,
            digest: artifact.digest.clone(),
            form: artifact.form,
            exports: world::exports(&artifact.component),
            imports: world::imports(&artifact.component),
            description: plugin.map(|plugin| plugin.description().clone()),
        }
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "file", &self.path.display().to_string())?;
        line(f, "form", &self.form.to_string())?;
        line(f, "size", &format!("{} bytes", self.size_bytes))?;
        line(f, "digest", &format!("blake3 {}", self.digest))?;
        lines(f, "exports", &self.exports)?;
        lines(f, "imports", &self.imports)?;
        match &self.description {
            Ok(description) => write_description(f, description),
            Err(refusal) => {
                line(f, "refused", &refusal.to_string())?;
                let causes = std::iter::successors(std::error::Error::source(refusal), |e| e.source());
                causes.into_iter().try_for_each(|cause| line(f, "", &format!("because: {cause}")))
            }
        }
    }
}

fn write_description(f: &mut fmt::Formatter<'_>, description: &PluginDescription) -> fmt::Result {
    line(f, "name", &description.name)?;
    line(f, "version", &description.version)?;
    let named = |names: &[String]| if names.is_empty() { vec!["one, unnamed".to_owned()] } else { names.to_vec() };
    lines(f, "inputs", &named(&description.inputs))?;
    lines(f, "outputs", &named(&description.outputs))?;
    let tables = description.tables.iter().map(|table| {
        let kind = match table.kind {
            TableKind::Value => "value",
        };
        let schema = if table.schema.is_empty() { String::new() } else { format!(", schema {:?}", table.schema) };
        format!("{} ({kind}{schema})", table.name)
    });
    lines(f, "tables", &tables.collect::<Vec<_>>())?;
    line(
        f,
        "wants",
        match (description.origin, description.routes) {
            (true, true) => "weir.origin.* headers; to route by weir.route.*",
            (true, false) => "weir.origin.* headers",
            (false, true) => "to route by weir.route.*",
            (false, false) => "nothing beyond its records",
        },
    )
}

fn lines(f: &mut fmt::Formatter<'_>, label: &str, values: &[String]) -> fmt::Result {
    let Some((first, rest)) = values.split_first() else { return line(f, label, "none") };
    line(f, label, first)?;
    rest.iter().try_for_each(|value| line(f, "", value))
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, value: &str) -> fmt::Result {
    // A plugin's names are of its author, and this is read on a terminal.
    writeln!(f, "{label:<9}{}", printable_lines(value, "         "))
}
