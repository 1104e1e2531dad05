//! Topics of dead letters: of each operator that has one, a sink that no description names. It reads an output that the host adds
//! to the operator, and is checked, opened, committed and shown as any other sink.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_connector::{Error, Found, PlannedSink, Registry, Side, Written};
use weir_core::ports::DEAD_LETTER;

use crate::inputs::Partition;
use crate::plan::{Input, SinkPlan};
use crate::spec::{OnErrorSpec, Spec};

/// The topics of dead letters of a description, in order of their operators' names.
pub(crate) struct Letters<'a> {
    pub(crate) all: Vec<Letter<'a>>,
    /// Whether each that is described is there.
    pub(crate) is_whole: bool,
}

/// Where the dead letters of an operator go.
pub(crate) struct Letter<'a> {
    pub(crate) operator: &'a str,
    pub(crate) written: Written,
}

impl<'a> Letters<'a> {
    /// Reads them; what is no topic is noted.
    pub(crate) fn of(spec: &'a Spec, registry: Registry, found: &mut Found) -> Self {
        let topics = spec.operators.iter().filter_map(|(operator, spec)| match &spec.on_error {
            Some(OnErrorSpec::DeadLetter(topic)) => Some((operator, topic)),
            None | Some(OnErrorSpec::Fail | OnErrorSpec::Skip) => None,
        });
        let topics: Vec<(&String, &String)> = topics.collect();
        let letters = topics.iter().filter_map(|(operator, topic)| {
            let written = found.keep(written(&at(operator), topic, registry))?;
            Some(Letter { operator, written })
        });
        let all: Vec<Letter<'a>> = letters.collect();
        Self { is_whole: all.len() == topics.len(), all }
    }

    /// The sinks, as far as their connector has `planned` them.
    pub(crate) fn sinks(&self, planned: &BTreeMap<&str, Arc<dyn PlannedSink>>) -> Vec<SinkPlan> {
        let sink = |letter: &Letter<'_>| {
            let operator = letter.operator;
            let (node, output) = (operator.to_owned(), Some(DEAD_LETTER.to_owned()));
            let input = Input { node, output, port: None, partition: Partition::default() };
            // A name with a dot is no name that a description can give.
            let name = format!("{operator}.{DEAD_LETTER}");
            Some(SinkPlan { name, inputs: vec![input], writes: Arc::clone(planned.get(operator)?) })
        };
        self.all.iter().filter_map(sink).collect()
    }
}

impl Letter<'_> {
    /// Where a description says it.
    pub(crate) fn at(&self) -> String {
        at(self.operator)
    }
}

fn at(operator: &str) -> String {
    format!("operators.{operator}.on-error")
}

/// Dead letters are committed with everything else, or they would be lost or come twice.
fn written(at: &str, topic: &str, registry: Registry) -> Result<Written, Error> {
    let written = registry.address(Side::Sink, topic).map_err(|error| Error::invalid(at, error.to_string()))?;
    if written.connector.transactional {
        return Ok(written);
    }
    let ends = registry.transactional();
    Err(Error::invalid(
        at,
        format!("dead letters go to {ends}, in the transaction of all output; {topic:?} is no topic there"),
    ))
}
