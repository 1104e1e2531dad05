//! Which output of a plugin is read by whom. Only the plugin knows which it has, so this is decided once it is loaded.

use std::fmt;

use anyhow::Result;
use weir_core::{Fault, PortError};
use weir_pipeline::closest;
use weir_pipeline::plan::{Input, SinkPlan};
use weir_runtime::{OperatorSetup, SinkSetup, unread_outputs};

/// A sink as its user knows it.
pub(super) fn words_of(sink: &SinkPlan) -> String {
    match &sink.input.output {
        Some(output) => format!("sinks.{} (--to {output}=ADDR)", sink.name),
        None => format!("sinks.{} (--to)", sink.name),
    }
}

/// The number of the output that `input` names; `reader` is who reads it, for people.
pub(super) fn index(input: &Input, operators: &[OperatorSetup], reader: &str) -> Result<u32> {
    let (Some(operator), Some(name)) = (input.operator.and_then(|i| operators.get(i)), &input.output) else {
        return Ok(0);
    };
    let outputs = &operator.factory.description().outputs;
    let index = outputs.iter().position(|output| output == name).and_then(|index| u32::try_from(index).ok());
    Ok(index.ok_or_else(|| PortError::new(Fault::Config, unknown(reader, &operator.name, name, outputs)))?)
}

fn unknown(reader: &str, operator: &str, name: &str, outputs: &[String]) -> String {
    let known = match outputs {
        [] => format!("its plugin has one output, which has no name: read {operator:?}"),
        outputs => {
            let list = outputs.iter().map(|output| format!("{output:?}")).collect::<Vec<_>>().join(", ");
            let close = closest(name, outputs.iter().map(String::as_str));
            let close = close.map(|close| format!("; did you mean {close:?}?")).unwrap_or_default();
            format!("its plugin has the outputs {list}{close}")
        }
    };
    format!("{reader}: operator {operator:?} has no output named {name:?}; {known}")
}

/// An output whose records go nowhere.
#[derive(Debug)]
pub(super) struct Unread {
    /// The operator's name.
    pub operator: String,
    /// The output's name.
    pub output: String,
    is_first: bool,
}

/// Every output that nothing reads.
pub(super) fn unread(operators: &[OperatorSetup], sinks: &[SinkSetup]) -> Vec<Unread> {
    let named = |(index, output): (usize, u32)| {
        let operator = operators.get(index)?;
        let (name, output_name) = (operator.name.clone(), operator.output_name(output));
        Some(Unread { operator: name, output: output_name, is_first: output == 0 })
    };
    unread_outputs(operators, sinks).into_iter().filter_map(named).collect()
}

impl Unread {
    /// The warning where nothing else names the output.
    pub(super) fn named(&self) -> String {
        format!("output {} of {}: {self}", self.output, self.operator)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operator, output, is_first } = self;
        f.write_str("nothing reads this output: its records are dropped; ")?;
        match is_first {
            true => write!(f, "give --to ADDR, or a sink with inputs = [{operator:?}]"),
            false => write!(f, "give --to {output}=ADDR, or a sink with inputs = [\"{operator}.{output}\"]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_output_is_named_with_the_closest_one() {
        let outputs = ["even".to_owned(), "odd".to_owned()];
        let said = unknown("sinks.sink-1 (--to od=ADDR)", "words", "od", &outputs);
        let wanted = "sinks.sink-1 (--to od=ADDR): operator \"words\" has no output named \"od\"; \
                      its plugin has the outputs \"even\", \"odd\"; did you mean \"odd\"?";
        assert_eq!(said, wanted);
        assert!(unknown("sinks.s", "count", "late", &[]).ends_with("which has no name: read \"count\""));
    }
}
