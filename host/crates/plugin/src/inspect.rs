//! What `host inspect FILE.wasm` prints: one description, as JSON or as text made from it.

use std::fmt;

use serde::Serialize;
use weir_core::Digest;
use weir_core::ports::{OperatorFactory as _, PluginDescription};
use weir_core::text::printable_lines;

use crate::artifact::{Artifact, Form};
use crate::error::Error;
use crate::plugin::Plugin;
use crate::world;

/// All that can be said of a plugin's file.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The file.
    pub file: String,
    /// What it holds.
    pub form: Form,
    /// Its size.
    pub size_bytes: usize,
    /// Its digest (BLAKE3), as the manifest of an epoch names it.
    pub digest: Digest,
    /// Names of what it exports, with versions.
    pub exports: Vec<String>,
    /// Names of what it imports, with versions.
    pub imports: Vec<String>,
    /// What it says of itself, if this host runs it.
    pub plugin: Option<PluginDescription>,
    /// Whether a source may ask it when records were made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub timestamps: bool,
    /// Why this host does not run it.
    pub refused: Option<Refusal>,
}

/// Why a plugin is not run.
#[derive(Debug, Serialize)]
pub struct Refusal {
    /// What is wrong, and what to do.
    pub error: String,
    /// What lies behind it, outermost first.
    pub causes: Vec<String>,
}

impl Inspection {
    pub(crate) fn new(artifact: &Artifact, plugin: Result<Plugin, Error>, timestamps: bool) -> Self {
        let (plugin, refused) = match plugin {
            Ok(plugin) => (Some(plugin.description().clone()), None),
            // It is for sources alone.
            Err(Error::Missing { .. }) if timestamps => (None, None),
            Err(error) => (None, Some(Refusal::new(&error))),
        };
        Self {
            file: artifact.path.display().to_string(),
            form: artifact.form,
            size_bytes: artifact.size_bytes,
            digest: artifact.digest.clone(),
            exports: world::exports(&artifact.component),
            imports: world::imports(&artifact.component),
            plugin,
            timestamps,
            refused,
        }
    }
}

impl Refusal {
    fn new(error: &Error) -> Self {
        let causes = std::iter::successors(std::error::Error::source(error), |e| e.source());
        Self { error: error.to_string(), causes: causes.map(ToString::to_string).collect() }
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "file", &self.file)?;
        line(f, "form", &self.form.to_string())?;
        line(f, "size", &format!("{} bytes", self.size_bytes))?;
        line(f, "digest", &format!("blake3 {}", self.digest))?;
        lines(f, "exports", &self.exports)?;
        lines(f, "imports", &self.imports)?;
        if let Some(plugin) = &self.plugin {
            write_description(f, plugin)?;
        }
        if self.timestamps {
            line(f, "says", "when records were made, to sources that ask it")?;
        }
        if let Some(refused) = &self.refused {
            line(f, "refused", &refused.error)?;
            refused.causes.iter().try_for_each(|cause| line(f, "", &format!("because: {cause}")))?;
        }
        Ok(())
    }
}

fn write_description(f: &mut fmt::Formatter<'_>, description: &PluginDescription) -> fmt::Result {
    line(f, "name", &description.name)?;
    line(f, "version", &description.version)?;
    let named = |names: &[String]| if names.is_empty() { vec!["one, unnamed".to_owned()] } else { names.to_vec() };
    lines(f, "inputs", &named(&description.inputs))?;
    if !description.broadcast.is_empty() {
        lines(f, "to all", &description.broadcast)?;
    }
    lines(f, "outputs", &named(&description.outputs))?;
    let tables = description.tables.iter().map(|table| {
        let kind = table.kind;
        let schema = if table.schema.is_empty() { String::new() } else { format!(", schema {:?}", table.schema) };
        format!("{} ({kind}{schema})", table.name)
    });
    lines(f, "tables", &tables.collect::<Vec<_>>())?;
    if !description.window.is_empty() {
        line(f, "window", &description.window)?;
    }
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
