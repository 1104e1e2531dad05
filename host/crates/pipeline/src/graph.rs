//! Plan and plugins together: the graph of the job. Only a plugin knows its inputs and outputs, so this is decided once
//! all are loaded, and before anything starts.

use std::collections::BTreeSet;

use weir_connector::{Error, Found, closest};
use weir_core::OnError;
use weir_core::ports::{DEAD_LETTER, LATE, PluginDescription};
use weir_plan::{Edge, Graph, Node, NodeId, OperatorNode, Ship};

use crate::inputs::Partition;
use crate::plan::{Input, OperatorPlan, Plan, SinkPlan};

/// The graph of `plan`: sources, operators and sinks, each in its order there. `plugins` are what the plugins of its
/// operators say of themselves, in the order of the plan; where one says nothing, or something was found wrong before, there is
/// no graph, but what the others have against it is found all the same.
pub fn graph(plan: &Plan, plugins: &[Option<&PluginDescription>], found: &mut Found) -> Option<Graph> {
    let operators: Vec<Described<'_>> = plan.operators.iter().zip(plugins.iter().copied()).collect();
    let sources = plan.sources.iter().map(|source| Node::source(&source.name));
    let nodes = sources
        .chain(operators.iter().map(|described| node(described, plan)))
        .chain(plan.sinks.iter().map(|sink| Node::sink(&sink.name)));
    let nodes: Vec<Node> = nodes.collect();
    let senders = Senders { nodes: &nodes, operators: &operators };
    let mut edges = Vec::new();
    for (operator, plugin) in &operators {
        let at = format!("operators.{}.inputs", operator.name);
        // Where not all that is read is known, neither is what comes into which input.
        let names = plugin.map(|plugin| plugin.inputs.as_slice()).filter(|_| !found.is_wrong(&at));
        let to_all = plugin.map(|plugin| plugin.broadcast_inputs()).unwrap_or_default();
        let ports = Ports { names, to_all, ship: Ship::ByKey(operator.key.clone()) };
        found.keep(check_letters(operator, *plugin));
        if plugin.is_some_and(|plugin| !plugin.tables.is_empty()) {
            check_keyed(&at, &operator.inputs, found);
        }
        edges.extend(senders.edges_into(&operator.name, &at, &operator.inputs, &ports, found));
    }
    for sink in &plan.sinks {
        let at = format!("sinks.{}.inputs", sink.name);
        let ports = Ports { names: Some(&[]), to_all: Vec::new(), ship: Ship::Forward };
        edges.extend(senders.edges_into(&sink.name, &at, &sink.inputs, &ports, found));
        if !found.is_wrong(&at) {
            found.keep(check_routes(sink, &operators));
        }
    }
    let is_whole = found.count() == 0 && plugins.iter().all(Option::is_some);
    if is_whole { found.keep(Graph::new(nodes, edges).map_err(no_graph)) } else { None }
}

/// The host's own output must not be taken for one of the plugin's.
fn check_letters(operator: &OperatorPlan, plugin: Option<&PluginDescription>) -> Result<(), Error> {
    let is_taken = plugin.is_some_and(|plugin| plugin.outputs.iter().any(|output| output == DEAD_LETTER));
    if operator.on_error != OnError::DeadLetter || !is_taken {
        return Ok(());
    }
    let reason =
        format!("its plugin has an output named {DEAD_LETTER:?}, which is the host's own here; use fail or skip");
    Err(Error::invalid(format!("operators.{}.on-error", operator.name), reason))
}

/// State is found by key, by the task that owns the key.
fn check_keyed(at: &str, inputs: &[Input], found: &mut Found) {
    for input in inputs.iter().filter(|input| input.partition == Partition::RoundRobin) {
        let other = format!("partition = \"round-robin\" of {:?}", input.to_string());
        let reason = "its plugin keeps state by key, so each record must come to the task that owns its key; leave \
                      partition out";
        found.add(Error::conflict(at, other, reason));
    }
}

/// Only a plugin that says so routes records: targets that none could name are a mistake.
fn check_routes(sink: &SinkPlan, operators: &[Described<'_>]) -> Result<(), Error> {
    let may_route = |(operator, plugin): &Described<'_>, input: &Input| {
        operator.name == input.node && plugin.is_none_or(|plugin| plugin.routes)
    };
    let routes = |input: &Input| operators.iter().any(|described| may_route(described, input));
    let Some(key) = sink.writes.routes().filter(|_| !sink.inputs.iter().any(routes)) else { return Ok(()) };
    let reason = "no plugin that this sink reads says that it routes records (routes in its description)";
    Err(Error::invalid(format!("sinks.{}.{key}", sink.name), reason))
}

/// An operator, and what its plugin says of itself, where that is known.
type Described<'a> = (&'a OperatorPlan, Option<&'a PluginDescription>);

fn node((operator, plugin): &Described<'_>, plan: &Plan) -> Node {
    let mut outputs = plugin.map(|plugin| plugin.outputs.clone()).unwrap_or_default();
    let inputs = plan.operators.iter().flat_map(|o| &o.inputs).chain(plan.sinks.iter().flat_map(|s| &s.inputs));
    let mut late = inputs.filter(|input| input.node == operator.name && input.output.as_deref() == Some(LATE));
    // Where nobody reads them, late records are dropped where they are found.
    if let Some(plugin) = plugin.filter(|plugin| plugin.is_aggregate() && late.next().is_some()) {
        outputs.resize(plugin.output_count() as usize, String::new());
        outputs.push(LATE.to_owned());
    }
    if let Some(plugin) = plugin.filter(|_| operator.on_error == OnError::DeadLetter) {
        outputs.resize(outputs.len().max(plugin.output_count() as usize), String::new());
        outputs.push(DEAD_LETTER.to_owned());
    }
    let shape = OperatorNode {
        parallelism: operator.parallelism.get(),
        key: operator.key.clone(),
        stateful: plugin.is_some_and(|plugin| !plugin.tables.is_empty()),
        inputs: plugin.map(|plugin| plugin.inputs.clone()).unwrap_or_default(),
        outputs,
    };
    Node::operator(&operator.name, shape)
}

/// What is left for [`Graph`] to refuse.
fn no_graph(error: weir_plan::Error) -> Error {
    Error::invalid("the pipeline", error.to_string())
}

/// Everything that can be read.
struct Senders<'a> {
    nodes: &'a [Node],
    operators: &'a [Described<'a>],
}

/// The inputs of one reader.
struct Ports<'a> {
    /// Its plugin's names for them; empty is one without a name, `None`: nobody knows.
    names: Option<&'a [String]>,
    /// Those that are given to all tasks.
    to_all: Vec<u32>,
    /// How a record gets to others, unless the pipeline says otherwise.
    ship: Ship,
}

impl Senders<'_> {
    /// The edges of everything that `reader` reads.
    fn edges_into(&self, reader: &str, at: &str, inputs: &[Input], ports: &Ports<'_>, found: &mut Found) -> Vec<Edge> {
        let Some(to) = self.number(reader) else { return Vec::new() };
        let before = found.count();
        let numbers = ports.numbers(at, inputs, found);
        let mut seen = BTreeSet::new();
        let mut edges = Vec::new();
        for (input, port) in inputs.iter().zip(&numbers) {
            let from = found.keep(self.output(at, input)).flatten();
            let Some(((from, output), port)) = from.zip(*port) else { continue };
            if seen.insert((from, output, port)) {
                let ship = match input.partition {
                    Partition::Key if ports.to_all.contains(&port) => Ship::Broadcast,
                    Partition::Key => ports.ship.clone(),
                    Partition::RoundRobin => Ship::RoundRobin,
                };
                edges.push(Edge::new((from, output), (to, port), ship));
            } else {
                found.add(Error::invalid(at, format!("{:?} is read twice", input.to_string())));
            }
        }
        if found.count() == before {
            ports.check_all_read(at, &numbers, found);
        }
        edges
    }

    fn number(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId)
    }

    /// The node and the number of the output that `input` names; `None` where nobody knows its outputs.
    fn output(&self, at: &str, input: &Input) -> Result<Option<(NodeId, u32)>, Error> {
        let unknown = || Error::invalid(at, format!("there is no {:?}", input.node));
        let node = self.number(&input.node).ok_or_else(unknown)?;
        let Some(name) = &input.output else { return Ok(Some((node, 0))) };
        let plugin = self.operators.iter().find(|(operator, _)| operator.name == input.node).map(|(_, plugin)| *plugin);
        if plugin == Some(None) {
            return Ok(None);
        }
        let outputs = self.nodes.get(node.0).and_then(Node::as_operator).map_or(&[][..], |node| &node.outputs);
        let number = outputs.iter().position(|output| output == name).and_then(|number| u32::try_from(number).ok());
        let unknown = || Error::invalid(at, unknown_output(&input.node, name, &known_outputs(plugin.flatten())));
        Ok(Some((node, number.ok_or_else(unknown)?)))
    }
}

/// The names of the outputs of an operator with this plugin.
fn known_outputs(plugin: Option<&PluginDescription>) -> Vec<String> {
    let late = plugin.is_some_and(PluginDescription::is_aggregate).then(|| LATE.to_owned());
    plugin.into_iter().flat_map(|plugin| plugin.outputs.iter().cloned()).chain(late).collect()
}

impl Ports<'_> {
    /// For each of `inputs` the number of the reader's input that it comes into, where that is known.
    fn numbers(&self, at: &str, inputs: &[Input], found: &mut Found) -> Vec<Option<u32>> {
        let Some(names) = self.names else { return vec![None; inputs.len()] };
        let listed = inputs.iter().all(|input| input.port.is_none());
        if let (true, several @ 2..) = (listed, names.len()) {
            if several != inputs.len() {
                let table = names.iter().map(|name| format!("{name} = ..")).collect::<Vec<_>>().join(", ");
                let reason = format!(
                    "its plugin has {several} inputs ({}), and {} named here; name one for each, in this order, or \
                     which reads what: inputs = {{ {table} }}",
                    names.join(", "),
                    if inputs.len() == 1 { "one is".to_owned() } else { format!("{} are", inputs.len()) },
                );
                found.add(Error::invalid(at, reason));
                return vec![None; inputs.len()];
            }
            return (0..).take(inputs.len()).map(Some).collect();
        }
        inputs.iter().map(|input| found.keep(number(names, at, input))).collect()
    }

    fn check_all_read(&self, at: &str, read: &[Option<u32>], found: &mut Found) {
        for (name, number) in self.names.into_iter().flatten().zip(0..) {
            if !read.contains(&Some(number)) {
                let reason = format!("nothing comes into the input {name:?} of its plugin; name what it reads");
                found.add(Error::invalid(at, reason));
            }
        }
    }
}

/// The number of the input that `input` comes into, of those with these names.
fn number(names: &[String], at: &str, input: &Input) -> Result<u32, Error> {
    let Some(port) = &input.port else { return Ok(0) };
    let number = names.iter().position(|name| name == port).and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| Error::invalid(format!("{at}.{port}"), unknown_input(port, names)))
}

fn unknown_input(name: &str, known: &[String]) -> String {
    match known {
        [] => format!("its plugin has one input, which has no name: write a list instead of {name:?}"),
        known => format!("its plugin has no input named {name:?}; it has {}", list(name, known)),
    }
}

fn unknown_output(operator: &str, name: &str, known: &[String]) -> String {
    let known = match known {
        [] => format!("its plugin has one output, which has no name: read {operator:?}"),
        [late] if late == LATE => format!("it has {LATE:?}, and one without a name: read {operator:?}"),
        known => format!("its plugin has the outputs {}", list(name, known)),
    };
    format!("operator {operator:?} has no output named {name:?}; {known}")
}

fn list(name: &str, known: &[String]) -> String {
    let all = known.iter().map(|known| format!("{known:?}")).collect::<Vec<_>>().join(", ");
    let close = closest(name, known.iter().map(String::as_str));
    all + &close.map(|close| format!("; did you mean {close:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
