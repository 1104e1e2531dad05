//! What plugins have against a pipeline, all of it at once and each with its place.

use weir_core::ports::{TableDescription, TableKind};

use super::*;
use crate::samples::CONNECTORS;
use crate::{Mistakes, read, settle, validate};

/// Two sources, an operator with side outputs, one with two inputs.
const TEXT: &str = r#"version = 1
job = "t"
[sources.a]
stdin = {}
[sources.b]
file = { path = "b" }
[operators.words]
plugin = "words.wasm"
inputs = ["a", "b"]
[operators.join]
plugin = "join.wasm"
inputs = { left = "words", right = ["words.bad", "b"] }
parallelism = 2
key = "header:user"
[sinks.good]
inputs = ["join", "words.bad"]
stdout = {}
"#;

fn described(inputs: &[&str], outputs: &[&str]) -> PluginDescription {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    PluginDescription {
        name: "p".into(),
        version: "1".into(),
        inputs: names(inputs),
        broadcast: Vec::new(),
        outputs: names(outputs),
        tables: vec![],
        origin: false,
        routes: false,
        window: String::new(),
    }
}

/// The graph of `text`; `join` and `words` are what the plugins say.
fn made(text: &str, join: &PluginDescription, words: &PluginDescription) -> Result<Graph, Mistakes> {
    let plan = validate(&read(text, CONNECTORS).unwrap(), CONNECTORS).unwrap();
    let names: Vec<&str> = plan.operators.iter().map(|operator| operator.name.as_str()).collect();
    assert_eq!(names, ["words", "join"]);
    all(&plan, &[Some(words), Some(join)])
}

fn all(plan: &Plan, plugins: &[Option<&PluginDescription>]) -> Result<Graph, Mistakes> {
    let mut found = Found::default();
    let graph = graph(plan, plugins, &mut found);
    settle(found, graph, &plan.places)
}

/// A plugin that aggregates.
fn aggregate(outputs: &[&str]) -> PluginDescription {
    let table = TableDescription {
        name: "windows".into(),
        kind: TableKind::Window,
        schema: String::new(),
        prefetch: false,
        ttl: None,
    };
    PluginDescription { tables: vec![table], ..described(&[], outputs) }
}

#[test]
fn late_records_are_an_output_of_windows_where_somebody_reads_them() {
    let join = described(&["left", "right"], &[]);
    for (outputs, names, late) in [(&[][..], &["", "late"][..], "2.1"), (&["a", "b"], &["a", "b", "late"], "2.2")] {
        let graph = made(&TEXT.replace("words.bad", "words.late"), &join, &aggregate(outputs)).unwrap();
        assert_eq!(graph.node(NodeId(2)).unwrap().as_operator().unwrap().outputs, names);
        let readers = graph.edges().iter().filter(|edge| edge.from.to_string() == late);
        assert_eq!(readers.map(|edge| edge.to.node).collect::<Vec<_>>(), [NodeId(3), NodeId(4)]);
    }
    for (outputs, wanted) in [
        (&[][..], "has no output named \"bad\"; it has \"late\", and one without a name: read \"words\""),
        (&["good"], "its plugin has the outputs \"good\", \"late\""),
    ] {
        let said = made(TEXT, &join, &aggregate(outputs)).unwrap_err().to_string();
        assert!(said.contains(wanted), "{said}");
    }
    let said = made(&TEXT.replace("words.bad", "words.late"), &join, &described(&[], &[])).unwrap_err().to_string();
    assert!(said.contains("no output named \"late\""), "{said}");
}

#[test]
fn names_become_numbers() {
    let (join, words) = (described(&["left", "right"], &[]), described(&[], &["good", "bad"]));
    let graph = made(TEXT, &join, &words).unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "words", "join", "good"]);
    let edges: Vec<_> = graph.edges().iter().map(|edge| (edge.from.to_string(), edge.to.to_string())).collect();
    let wanted = [
        ("0.0", "2.0"),
        ("1.0", "2.0"),
        ("2.0", "3.0"),
        ("2.1", "3.1"),
        ("1.0", "3.1"),
        ("3.0", "4.0"),
        ("2.1", "4.0"),
    ];
    assert_eq!(edges, wanted.map(|(from, to)| (from.to_owned(), to.to_owned())));
    assert_eq!(graph.edges()[2].ship, Ship::ByKey("header:user".parse().unwrap()));
    assert_eq!(graph.edges()[5].ship, Ship::Forward);
}

#[test]
fn what_does_not_fit_is_said_of_all_nodes_at_once() {
    let (join, words) = (described(&["left", "wright", "third"], &[]), described(&["a", "b", "c"], &["good", "bat"]));
    let said = made(TEXT, &join, &words).unwrap_err().to_string();
    let wanted = "4 mistakes\n\
        line 9: operators.words.inputs: its plugin has 3 inputs (a, b, c), and 2 are named here; name one for each, in \
        this order, or which reads what: inputs = { a = .., b = .., c = .. }\n\
        line 12: operators.join.inputs.right: its plugin has no input named \"right\"; it has \"left\", \"wright\", \
        \"third\"; did you mean \"wright\"?\n\
        line 12: operators.join.inputs: operator \"words\" has no output named \"bad\"; its plugin has the outputs \
        \"good\", \"bat\"; did you mean \"bat\"?\n\
        line 16: sinks.good.inputs: operator \"words\" has no output named \"bad\"; its plugin has the outputs \
        \"good\", \"bat\"; did you mean \"bat\"?";
    assert_eq!(said, wanted);
}

#[test]
fn every_input_is_read_and_none_twice() {
    let words = described(&[], &["good", "bad"]);
    let check = |text: &str, join: &PluginDescription, wanted: &str| {
        let said = made(text, join, &words).unwrap_err().to_string();
        assert!(said.contains(wanted), "{said}\n  should say: {wanted}");
    };
    let three = described(&["left", "right", "third"], &[]);
    check(TEXT, &three, "line 12: operators.join.inputs: nothing comes into the input \"third\" of its plugin");
    check(TEXT, &described(&[], &[]), "its plugin has one input, which has no name: write a list instead of \"left\"");
    let twice = TEXT.replace("[\"a\", \"b\"]", "[\"a\", \"b\", \"a\"]");
    check(&twice, &described(&["left", "right"], &[]), "line 9: operators.words.inputs: \"a\" is read twice");
    let twice = TEXT.replace("right = [\"words.bad\", \"b\"]", "right = [\"words.bad\", \"b\", \"words.bad\"]");
    check(&twice, &described(&["left", "right"], &[]), "\"words.bad\" is read twice");
}

#[test]
fn only_a_plugin_that_says_so_routes() {
    let text = "version = 1\n[kafka]\nbrokers = \"b:1\"\n[sources.a]\nkafka = { topic = \"t\" }\n[operators.o]\nplugin = \"o.wasm\"\n\
        inputs = [\"a\"]\n[sinks.s]\ninputs = [\"o\"]\nkafka = { topic = \"u\", routes = [\"v\", \"w\"] }\n";
    let plan = validate(&read(text, CONNECTORS).unwrap(), CONNECTORS).unwrap();
    assert_eq!(plan.sinks[0].writes.words(), "kafka u, or by its records v, w");
    let silent = described(&[], &[]);
    let said = all(&plan, &[Some(&silent)]).unwrap_err().to_string();
    assert!(said.starts_with("line 11: sinks.s.kafka.routes: no plugin that this sink reads says"), "{said}");
    assert!(all(&plan, &[Some(&PluginDescription { routes: true, ..silent })]).is_ok());
    // Whoever cannot be asked may be the one that routes.
    let mut found = Found::default();
    assert!(graph(&plan, &[None], &mut found).is_none() && found.count() == 0, "{found:?}");
}

#[test]
fn only_what_keeps_no_state_is_sent_records_in_turns() {
    let text = TEXT.replace("[\"a\", \"b\"]", "[{ from = \"a\", partition = \"round-robin\" }, \"b\"]");
    let (join, words) = (described(&["left", "right"], &[]), described(&[], &["good", "bad"]));
    let graph = made(&text, &join, &words).unwrap();
    let ships: Vec<&Ship> = graph.edges().iter().take(2).map(|edge| &edge.ship).collect();
    assert_eq!(ships, [&Ship::RoundRobin, &Ship::ByKey("key".parse().unwrap())]);
    let tables = serde_json::from_str(r#"[{"name": "t", "kind": "value"}]"#).unwrap();
    let said = made(&text, &join, &PluginDescription { tables, ..words }).unwrap_err().to_string();
    let wanted = "line 9: operators.words.inputs conflicts with partition = \"round-robin\" of \"a\": its plugin keeps state by \
                  key, so each record must come to the task that owns its key; leave partition out";
    assert_eq!(said, wanted);
}

#[test]
fn what_a_plugin_calls_broadcast_goes_to_all_of_its_tasks() {
    let words = described(&[], &["good", "bad"]);
    let join = PluginDescription { broadcast: vec!["right".into()], ..described(&["left", "right"], &[]) };
    let graph = made(TEXT, &join, &words).unwrap();
    let into = graph.edges_into(graph.find("join").unwrap());
    let ships: Vec<_> = into.map(|edge| (edge.to.port, &edge.ship)).collect();
    assert_eq!(
        ships,
        [(0, &Ship::ByKey("header:user".parse().unwrap())), (1, &Ship::Broadcast), (1, &Ship::Broadcast)]
    );
}

#[test]
fn a_plugin_that_says_nothing_hides_nothing() {
    let text = TEXT.replace("right = [\"words.bad\", \"b\"]", "right = [\"words.bed\", \"b\"], up = \"a\"");
    let plan = validate(&read(&text, CONNECTORS).unwrap(), CONNECTORS).unwrap();
    let said = |words: Option<&PluginDescription>, join: Option<&PluginDescription>| {
        let mut found = Found::default();
        assert!(graph(&plan, &[words, join], &mut found).is_none());
        found.all().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let (join, words) = (described(&["left", "right"], &[]), described(&[], &["good", "bad"]));
    let (bed, up) = ("operator \"words\" has no output named \"bed\"", "its plugin has no input named \"up\"");
    let check = |said: &[String], wanted: &[&str]| {
        assert!(
            said.len() == wanted.len() && said.iter().zip(wanted).all(|(said, wanted)| said.contains(wanted)),
            "{said:?}"
        );
    };
    check(&said(Some(&words), Some(&join)), &[up, bed]);
    check(&said(Some(&words), None), &[bed]);
    check(&said(None, Some(&join)), &[up]);
    check(&said(None, None), &[]);
    // What comes out of an operator that nobody knows comes into something all the same.
    let plan = validate(&read(TEXT, CONNECTORS).unwrap(), CONNECTORS).unwrap();
    let mut found = Found::default();
    assert!(graph(&plan, &[None, Some(&join)], &mut found).is_none() && found.count() == 0, "{found:?}");
}
