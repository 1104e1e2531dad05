//! What is refused, message by message, and what the defaults are.

use std::path::Path;
use std::time::Duration;

use weir_core::ports::{PluginDescription, Ttl};
use weir_core::{Delivery, KeySpec, OnError, Start};

use super::validate;
use crate::inputs::Partition;
use crate::plan::{AccessPlan, ApiPlan, Input, Limits, Plan, StateDir};
use crate::samples::CONNECTORS;
use crate::{Found, Mistakes, graph, read, show};

/// A file that is right; the tests change one thing at a time.
const GOOD: &str = r#"
version = 1
job = "orders"
[kafka]
brokers = "localhost:9092"
[sources.clicks]
kafka = { topic = "clicks" }
[operators.count]
plugin = "count.wasm"
inputs = ["clicks"]
parallelism = 2
[sinks.counts]
inputs = ["count"]
kafka = { topic = "counts" }
"#;

fn plan(text: &str) -> Result<Plan, Mistakes> {
    validate(&read(text, CONNECTORS)?, CONNECTORS)
}

/// `GOOD` with `from` replaced by `to`.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} must be in the good file");
    GOOD.replace(from, to)
}

#[test]
fn defaults_are_as_documented() {
    let plan = plan(GOOD).unwrap();
    assert_eq!(plan.delivery, Delivery::ExactlyOnce);
    assert_eq!(plan.state.dir, StateDir::Kept(".weir/orders".into()));
    assert_eq!(plan.state.memory_bytes, 128 << 20);
    assert_eq!(plan.epochs.interval, Duration::from_millis(100));
    assert_eq!(plan.epochs.transaction_timeout, Duration::from_secs(15));
    assert_eq!(plan.sources[0].start, Start::Earliest);
    assert_eq!(plan.sources[0].discovery_interval, Duration::from_secs(30));
    assert_eq!(plan.api, ApiPlan::Listen { host: "127.0.0.1".into(), port: 7070, explicit: false });
    let count = plan.operators.first().unwrap();
    assert_eq!((count.on_error, &count.key), (OnError::Fail, &KeySpec::Key));
    assert_eq!(
        count.limits,
        Limits { memory_bytes: 64 << 20, call_deadline: Duration::from_secs(1), timer_rounds: 100_000 }
    );
    assert!(!plan.is_bounded() && !plan.cluster.unwrap().creates());
}

/// A name in a list of inputs.
fn keyed(node: &str, output: Option<&str>) -> Input {
    Input { node: node.to_owned(), output: output.map(str::to_owned), port: None, partition: Partition::Key }
}

/// A file that says everything that can be said.
const WHOLE: &str = r#"
    version = 1
    job = "orders"
    delivery = "at-least-once"
    api = "off"
    api-token = "@token"
    api-plaintext = true
    [kafka]
    brokers = "a:1, b:2"
    create-topics = true
    properties.security.protocol = "ssl"
    properties."linger.ms" = 5
    [sources.clicks]
    kafka = { pattern = "^clicks-.*", brokers = "b:2,a:1", properties = { "fetch.min.bytes" = 7 } }
    start = "timestamp:2023-11-14T22:13:20Z"
    until = "latest"
    max-rate = 100
    discovery-interval = "5s"
    [operators.b]
    plugin = "b.wasm"
    inputs = ["a.late"]
    [operators.a]
    plugin = "/p/a.wasm"
    inputs = ["clicks"]
    key = "header:user"
    parallelism = 3
    config = { min = 5, at = 2024-01-01, list = [1.5, true] }
    on-error = "skip"
    limits = { memory = "32MiB", call-deadline = "250ms" }
    [sinks.one]
    inputs = ["b"]
    kafka = { topic = "x" }
    [sinks.two]
    inputs = ["a"]
    file = { path = "out.txt" }
    [epochs]
    interval = "1s"
    transaction-timeout = "3s"
    [state]
    dir = "/var/s"
    memory = "64MiB"
"#;

#[test]
fn every_setting_of_the_contract_is_read() {
    let mut spec = read(WHOLE, CONNECTORS).unwrap();
    spec.rebase(Path::new("/etc/weir"));
    let plan = validate(&spec, CONNECTORS).unwrap();
    let [a, b] = plan.operators.as_slice() else { panic!("two operators") };
    assert_eq!((a.name.as_str(), b.name.as_str()), ("a", "b"), "in order of the chain");
    assert_eq!(b.inputs, [keyed("a", Some("late"))]);
    assert_eq!(a.inputs, [keyed("clicks", None)]);
    assert_eq!(a.config, serde_json::json!({"min": 5, "at": "2024-01-01", "list": [1.5, true]}));
    assert_eq!((a.plugin.to_str(), b.plugin.to_str()), (Some("/p/a.wasm"), Some("/etc/weir/b.wasm")));
    assert_eq!(a.key, KeySpec::Header("user".into()));
    assert_eq!(plan.sources[0].reads.words(), "kafka /^clicks-.*/");
    let read = format!("{:?}", plan.sources[0].reads);
    for key in ["fetch.min.bytes", "queue.buffering.max.ms", "security.protocol"] {
        assert!(read.contains(key), "{read}");
    }
    let inputs: Vec<_> = plan.sinks.iter().map(|s| (s.name.as_str(), s.inputs[0].to_string())).collect();
    assert_eq!(inputs, [("one", "b".to_owned()), ("two", "a".to_owned())]);
    assert!(
        plan.delivery == Delivery::AtLeastOnce
            && plan.is_bounded()
            && plan.cluster.unwrap().creates()
            && plan.api == ApiPlan::Off
            && plan.access == AccessPlan { token_file: Some("/etc/weir/token".into()), is_plaintext: true }
    );
}

#[test]
fn a_token_that_is_said_is_not_repeated() {
    for said in ["hunter2-hunter2-hunter2", "@", ""] {
        let error = plan(&format!("api-token = {said:?}{GOOD}")).expect_err("it is no file").to_string();
        assert!(error.contains("api-token") && error.contains("write @FILE"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// Checks that each text is refused with the words beside it.
fn refused(cases: &[(String, &str)]) {
    for (text, wanted) in cases {
        let error = plan(text).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{error}\n  should say: {wanted}");
    }
}

#[test]
fn what_is_wrong_with_a_source_is_said() {
    let kafka_in = "kafka = { topic = \"clicks\" }";
    refused(&[
        (changed("version = 1", ""), "version is missing; write version = 1"),
        (changed("version = 1", "version = 2"), "version = 2 is not known"),
        (changed("brokers =", "brokerz ="), "line 5, column 1: unknown key `brokerz`; did you mean `brokers`?"),
        (changed("parallelism = 2", "paralelism = 2"), "did you mean `parallelism`?"),
        (changed("topic = \"clicks\"", "topc = \"clicks\""), "did you mean `topic`?"),
        (changed("job =", "zzz ="), "unknown key `zzz`, expected one of"),
        (changed("parallelism = 2", "parallelism = 0"), "expected a nonzero u16"),
        (changed("parallelism = 2", "parallelism = 1025"), "more than the 1024 key groups"),
        (changed("\"orders\"", "\"Orders\""), "job name \"Orders\" is not of the form [a-z0-9._-]{1,64}"),
        (changed("[\"clicks\"]", "[\"click\"]"), "no source or operator named \"click\"; did you mean \"clicks\"?"),
        (changed("[\"clicks\"]", "[]"), "operators.count.inputs is missing"),
        (changed("[\"clicks\"]", "[\"clicks.late\"]"), "a source has no side outputs"),
        (changed("[\"clicks\"]", "[\"counts\"]"), "\"counts\" is a sink, and nothing comes out of it"),
        (changed("[\"clicks\"]", "[\"count\"]"), "records would go round in a circle: count -> count"),
        (changed("[\"clicks\"]", "[\"count\"]"), "line 6: sources.clicks: nothing reads it"),
        (changed("[\"count\"]", "[\"clicks\"]"), "line 8: operators.count: nothing reads its output"),
        (changed(kafka_in, ""), "sources.clicks is missing; give it one of stdin, file, generate"),
        (changed(kafka_in, "kafka = {}"), "sources.clicks.kafka is missing; give it one of topic, topics, pattern"),
        (changed(kafka_in, "kafka = { topics = [] }"), "name at least one topic"),
        (changed(kafka_in, "kafka = { topics = [\"a\", \"a\"] }"), "\"a\" is named twice"),
        (changed(kafka_in, "kafka = { pattern = \"(\" }"), "not a regular expression"),
        (changed(kafka_in, "kafka = { topic = \"a b\" }"), "\"a b\" is not an address"),
        (
            changed(kafka_in, "kafka = { topics = [\"a\", \"b\"] }\nstart = \"offsets:0=5\""),
            "line 8: sources.clicks.start: offsets can be given for a single topic only",
        ),
        (changed("brokers =", "properties.acks = 1\nbrokers ="), "line 5: kafka.properties.request.required.acks: the"),
        (changed(kafka_in, "kafka = { topic = \"counts\" }"), "the job would read its own output"),
        (changed(kafka_in, "kafka = { pattern = \"count.\" }"), "the job would read its own output"),
        (changed(kafka_in, "stdin = { fromat = \"json\" }"), "unknown key `fromat`; did you mean `format`?"),
        (changed(kafka_in, "stdin = { separator = \":\" }"), "only lines of format=key-value have a separator"),
        (changed(kafka_in, "generate = { name = \"clicks\", bytes = 67108865 }"), "bytes is at most 67108864"),
        (
            changed(kafka_in, "file = { path = \"x\" }\nstdin = {}"),
            "sources.clicks.stdin conflicts with sources.clicks.file",
        ),
        (changed(kafka_in, "generate = { name = \"click\" }"), "did you mean \"clicks\"?"),
        (changed(kafka_in, "generate = { name = \"zzz\" }"), "known are clicks, nexmark, sequence"),
        (
            changed(kafka_in, &format!("{kafka_in}\n[sources.lines]\nstdin = {{}}"))
                .replace("[\"clicks\"]", "[\"clicks\", \"lines\"]"),
            "line 8: sources.lines conflicts with sources.clicks: what comes from stdin keeps no state",
        ),
        (changed(kafka_in, "stdin = {}\nstart = \"latest\""), "sources.clicks.start conflicts with stdin"),
        (changed(kafka_in, "file = { path = \"x\" }\nmax-rate = 5"), "it is read as fast as the job goes"),
        (changed(kafka_in, "generate = { name = \"clicks\" }\nuntil = \"latest\""), "give it count=N"),
        (changed(kafka_in, "stdin = {}\ndiscovery-interval = \"1s\""), "no partitions to discover"),
        (changed(kafka_in, &format!("{kafka_in}\nstart = \"newest\"")), "\"newest\" is none of earliest, latest"),
        (changed(kafka_in, "kafka = { topic = \"c\", brokers = \"other:1\" }"), "a job has one Kafka cluster"),
        (changed("localhost:9092", "localhost"), "brokers: \"localhost\" is not HOST:PORT"),
        (changed("localhost:9092", "localhost:0"), "brokers: \"localhost:0\" is not HOST:PORT"),
        (changed("localhost:9092", "kafka://localhost:9092"), "brokers: \"kafka://localhost:9092\" is not HOST:PORT"),
        (changed("localhost:9092", "u:secret@localhost:9092"), "brokers: an address is HOST:PORT and has no user"),
        (
            changed("brokers = \"localhost:9092\"", ""),
            "sources.clicks: the address of the Kafka brokers is missing; give --brokers",
        ),
    ]);
}

#[test]
fn no_job_has_the_names_of_replays() {
    let said = changed("\"orders\"", "\"dead-letters\"");
    refused(&[(said, "\"dead-letters\" is the name under which `host dead-letters replay` commits")]);
}

#[test]
fn what_is_wrong_with_event_time_is_said_word_by_word() {
    let kafka_in = "kafka = { topic = \"clicks\" }";
    refused(&[
        (
            changed(kafka_in, &format!("{kafka_in}\nwatermark = {{ max-disorder = \"5\" }}")),
            "max-disorder: \"5\" is not a duration",
        ),
        (
            changed(kafka_in, &format!("{kafka_in}\nwatermark = {{ max-disorder = \"5\", on-future = \"drop\" }}")),
            "on-future: \"drop\" is none of keep, clamp, fail",
        ),
        (
            changed(kafka_in, &format!("{kafka_in}\nwatermark = {{ timestamp = \"plugin\" }}")),
            "watermark: timestamp: which plugin? Name its file, as in plugin:timestamps.wasm",
        ),
        (
            changed(kafka_in, &format!("{kafka_in}\nwatermark = {{ timestmap = \"record\" }}")),
            "did you mean `timestamp`?",
        ),
        (
            changed(kafka_in, "stdin = {}\nwatermark = { timestamp = \"record\" }"),
            "its records have no time of their own; use ingestion",
        ),
        (
            changed(kafka_in, "generate = { name = \"clicks\" }\nwatermark = { max-drift = \"1min\" }"),
            "it has one split, which cannot run ahead of another",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_anything_else_is_said() {
    let more = |text: &str| format!("{GOOD}\n{text}");
    refused(&[
        (changed("kafka = { topic = \"counts\" }", ""), "give it one of stdout, file"),
        (
            changed("parallelism = 2", "on-error = { dead-letter = \"clicks\" }"),
            "line 11: operators.count.on-error conflicts with sources.clicks: the job would read its own output, for ever",
        ),
        (
            changed("parallelism = 2", "on-error = \"dead-letter:a b\""),
            "line 11: operators.count.on-error: \"a b\" is not an address",
        ),
        (
            changed("parallelism = 2", "on-error = { dead-letter = \"file:x\" }"),
            "dead letters go to Kafka, in the transaction of all output",
        ),
        (
            changed("parallelism = 2", "on-error = \"skp\""),
            "none of fail, skip and dead-letter:TOPIC; did you mean skip?",
        ),
        (changed("parallelism = 2", "on-error = \"deadletter:dlq\""), "did you mean dead-letter:TOPIC?"),
        (changed("parallelism = 2", "key = \"value\""), "neither key nor header:NAME"),
        (changed("parallelism = 2", "limits = { memory = \"lots\" }"), "\"lots\" is not a size like 64MiB"),
        (changed("parallelism = 2", "limits = { memory = 0 }"), "a plugin needs some memory"),
        (changed("parallelism = 2", "limits = { memory = \"99999999TiB\" }"), "at most the 4GiB"),
        (changed("parallelism = 2", "limits = { call-deadline = \"0s\" }"), "longer than nothing"),
        (changed("parallelism = 2", "limits = { timer-rounds = 0 }"), "expected a nonzero u32"),
        (
            more("[epochs]\ninterval = \"6s\""),
            "line 17: epochs.interval = 6s conflicts with the transaction timeout of 15s, the default of --transaction-timeout",
        ),
        (more("[epochs]\ninterval = \"0s\""), "at least 1ms"),
        (more("[epochs]\ninterval = \"100\""), "\"100\" is not a duration"),
        (more("[epochs]\ninterval = \"1ms\"\ntransaction-timeout = \"500ms\""), "at least 1s"),
        (more("[state]\nmemory = \"1MiB\""), "at least 8MiB"),
        (more("[sources.b]\nstdin = {}"), "line 16: sources.b: nothing reads it"),
        (more("[sources.count]\nstdin = {}"), "operators.count conflicts with sources.count"),
        (more("[operators.b]\nplugin = \"b\"\ninputs = [\"count\"]"), "operators.b: nothing reads its output"),
        (more("[operators.\"a.b\"]\nplugin = \"b\"\ninputs = [\"count\"]"), "a name has the characters"),
        (more("[sinks.x]\ninputs = [\"count\"]\nkafka = { topic = \"x\", properties.a = 1 }"), "share one producer"),
        (changed("topic = \"counts\"", "topic = \"counts\", routes = [\"a b\"]"), "\"a b\" is not an address"),
        (changed("topic = \"counts\"", "topic = \"counts\", routes = [\"counts\"]"), "is the topic of the sink"),
        (
            changed("topic = \"counts\"", "topic = \"counts\", routes = [\"clicks\"]"),
            "the job would read its own output",
        ),
        (
            more("[sinks.x]\ninputs = [\"count\"]\nkafka = { topic = \"x\", routes = [\"counts\"], partitions = 3 }"),
            "sinks.x conflicts with sinks.counts: they make the same topic in two ways",
        ),
        (
            changed("[\"clicks\"]", "{ left = \"clicks\", rihgt = [] }"),
            "line 10, column 10: nothing comes into the input \"rihgt\"",
        ),
        (format!("delivery = \"exactly\"{GOOD}"), "unknown value `exactly`; did you mean `exactly-once`?"),
        ("version = 1".into(), "[sources.NAME] is missing"),
        ("version = 1\n[sources.a]\nstdin = {}".into(), "[sinks.NAME] is missing"),
        (format!("api = \"7070\"{GOOD}"), "\"7070\" is neither HOST:PORT"),
        (format!("delivery = \"once\"{GOOD}"), "unknown variant `once`"),
        ("version 1".into(), "line 1, column"),
    ]);
}

#[test]
fn dead_letters_have_a_sink_that_is_none_of_the_description() {
    let text =
        changed("parallelism = 2", "on-error = { dead-letter = \"clicks-dlq\" }").replace("job = \"orders\"", "");
    let plan = plan(&text).unwrap();
    assert_eq!(plan.job.as_str(), "count-clicks-counts", "it has no part in the name of the job");
    let [counts, letters] = plan.sinks.as_slice() else { panic!("{:?}", plan.sinks) };
    assert_eq!((counts.name.as_str(), letters.name.as_str()), ("counts", "count.dead-letter"));
    assert_eq!(letters.inputs, [keyed("count", Some("dead-letter"))]);
    assert_eq!(letters.writes.words(), "kafka clicks-dlq");
    let described = |outputs: &[&str]| PluginDescription {
        name: "count".into(),
        version: "1".into(),
        inputs: vec![],
        outputs: outputs.iter().map(|output| (*output).to_owned()).collect(),
        tables: vec![],
        broadcast: vec![],
        origin: false,
        routes: false,
        window: String::new(),
    };
    for outputs in [&[][..], &["main", "side"]] {
        let graph = graph(&plan, &[Some(&described(outputs))], &mut Found::default()).unwrap();
        let count = graph.node(graph.find("count").unwrap()).unwrap();
        let port = outputs.len().max(1) as u32;
        assert_eq!((count.outputs(), count.output_name(port).as_str()), (port + 1, "dead-letter"));
    }
    let mut found = Found::default();
    assert_eq!(graph(&plan, &[Some(&described(&["dead-letter"]))], &mut found), None);
    assert!(found.all()[0].to_string().contains("has an output named \"dead-letter\""), "{found:?}");
    // Where nothing else is Kafka's, it alone makes the job one with a cluster.
    let local = text
        .replace("kafka = { topic = \"clicks\" }", "stdin = {}")
        .replace("kafka = { topic = \"counts\" }", "stdout = {}");
    assert!(validate(&read(&local, CONNECTORS).unwrap(), CONNECTORS).unwrap().cluster.is_some());
    let lost = local.replace("brokers = \"localhost:9092\"", "");
    let said = validate(&read(&lost, CONNECTORS).unwrap(), CONNECTORS).unwrap_err().to_string();
    assert!(said.contains("operators.count.on-error: the address of the Kafka brokers is missing"), "{said}");
}

#[test]
fn exactly_once_is_kept_where_it_can_be() {
    let local_out = "stdout = {}";
    for (source, sink, asked, wanted) in [
        ("kafka = { topic = \"clicks\" }", local_out, "", Ok(Delivery::ExactlyOnce)),
        ("generate = { name = \"clicks\" }", "kafka = { topic = \"x\" }", "", Ok(Delivery::ExactlyOnce)),
        ("file = { path = \"x\" }", "kafka = { topic = \"x\" }", "", Ok(Delivery::ExactlyOnce)),
        ("stdin = {}", "kafka = { topic = \"x\" }", "", Ok(Delivery::AtLeastOnce)),
        ("stdin = {}", "kafka = { topic = \"x\" }", "none", Ok(Delivery::None)),
        ("stdin = {}", "kafka = { topic = \"x\" }", "exactly-once", Err("stdin cannot be read again")),
        ("file = { path = \"x\" }", local_out, "exactly-once", Err("neither end is Kafka")),
        ("file = { path = \"x\" }", local_out, "", Ok(Delivery::AtLeastOnce)),
    ] {
        let mut text =
            changed("kafka = { topic = \"clicks\" }", source).replace("kafka = { topic = \"counts\" }", sink);
        if !text.contains("topic") {
            text = text.replace("brokers = \"localhost:9092\"", "");
        }
        if !asked.is_empty() {
            text = format!("delivery = \"{asked}\"{text}");
        }
        match (plan(&text).map(|plan| plan.delivery), wanted) {
            (Ok(is), Ok(wanted)) => assert_eq!(is, wanted, "{source} {sink}"),
            (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
            (is, wanted) => panic!("{source} {sink}: {is:?}, wanted {wanted:?}"),
        }
    }
}

#[test]
fn state_is_kept_where_it_can_be_used_again() {
    let local = GOOD.replace("kafka = { topic = \"clicks\" }", "file = { path = \"x\" }");
    let local = local.replace("kafka = { topic = \"counts\" }", "stdout = {}");
    let local = local.replace("brokers = \"localhost:9092\"", "");
    let unnamed = local.replace("job = \"orders\"", "");
    let piped = local.replace("file = { path = \"x\" }", "stdin = {}");
    let dir = "\n[state]\ndir = \"d\"";
    for (text, wanted) in [
        (local, StateDir::Kept(".weir/orders".into())),
        (unnamed.clone(), StateDir::Temporary { under: None }),
        (unnamed + dir, StateDir::Kept("d".into())),
        (piped.clone(), StateDir::Temporary { under: None }),
        (piped + dir, StateDir::Temporary { under: Some("d".into()) }),
    ] {
        assert_eq!(plan(&text).unwrap().state.dir, wanted, "{text}");
    }
}

#[test]
fn a_plan_can_be_read() {
    let plan = plan(GOOD).unwrap();
    let count = PluginDescription {
        name: "count".into(),
        version: "1".into(),
        inputs: vec![],
        broadcast: vec![],
        outputs: vec![],
        tables: vec![],
        origin: false,
        routes: false,
        window: String::new(),
    };
    let graph = graph(&plan, &[Some(&count)], &mut Found::default()).unwrap();
    let text = show::text(&plan, &graph);
    for line in [
        "job orders (exactly-once)",
        "  state     .weir/orders, 128.0 MiB of memory",
        "source clicks: kafka clicks",
        "  reads     from earliest, for ever",
        "  input     clicks (exchange by key group)",
        "  tasks     2 (key groups 0-511, 512-1023)",
        "sink counts: kafka counts",
        "  weir-count-0 .. weir-count-1: count",
    ] {
        assert!(text.lines().any(|l| l == line), "{line:?} in\n{text}");
    }
    let dot = show::dot(&plan, &graph);
    for line in [
        "\"clicks\" -> \"count/1\" [label=\"exchange by key group\"];",
        "\"count/0\" -> \"counts\" [label=\"gather\"];",
    ] {
        assert!(dot.lines().any(|l| l.trim() == line), "{line:?} in\n{dot}");
    }
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let text = r#"version = 1
job = "Bad"
delivery = "exactly-once"
[kafka]
brokers = "b:1"
[sources.a]
kafka = { topic = "t" }
[sources.b]
kafka = { topics = ["u", "t"] }
[sources.idle]
generate = { name = "click" }
[operators.one]
plugin = ""
inputs = ["two", "clicks"]
parallelism = 2000
limits = { memory = 0, call-deadline = "0s" }
[operators.two]
plugin = "p.wasm"
inputs = ["one", "onee", "out"]
[operators.a]
plugin = "p.wasm"
[sinks.out]
inputs = ["one", "b"]
kafka = { topic = "t" }
[epochs]
interval = "0s"
[state]
memory = "1MiB"
"#;
    let said = plan(text).unwrap_err().to_string();
    let wanted = [
        "20 mistakes",
        "line 2: job: job name \"Bad\" is not of the form",
        "line 6: sources.a: nothing reads it",
        "line 8: sources.b conflicts with sources.a: both read the topic \"t\"",
        "line 10: sources.idle: nothing reads it",
        "line 11: sources.idle.generate.name: no generator is named \"click\"; did you mean \"clicks\"?",
        "line 13: operators.one.plugin",
        "line 14: operators.one.inputs: there is no source or operator named \"clicks\"",
        "line 14: operators.one.inputs: records would go round in a circle: one -> two -> one",
        "line 15: operators.one.parallelism: 2000 tasks",
        "line 16: operators.one.limits.call-deadline: it must be longer",
        "line 16: operators.one.limits.memory: a plugin needs some memory",
        "line 19: operators.two.inputs: \"out\" is a sink",
        "line 19: operators.two.inputs: there is no source or operator named \"onee\"; did you mean \"one\"?",
        "line 20: operators.a conflicts with sources.a",
        "line 20: operators.a.inputs is missing",
        "line 20: operators.a: nothing reads its output",
        "line 22: sinks.out conflicts with sources.a: the job would read its own output",
        "line 22: sinks.out conflicts with sources.b: the job would read its own output",
        "line 26: epochs.interval: an epoch lasts at least 1ms",
        "line 28: state.memory: caches and overlays need at least 8MiB",
    ];
    for wanted in wanted {
        assert!(said.lines().any(|line| line.starts_with(wanted)), "{wanted}\nis not in\n{said}");
    }
    let lines: Vec<usize> =
        said.lines().filter_map(|l| l.strip_prefix("line ")?.split_once(':')?.0.parse().ok()).collect();
    assert!(lines.is_sorted(), "in the order of the file: {said}");
    assert_eq!(said.lines().count(), wanted.len(), "{said}");
}

/// Each of these files has as many mistakes as lines are wanted: nothing is told that only follows from another.
#[test]
fn what_cannot_be_read_hides_nothing_and_brings_nothing_along() {
    for (text, wanted) in [
        (
            // Keys that nothing reads, values of the wrong kind, and what only the whole shows.
            "version = 1\njobb = 5\ndelivery = 'once'\n[kafka]\nbrokerz = 'b:1'\nproperties.acks = 1\n\
             [sources.a]\nkafak = { topic = 't', topc = 1 }\nmax-rate = 'fast'\n\
             [operators.o]\nplugin = 'o.wasm'\ninputs = ['a', 7, 'b']\nparallelism = 2000\nlimits = { memory = -1, zzz = 1 }\n\
             [sinks.s]\ninputs = ['o']\nkafka = {}\n",
            &[
                "line 2, column 1: unknown key `jobb`; did you mean `job`?",
                "line 3, column 12: unknown variant `once`, expected one of `exactly-once`, `at-least-once`, `none`",
                "line 5, column 1: unknown key `brokerz`; did you mean `brokers`?",
                "line 6: kafka.properties.request.required.acks: the Kafka property",
                "line 8, column 1: unknown key `kafak`; did you mean `kafka`?",
                "line 8, column 24: unknown key `topc`; did you mean `topic`?",
                "line 9, column 12: invalid type: string \"fast\", expected a nonzero u64",
                "line 12, column 16: invalid type: integer `7`, expected a name, or {",
                "line 12: operators.o.inputs: there is no source or operator named \"b\"",
                "line 13: operators.o.parallelism: 2000 tasks",
                "line 14, column 21: invalid value: integer `-1`, expected a size",
                "line 14, column 25: unknown key `zzz`, expected one of `memory`, `call-deadline`, `timer-rounds`",
                "line 17: sinks.s.kafka.topic is missing",
            ][..],
        ),
        (
            // A section by another name, beside the right one and alone; nodes that are none; a list without one.
            "[sources.a]\nstdin = {}\n[source.b]\ngenerate = { name = 'clicks' }\n[operator.o]\nplugin = 5\ninputs = ['a', 'b', 'c']\n\
             [sinks]\ns = 5\n[sources.c]\nfile = 5\nwatermark = 7\n[sinks.t]\ninputs = [1]\nfile = { path = 'x' }\n\
             [sinks.u]\ninputs = ['o']\nfile = { path = 'y' }\n",
            &[
                "version is missing; write version = 1",
                "line 3, column 2: unknown key `source`; did you mean `sources`?",
                "line 5, column 2: unknown key `operator`; did you mean `operators`?",
                "line 6, column 10: invalid type: integer `5`, expected path string",
                "line 9, column 5: invalid type: integer `5`, expected a table",
                "line 11, column 8: invalid type: integer `5`, expected a table",
                "line 12, column 13: invalid type: integer `7`, expected a table",
                "line 14, column 11: invalid type: integer `1`, expected a string",
            ],
        ),
        // Of another version nothing is known.
        ("version = 2\nzzz = 1\njob = 5\n", &["version = 2 is not known; this host reads version = 1"]),
        // Nothing behind what is no TOML can be trusted.
        ("version = 1\nzzz = 1\njob = = 5\n", &["line 3, column 7: "]),
    ] {
        let said = plan(text).unwrap_err().to_string();
        let told: Vec<&str> =
            said.lines().filter(|line| !line.ends_with(" mistakes") && !line.contains(" | ")).collect();
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(told.starts_with(wanted), "{told}\n should be\n{wanted}\n in\n{said}");
        }
        let more = |line: &&&str| line.starts_with("  ");
        assert_eq!(told.iter().filter(|line| !more(line)).count(), wanted.len(), "{said}");
    }
}

#[test]
fn a_pipeline_says_how_long_tables_keep_what_is_written() {
    let with = |ttl: &str| changed("parallelism = 2", &format!("ttl = {{ {ttl} }}"));
    let kept = plan(&with("count = { event = '1h' }, last = { processing = '2min' }")).unwrap();
    let ms = |ms| std::num::NonZeroU64::new(ms).unwrap();
    let ttl = [("count".to_owned(), Ttl::Event(ms(3_600_000))), ("last".to_owned(), Ttl::Processing(ms(120_000)))];
    assert_eq!(kept.operators[0].ttl, ttl.into());
    for (ttl, expected) in [
        ("count = '1h'", "ttl"),
        ("count = { ingestion = '1h' }", "ingestion"),
        ("count = { event = '1 h 7' }", "is not a duration"),
        ("count = { event = '0s' }", "operators.count.ttl.count: what is written stays for a millisecond at least"),
    ] {
        let said = plan(&with(ttl)).unwrap_err().to_string();
        assert!(said.contains(expected), "{ttl}: {said}");
    }
}
