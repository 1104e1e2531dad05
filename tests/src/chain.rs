//! Pipelines whose operators stand one behind the other, as data.

use std::fmt::Write as _;

use anyhow::Result;

use crate::host::plugin;

/// What records go through, one step after the other.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    /// How it is called.
    pub name: &'static str,
    steps: &'static [Step],
}

/// An operator: its plugin, and a line of its table.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    plugin: &'static str,
    line: &'static str,
    is_keyed: bool,
}

/// A step without state, with this line in its table.
pub const fn plain(plugin: &'static str, line: &'static str) -> Step {
    Step { plugin, line, is_keyed: false }
}

/// A step whose state goes by keys.
pub const fn keyed(plugin: &'static str, line: &'static str) -> Step {
    Step { plugin, line, is_keyed: true }
}

impl Chain {
    /// These steps, under a name.
    pub const fn new(name: &'static str, steps: &'static [Step]) -> Self {
        Self { name, steps }
    }

    /// A pipeline from a source with the lines `source` to a sink with the line `sink`. Steps with state have `parallelism` tasks.
    pub fn pipeline(&self, source: &str, parallelism: u32, sink: &str) -> Result<String> {
        let (mut text, mut before) = (format!("[sources.events]\n{source}\n"), "events".to_owned());
        for (number, Step { plugin: name, line, is_keyed }) in self.steps.iter().enumerate() {
            let (step, plugin) = (format!("step-{number}"), plugin(name)?);
            let tasks = if *is_keyed { parallelism } else { 1 };
            writeln!(text, "[operators.{step}]\nplugin = '{plugin}'\ninputs = ['{before}']\n{line}")?;
            writeln!(text, "parallelism = {tasks}")?;
            before = step;
        }
        writeln!(text, "[sinks.out]\ninputs = ['{before}']\n{sink}")?;
        Ok(text)
    }
}
