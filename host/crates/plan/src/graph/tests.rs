//! What is no graph, and that one is the same after a round trip.

use super::*;

fn operator(inputs: &[&str], outputs: &[&str]) -> OperatorNode {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let (inputs, outputs) = (names(inputs), names(outputs));
    OperatorNode { parallelism: 1, key: KeySpec::Key, stateful: true, inputs, outputs }
}

/// `in` → `words` (outputs good, rejected) → `out`
fn nodes() -> Vec<Node> {
    vec![Node::source("in"), Node::operator("words", operator(&[], &["good", "rejected"])), Node::sink("out")]
}

fn edge(from: (usize, u32), to: (usize, u32)) -> Edge {
    Edge::new((NodeId(from.0), from.1), (NodeId(to.0), to.1), Ship::Forward)
}

fn edges() -> Vec<Edge> {
    vec![edge((0, 0), (1, 0)), edge((1, 1), (2, 0))]
}

#[test]
fn what_is_no_graph_is_refused() {
    let check = |nodes: Vec<Node>, edges: Vec<Edge>, wanted: &str| {
        assert_eq!(Graph::new(nodes, edges).map_err(|error| error.to_string()), Err(wanted.to_owned()));
    };
    let and = |mut nodes: Vec<Node>, node: Node| {
        nodes.push(node);
        nodes
    };
    let with = |more: Edge| edges().into_iter().chain([more]).collect::<Vec<_>>();
    let many = |parallelism| OperatorNode { parallelism, ..operator(&[], &[]) };
    check(and(nodes(), Node::sink("words")), edges(), "two nodes are named \"words\"");
    check(and(nodes(), Node::operator("none", many(0))), edges(), "\"none\" cannot have 0 tasks");
    check(and(nodes(), Node::operator("many", many(1025))), edges(), "\"many\" cannot have 1025 tasks");
    check(nodes(), with(edge((1, 2), (2, 0))), "an edge from 1.2 to 2.0 joins what is not there");
    check(nodes(), with(edge((1, 0), (0, 0))), "an edge from 1.0 to 0.0 joins what is not there");
    check(nodes(), with(edge((2, 0), (1, 0))), "an edge from 2.0 to 1.0 joins what is not there");
    check(nodes(), with(edge((0, 0), (9, 0))), "an edge from 0.0 to 9.0 joins what is not there");
    check(nodes(), with(edge((0, 0), (1, 0))), "\"words\" reads one output of \"in\" twice");
    check(and(nodes(), Node::sink("dry")), edges(), "nothing comes into input 0 of \"dry\"");
    check(and(nodes(), Node::source("more")), edges(), "nothing reads the source \"more\"");
    check(
        and(nodes(), Node::operator("wide", many(2))),
        with(edge((0, 0), (3, 0))),
        "\"in\" cannot hand on task by task to \"wide\", which has another number of tasks",
    );
    let in_turns = vec![Edge { ship: Ship::RoundRobin, ..edge((0, 0), (1, 0)) }, edge((1, 1), (2, 0))];
    check(nodes(), in_turns, "\"words\" keeps state by key, and cannot be sent the records of \"in\" in turns");
    check(nodes(), with(edge((1, 0), (1, 0))), "words read each other in a circle");
    let two = and(nodes(), Node::operator("join", operator(&["left", "right"], &[])));
    check(two, with(edge((0, 0), (3, 0))), "nothing comes into input right of \"join\"");
}

#[test]
fn an_output_that_nothing_reads_is_known() {
    let graph = Graph::new(nodes(), edges()).unwrap();
    let unread: Vec<_> = graph.unread().collect();
    assert_eq!(unread, [Port { node: NodeId(1), port: 0 }]);
    assert_eq!(graph.node(NodeId(1)).unwrap().output_name(0), "good");
}

#[test]
fn a_graph_is_written_and_read() {
    let graph = Graph::new(nodes(), edges()).unwrap();
    let text = serde_json::to_string(&graph).unwrap();
    let wanted = concat!(
        r#"{"nodes":[{"name":"in","kind":"source"},"#,
        r#"{"name":"words","kind":"operator","parallelism":1,"key":"key","stateful":true,"outputs":["good","rejected"]},"#,
        r#"{"name":"out","kind":"sink"}],"#,
        r#""edges":[{"from":[0,0],"to":[1,0],"ship":"forward"},{"from":[1,1],"to":[2,0],"ship":"forward"}]}"#,
    );
    assert_eq!(text, wanted);
    assert_eq!(serde_json::from_str::<Graph>(&text).unwrap(), graph);
    let broken = text.replace("[1,1]", "[1,2]");
    let error = serde_json::from_str::<Graph>(&broken).unwrap_err().to_string();
    assert!(error.starts_with("an edge from 1.2 to 2.0 joins what is not there"), "{error}");
}
