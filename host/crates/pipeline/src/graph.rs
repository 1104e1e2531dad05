//! The nodes in the order in which records pass them: one source, one chain of operators, sinks anywhere along it.
//! A file may describe more; what does not run yet is refused by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, closest};
use crate::plan::Input;
use crate::spec::Spec;

/// Names in order, and what each node reads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Graph<'a> {
    /// The source.
    pub source: &'a str,
    /// The chain, with what each operator reads.
    pub operators: Vec<(&'a str, Input)>,
    /// Every sink, with what it reads.
    pub sinks: Vec<(&'a str, Input)>,
}

/// A reference to another node: `node` or `node.side-output`.
struct Reference<'a> {
    node: &'a str,
    output: Option<&'a str>,
}

/// Orders the nodes of `spec`.
pub(crate) fn order(spec: &Spec) -> Result<Graph<'_>, Error> {
    check_names(spec)?;
    let source = only_source(spec)?;
    let reads = operator_inputs(spec)?;
    let mut chain: Vec<&str> = Vec::new();
    let mut operators = Vec::new();
    let mut at = source;
    while let Some((name, input)) = reader_of(at, &reads)? {
        let output = input.output.map(str::to_owned);
        operators.push((name, Input { operator: chain.len().checked_sub(1), output }));
        chain.push(name);
        at = name;
    }
    if let Some(name) = reads.keys().find(|name| !chain.contains(name)) {
        let reason = "its inputs lead round in a circle and never to a source";
        return Err(Error::invalid(format!("operators.{name}"), reason));
    }
    let sinks = sink_inputs(spec, &chain)?;
    if let Some(last) =
        chain.last().filter(|_| !sinks.iter().any(|(_, input)| input.operator == chain.len().checked_sub(1)))
    {
        return Err(Error::invalid(
            format!("operators.{last}"),
            "nothing reads its output; name it in a sink's inputs",
        ));
    }
    Ok(Graph { source, operators, sinks })
}

fn check_names(spec: &Spec) -> Result<(), Error> {
    let sections = [
        ("sources", spec.sources.keys().collect::<Vec<_>>()),
        ("operators", spec.operators.keys().collect()),
        ("sinks", spec.sinks.keys().collect()),
    ];
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (section, names) in sections {
        for name in names {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
                return Err(Error::invalid(format!("{section}.{name:?}"), "a name has the characters a-z A-Z 0-9 _ -"));
            }
            if let Some(other) = taken.insert(name, section) {
                let reason = "every source, operator and sink needs a name of its own";
                return Err(Error::conflict(format!("{section}.{name}"), format!("{other}.{name}"), reason));
            }
        }
    }
    Ok(())
}

fn only_source(spec: &Spec) -> Result<&str, Error> {
    let names: Vec<&str> = spec.sources.keys().map(String::as_str).collect();
    match names.as_slice() {
        [] => Err(Error::missing("[sources.NAME]", "describe where records come from")),
        [one] => Ok(one),
        [_, others @ ..] => Err(Error::not_yet(
            format!("a second source ({})", others.join(", ")),
            "one source may read several topics: topics = [..] or pattern",
        )),
    }
}

/// What each operator reads, each name checked.
fn operator_inputs(spec: &Spec) -> Result<BTreeMap<&str, Reference<'_>>, Error> {
    spec.operators
        .iter()
        .map(|(name, operator)| {
            let at = format!("operators.{name}.inputs");
            Ok((name.as_str(), only_input(spec, &at, &operator.inputs)?))
        })
        .collect()
}

fn sink_inputs<'a>(spec: &'a Spec, chain: &[&str]) -> Result<Vec<(&'a str, Input)>, Error> {
    if spec.sinks.is_empty() {
        return Err(Error::missing("[sinks.NAME]", "describe where records go"));
    }
    spec.sinks
        .iter()
        .map(|(name, sink)| {
            let at = format!("sinks.{name}.inputs");
            let input = only_input(spec, &at, &sink.inputs)?;
            let operator = chain.iter().position(|operator| *operator == input.node);
            if operator.is_none() && !chain.is_empty() {
                let what = format!("{at}: a sink that reads the source beside operators");
                return Err(Error::not_yet(what, "let it read an operator, or run it as a job of its own"));
            }
            Ok((name.as_str(), Input { operator, output: input.output.map(str::to_owned) }))
        })
        .collect()
}

fn only_input<'a>(spec: &'a Spec, at: &str, inputs: &'a [String]) -> Result<Reference<'a>, Error> {
    match inputs {
        [] => Err(Error::missing(at, "name the source or the operator that it reads, as in inputs = [\"clicks\"]")),
        [one] => resolve(spec, at, one),
        [_, more @ ..] => {
            for input in inputs {
                resolve(spec, at, input)?;
            }
            Err(Error::not_yet(format!("{at}: a second input ({})", more.join(", ")), "name one input"))
        }
    }
}

fn resolve<'a>(spec: &'a Spec, at: &str, input: &'a str) -> Result<Reference<'a>, Error> {
    let (node, output) = match input.split_once('.') {
        Some((node, output)) => (node, Some(output)),
        None => (input, None),
    };
    if spec.sources.contains_key(node) {
        return match output {
            None => Ok(Reference { node, output }),
            Some(_) => Err(Error::invalid(at, format!("{input:?}: a source has no side outputs; name it {node:?}"))),
        };
    }
    if spec.operators.contains_key(node) {
        return Ok(Reference { node, output });
    }
    let close = closest(node, spec.sources.keys().chain(spec.operators.keys()).map(String::as_str));
    Err(Error::Unknown { at: at.to_owned(), kind: "source or operator", name: node.to_owned(), close })
}

/// The one operator that reads `node`.
fn reader_of<'a, 'r>(
    node: &str,
    reads: &'r BTreeMap<&'a str, Reference<'a>>,
) -> Result<Option<(&'a str, &'r Reference<'a>)>, Error> {
    let readers: Vec<_> = reads.iter().filter(|(_, input)| input.node == node).collect();
    match readers.as_slice() {
        [] => Ok(None),
        [(name, input)] => Ok(Some((name, input))),
        several => {
            let names: BTreeSet<&str> = several.iter().map(|(name, _)| **name).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            let what = format!("a branch ({node} is read by the operators {names})");
            Err(Error::not_yet(what, "let each operator read the one before it; sinks may read any of them"))
        }
    }
}
