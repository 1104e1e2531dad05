//! Names of nodes, and what they lead to: whether each is one that a node can have, who reads whom, and in which order
//! records pass the operators.

use std::collections::{BTreeMap, BTreeSet};

use weir_connector::{Error, Found, closest};
use weir_plan::order::{self, Circle};

use crate::inputs::InputSpec;
use crate::plan::Input;
use crate::spec::Spec;

/// What each operator and sink reads.
#[derive(Debug, Default)]
pub(crate) struct Reads<'a> {
    /// By operator, each after all that it reads.
    pub operators: Vec<(&'a str, Vec<Input>)>,
    /// By sink.
    pub sinks: Vec<(&'a str, Vec<Input>)>,
}

/// Checks every name of `spec` and everything that is read by name.
pub(crate) fn resolve<'a>(spec: &'a Spec, found: &mut Found) -> Reads<'a> {
    check_names(spec, found);
    if spec.sources.is_empty() {
        found.add(Error::missing("[sources.NAME]", "describe where records come from"));
    }
    if spec.sinks.is_empty() {
        found.add(Error::missing("[sinks.NAME]", "describe where records go"));
    }
    let operators = spec.operators.iter().map(|(name, operator)| {
        let inputs = operator.inputs.0.iter().cloned();
        (name.as_str(), inputs_of(spec, &format!("operators.{name}.inputs"), inputs, found))
    });
    let operators: BTreeMap<&str, Vec<Input>> = operators.collect();
    let sinks = spec.sinks.iter().map(|(name, sink)| {
        let inputs = sink.inputs.iter().map(|name| InputSpec::named(name.clone()));
        (name.as_str(), inputs_of(spec, &format!("sinks.{name}.inputs"), inputs, found))
    });
    let sinks: Vec<(&str, Vec<Input>)> = sinks.collect();
    check_read(spec, operators.values().chain(sinks.iter().map(|(_, inputs)| inputs)), found);
    Reads { operators: sorted(operators, found), sinks }
}

fn check_names(spec: &Spec, found: &mut Found) {
    let sections = [
        ("sources", spec.sources.keys().collect::<Vec<_>>()),
        ("operators", spec.operators.keys().collect()),
        ("sinks", spec.sinks.keys().collect()),
    ];
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (section, names) in sections {
        for name in names {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
                found.add(Error::invalid(format!("{section}.{name:?}"), "a name has the characters a-z A-Z 0-9 _ -"));
            }
            if let Some(other) = taken.insert(name, section) {
                let reason = "every source, operator and sink needs a name of its own";
                found.add(Error::conflict(format!("{section}.{name}"), format!("{other}.{name}"), reason));
            }
        }
    }
}

fn inputs_of(spec: &Spec, at: &str, inputs: impl Iterator<Item = InputSpec>, found: &mut Found) -> Vec<Input> {
    let before = found.count();
    let resolved: Vec<Input> = inputs.filter_map(|read| found.keep(input(spec, at, read))).collect();
    if resolved.is_empty() && found.count() == before {
        let cure = "name the source or the operator that it reads, as in inputs = [\"clicks\"]";
        found.add(Error::missing(at, cure));
    }
    resolved
}

fn input(spec: &Spec, at: &str, InputSpec { port, name, partition }: InputSpec) -> Result<Input, Error> {
    let (node, output) = match name.split_once('.') {
        Some((node, output)) => (node, Some(output)),
        None => (name.as_str(), None),
    };
    if let (true, Some(_)) = (spec.sources.contains_key(node), output) {
        return Err(Error::invalid(at, format!("{name:?}: a source has no side outputs; name it {node:?}")));
    }
    if spec.sources.contains_key(node) || spec.operators.contains_key(node) {
        return Ok(Input { node: node.to_owned(), output: output.map(str::to_owned), port, partition });
    }
    if spec.sinks.contains_key(node) {
        return Err(Error::invalid(at, format!("{node:?} is a sink, and nothing comes out of it; read what it reads")));
    }
    let close = closest(node, spec.sources.keys().chain(spec.operators.keys()).map(String::as_str));
    Err(Error::Unknown { at: at.to_owned(), kind: "source or operator", name: node.to_owned(), close })
}

/// What is made or read and goes nowhere is a mistake. Of an operator with some output that is read, only its plugin tells
/// which are not.
fn check_read<'i>(spec: &Spec, inputs: impl Iterator<Item = &'i Vec<Input>>, found: &mut Found) {
    let mut read: BTreeSet<&str> = inputs.flatten().map(|input| input.node.as_str()).collect();
    // What a misspelt name most likely means is read.
    let meant = found.all().iter().filter_map(|error| match error {
        Error::Unknown { close, .. } => close.clone(),
        _ => None,
    });
    let meant: Vec<String> = meant.collect();
    read.extend(meant.iter().map(String::as_str));
    let nodes = spec.sources.keys().map(|name| ("sources", name, "it"));
    let nodes = nodes.chain(spec.operators.keys().map(|name| ("operators", name, "its output")));
    for (section, name, what) in nodes.filter(|(_, name, _)| !read.contains(name.as_str())) {
        let reason = format!("nothing reads {what}; name it in the inputs of an operator or a sink");
        found.add(Error::invalid(format!("{section}.{name}"), reason));
    }
}

/// The operators, each after all that it reads. Every circle is a mistake.
fn sorted<'a>(mut operators: BTreeMap<&'a str, Vec<Input>>, found: &mut Found) -> Vec<(&'a str, Vec<Input>)> {
    let names: Vec<&str> = operators.keys().copied().collect();
    let number = |name: &str| names.binary_search(&name).ok();
    let edges = operators.iter().flat_map(|(to, inputs)| inputs.iter().map(|input| (input.node.as_str(), *to)));
    let mut edges: Vec<(usize, usize)> = edges.filter_map(|(from, to)| number(from).zip(number(to))).collect();
    loop {
        match order::sort(names.len(), &edges) {
            Ok(order) => {
                let named = order.into_iter().filter_map(|number| names.get(number));
                return named.filter_map(|name| operators.remove_entry(name)).collect();
            }
            Err(Circle(circle)) => {
                let mut around: Vec<&str> = circle.iter().filter_map(|number| names.get(*number)).copied().collect();
                around.extend(around.first().copied());
                let first = around.first().copied().unwrap_or_default();
                let reason = format!("records would go round in a circle: {}", around.join(" -> "));
                found.add(Error::invalid(format!("operators.{first}.inputs"), reason));
                edges.retain(|(from, to)| !(circle.contains(from) && circle.contains(to)));
            }
        }
    }
}
