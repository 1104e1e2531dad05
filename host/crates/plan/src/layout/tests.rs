//! Stages of known graphs, and what holds for every graph.

use std::collections::BTreeSet;

use proptest::prelude::*;
use weir_core::KeySpec;
use weir_core::key_group::KEY_GROUPS;

use super::*;
use crate::graph::OperatorNode;

fn operator(parallelism: u16, stateful: bool) -> OperatorNode {
    OperatorNode { parallelism, key: KeySpec::Key, stateful, inputs: vec![], outputs: vec![] }
}

fn by_key((from, to): (usize, usize)) -> Edge {
    Edge::new((NodeId(from), 0), (NodeId(to), 0), Ship::ByKey(KeySpec::Key))
}

fn to_sink((from, to): (usize, usize)) -> Edge {
    Edge::new((NodeId(from), 0), (NodeId(to), 0), Ship::Forward)
}

/// A source, a chain of operators, a sink.
fn chain(operators: &[(u16, bool)]) -> Graph {
    let mut nodes = vec![Node::source("in")];
    nodes.extend(operators.iter().enumerate().map(|(at, (p, s))| Node::operator(format!("o{at}"), operator(*p, *s))));
    nodes.push(Node::sink("out"));
    let last = operators.len();
    let edges = (0..last).map(|at| by_key((at, at + 1))).chain([to_sink((last, last + 1))]);
    Graph::new(nodes, edges.collect()).unwrap()
}

/// `NODES×TASKS` of each stage, with the names of the nodes.
fn shown(graph: &Graph) -> Vec<String> {
    let names = |stage: &Stage| stage.nodes.iter().map(|id| graph.name(*id)).collect::<Vec<_>>().join("+");
    layout(graph).stages.iter().map(|stage| format!("{}×{}", names(stage), stage.parallelism)).collect()
}

#[test]
fn nodes_share_a_thread_where_no_rekey_lies_between() {
    let check = |operators: &[(u16, bool)], wanted: &[&str]| assert_eq!(shown(&chain(operators)), wanted);
    check(&[], &["in×1", "out×1"]);
    check(&[(1, true), (1, true)], &["in+o0+o1×1", "out×1"]);
    check(&[(2, true)], &["in×1", "o0×2", "out×1"]);
    check(&[(1, true), (2, true), (1, true), (1, true)], &["in+o0×1", "o1×2", "o2+o3×1", "out×1"]);
    // Without state it does not matter in which task a record is.
    check(&[(2, true), (2, false)], &["in×1", "o0+o1×2", "out×1"]);
    check(&[(2, false), (2, false), (3, false)], &["in×1", "o0+o1×2", "o2×3", "out×1"]);
    // With state it does, for the plugin before may have changed the key.
    check(&[(2, false), (2, true)], &["in×1", "o0×2", "o1×2", "out×1"]);
}

#[test]
fn who_is_sent_records_in_turns_or_all_of_them_has_tasks_of_its_own() {
    let check = |operators: &[(u16, bool)], wanted: &[&str]| {
        let graph = chain(operators);
        let last = operators.len();
        for ship in [Ship::RoundRobin, Ship::Broadcast] {
            let shipped = |edge: &Edge| if edge.to.node == NodeId(last) { ship.clone() } else { edge.ship.clone() };
            let edges = graph.edges().iter().map(|edge| Edge { ship: shipped(edge), ..edge.clone() }).collect();
            assert_eq!(shown(&Graph::new(graph.nodes().to_vec(), edges).unwrap()), wanted, "{ship:?}");
        }
    };
    check(&[(2, false), (2, false)], &["in×1", "o0×2", "o1×2", "out×1"]);
    check(&[(2, true), (3, false)], &["in×1", "o0×2", "o1×3", "out×1"]);
    // Among one there are no turns.
    check(&[(1, true), (1, false)], &["in+o0+o1×1", "out×1"]);
}

#[test]
fn a_union_is_a_stage_and_a_diamond_is_none() {
    let one = || operator(1, true);
    let nodes = |sources: &[&str], operators: &[&str]| {
        let sources = sources.iter().map(|name| Node::source(*name));
        let operators = operators.iter().map(|name| Node::operator(*name, one()));
        sources.chain(operators).chain([Node::sink("x"), Node::sink("y")]).collect::<Vec<_>>()
    };
    let union = nodes(&["a", "b"], &["count"]);
    let edges = vec![by_key((0, 2)), by_key((1, 2)), to_sink((2, 3)), to_sink((0, 4))];
    let graph = Graph::new(union, edges).unwrap();
    assert_eq!(shown(&graph), ["a×1", "b×1", "count×1", "x+y×1"]);
    let layout = layout(&graph);
    let pairs: Vec<_> = layout.exchanges.iter().map(|e| (e.from, e.to)).collect();
    assert_eq!(pairs, [(0, 2), (0, 3), (1, 2), (2, 3)]);
    let threads: Vec<_> = layout.tasks(&graph).into_iter().map(|task| task.thread).collect();
    assert_eq!(threads, ["weir-source-a", "weir-source-b", "weir-count-0", "weir-sink"]);
    let routes: Vec<_> = layout.routes(&graph, Port { node: NodeId(0), port: 0 }).collect();
    let via = |exchange| Join::Exchange { exchange, ship: Ship::Forward };
    assert_eq!(routes[0], Route { to: Port { node: NodeId(2), port: 0 }, join: &via(0) });
    assert_eq!(routes[1], Route { to: Port { node: NodeId(4), port: 0 }, join: &via(1) });

    let diamond = nodes(&["in"], &["left", "right", "join"]);
    let edges = [(0, 1), (0, 2), (1, 3), (2, 3)].map(by_key).into_iter().chain([to_sink((3, 4)), to_sink((2, 5))]);
    assert_eq!(shown(&Graph::new(diamond, edges.collect()).unwrap()), ["in+left+right+join×1", "x+y×1"]);
}

/// What is known of an operator before its inputs are: parallelism, whether it has state or else is sent its records in
/// turns, and for each input from where, as a fraction of what is there.
type Drawn = (u16, bool, bool, Vec<f64>);

/// Any graph: every operator reads what comes before it, every sink some node, every unread source the first sink.
pub(crate) fn graphs() -> impl Strategy<Value = Graph> {
    let operator = (1u16..5, any::<bool>(), any::<bool>(), prop::collection::vec(0.0..1.0, 1..4));
    (1usize..4, prop::collection::vec(operator, 0..7), prop::collection::vec(0.0..1.0, 1..4)).prop_map(built)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a small number")]
fn built((sources, operators, sinks): (usize, Vec<Drawn>, Vec<f64>)) -> Graph {
    let mut nodes: Vec<Node> = (0..sources).map(|at| Node::source(format!("s{at}"))).collect();
    let (mut edges, mut in_turns) = (BTreeSet::new(), BTreeSet::new());
    for (at, (parallelism, stateful, turns, reads)) in operators.into_iter().enumerate() {
        in_turns.extend((turns && !stateful).then_some(nodes.len()));
        edges.extend(reads.into_iter().map(|f| ((f * nodes.len() as f64) as usize, nodes.len())));
        nodes.push(Node::operator(format!("o{at}"), operator(parallelism, stateful)));
    }
    let readable = nodes.len();
    for (at, f) in sinks.into_iter().enumerate() {
        edges.insert(((f * readable as f64) as usize, nodes.len()));
        nodes.push(Node::sink(format!("z{at}")));
    }
    let unread: Vec<usize> = (0..sources).filter(|s| edges.iter().all(|(from, _)| from != s)).collect();
    edges.extend(unread.into_iter().map(|source| (source, readable)));
    let edge = |(from, to)| match in_turns.contains(&to) {
        true => Edge { ship: Ship::RoundRobin, ..by_key((from, to)) },
        false if to >= readable => to_sink((from, to)),
        false => by_key((from, to)),
    };
    Graph::new(nodes, edges.into_iter().map(edge).collect()).unwrap()
}

proptest! {
    #[test]
    fn every_node_runs_once_and_as_wide_as_it_is(graph in graphs()) {
        let layout = layout(&graph);
        let mut placed: Vec<NodeId> = layout.stages.iter().flat_map(|stage| stage.nodes.clone()).collect();
        placed.sort_unstable();
        prop_assert_eq!(placed, graph.ids().map(|(id, _)| id).collect::<Vec<_>>());
        for stage in &layout.stages {
            prop_assert!(stage.nodes.iter().all(|id| graph.parallelism(*id) == stage.parallelism));
        }
    }

    #[test]
    fn every_edge_is_fused_or_an_exchange(graph in graphs()) {
        let layout = layout(&graph);
        prop_assert_eq!(layout.joins.len(), graph.edges().len());
        let mut used = BTreeSet::new();
        for (edge, join) in graph.edges().iter().zip(&layout.joins) {
            let ends = (layout.stage_of(edge.from.node).unwrap(), layout.stage_of(edge.to.node).unwrap());
            let tasks = graph.parallelism(edge.to.node);
            match join {
                Join::Fused => {
                    prop_assert_eq!(ends.0, ends.1);
                    let stateful = graph.node(edge.to.node).unwrap().as_operator().unwrap().stateful;
                    prop_assert!(tasks == 1 || !stateful, "state of one key would be in two tasks");
                }
                Join::Exchange { exchange, ship } => {
                    used.insert(*exchange);
                    let exchange = layout.exchanges[*exchange];
                    prop_assert_eq!((exchange.from, exchange.to), ends);
                    let is_sink = graph.node(edge.to.node).unwrap().kind == Kind::Sink;
                    let first = layout.stages[ends.1].head() == Some(edge.to.node);
                    prop_assert!(is_sink || first, "only the first node of a stage reads others");
                    prop_assert_eq!(ship, if tasks == 1 { &Ship::Forward } else { &edge.ship });
                }
            }
        }
        prop_assert_eq!(used.len(), layout.exchanges.len(), "no exchange without an edge");
    }

    #[test]
    fn a_barrier_goes_through_the_stages_in_their_order(graph in graphs()) {
        let layout = layout(&graph);
        prop_assert!(layout.exchanges.iter().all(|exchange| exchange.from < exchange.to));
        for stage in &layout.stages {
            let place = |id: NodeId| stage.nodes.iter().position(|node| *node == id);
            let inside = graph.edges().iter().filter_map(|edge| place(edge.from.node).zip(place(edge.to.node)));
            prop_assert!(inside.into_iter().all(|(from, to)| from < to));
        }
    }

    #[test]
    fn a_stage_begins_where_its_first_node_cannot_join_another(graph in graphs()) {
        let layout = layout(&graph);
        for (at, stage) in layout.stages.iter().enumerate().filter(|(_, stage)| stage.nodes.len() > 1) {
            let sinks = at + 1 == layout.stages.len();
            for node in stage.nodes.iter().skip(1).filter(|_| !sinks) {
                prop_assert!(graph.edges_into(*node).all(|edge| stage.nodes.contains(&edge.from.node)));
            }
        }
        for (at, stage) in layout.stages.iter().enumerate() {
            let head = graph.node(stage.head().unwrap()).unwrap();
            let Some(operator) = head.as_operator() else { continue };
            let mut before: Vec<usize> = layout.exchanges_into(at).map(|exchange| layout.exchanges[exchange].from).collect();
            before.dedup();
            if let [only] = before[..] {
                let other = &layout.stages[only];
                let in_turns = graph.edges_into(stage.head().unwrap()).any(|edge| edge.ship == Ship::RoundRobin);
                let is_spread = (operator.stateful || in_turns) && stage.parallelism > 1;
                prop_assert!(other.parallelism != stage.parallelism || is_spread);
            }
        }
    }

    #[test]
    fn the_tasks_of_a_stage_share_all_key_groups(graph in graphs()) {
        let layout = layout(&graph);
        let tasks = layout.tasks(&graph);
        let threads: BTreeSet<&str> = tasks.iter().map(|task| task.thread.as_str()).collect();
        prop_assert_eq!(threads.len(), tasks.len(), "every thread has a name of its own");
        for (at, stage) in layout.stages.iter().enumerate() {
            let of_stage: Vec<_> = tasks.iter().filter(|task| task.stage == at).collect();
            prop_assert_eq!(of_stage.len(), usize::from(stage.parallelism));
            let groups: Vec<u16> = of_stage.iter().filter_map(|t| t.key_groups).flat_map(|(f, l)| f..=l).collect();
            prop_assert!(groups.is_empty() || groups == (0..KEY_GROUPS).collect::<Vec<_>>());
        }
    }
}
