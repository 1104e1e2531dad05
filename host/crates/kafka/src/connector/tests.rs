//! What Kafka's nodes say of their cluster and of each other, through the whole of `pipeline`.

use weir_connector::{Found, Node, Nodes, Registry, Settings};
use weir_pipeline::{Mistakes, Plan, read, validate};

use super::*;

static REGISTRY: Registry = Registry::new(&[crate::CONNECTORS]);

fn text(kafka: &str, source: &str, sink: &str) -> String {
    format!(
        "version = 1\njob = 'a'\n[kafka]\nbrokers = 'b:1'\n{kafka}\n[sources.s]\nkafka = {{ topic = 't', properties = {{ {source} }} }}\n\
         [operators.o]\nplugin = 'o.wasm'\ninputs = ['s']\n[sinks.k]\ninputs = ['o']\n{sink}"
    )
}

fn plan_of(text: &str) -> Result<Plan, Mistakes> {
    validate(&read(text, REGISTRY)?, REGISTRY)
}

/// What of `text` is Kafka's, in its own types.
fn planned_of(text: &str) -> Planned {
    let spec = read(text, REGISTRY).unwrap();
    let node = |(at, settings)| Node { at, settings };
    let sources = spec.sources.iter().map(|(name, source)| (format!("sources.{name}"), &*source.reads[0].settings));
    let sinks = spec.sinks.iter().map(|(name, sink)| (format!("sinks.{name}"), &*sink.writes[0].settings));
    let nodes = Nodes {
        shared: spec.shared.get(ClusterSpec::KEY).map(|shared| &**shared),
        sources: sources.map(node).collect(),
        sinks: sinks.map(node).collect(),
        is_whole: true,
    };
    let mut found = Found::default();
    let planned = planned(&nodes, &mut found);
    assert_eq!(found, Found::default());
    planned
}

#[test]
fn the_way_into_the_cluster_is_everybodys_wherever_it_is_said() {
    let login = "sasl.password = 'hunter2', fetch.wait.max.ms = 7";
    let login_of_sink = "kafka = { topic = 'u', properties = { sasl.password = 'hunter2', linger.ms = 1 } }";
    for (source, sink, of_cluster, wanted) in [
        (login, "kafka = { topic = 'u' }", &["sasl.password"][..], &["fetch.wait.max.ms", "sasl.password"][..]),
        ("", login_of_sink, &["queue.buffering.max.ms", "sasl.password"], &["sasl.password"]),
    ] {
        let text = text("", source, sink);
        let Planned { sources, cluster, .. } = planned_of(&text);
        assert_eq!(cluster.unwrap().properties.keys().collect::<Vec<_>>(), of_cluster);
        assert_eq!(sources[0].as_ref().unwrap().properties.keys().collect::<Vec<_>>(), wanted);
        assert!(!format!("{:?}", plan_of(&text).unwrap()).contains("hunter2"));
    }
}

#[test]
fn two_ways_into_one_cluster_are_refused_without_telling_them() {
    let login = "sasl.password = 'hunter2'";
    for (kafka, sink) in [
        ("properties.sasl.password = 'hunter3'", "kafka = { topic = 'u' }"),
        ("", "kafka = { topic = 'u', properties = { sasl.password = 'hunter3' } }"),
    ] {
        let error = plan_of(&text(kafka, login, sink)).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(said.contains("sasl.password") && said.contains("sources.s"), "{said}");
        assert!(!said.contains("hunter"), "{said}");
    }
}

#[test]
fn every_node_is_told_what_it_says_otherwise() {
    let sink = "kafka = { topic = 'u', brokers = 'c:0,d', properties = { sasl.password = 'x', sasl.username = 'y' } }\n\
                [sinks.l]\ninputs = ['o']\nkafka = { topic = 'v', brokers = 'c:1', properties = { linger.ms = 1 } }";
    let login = "properties.sasl.password = 'z'\nproperties.sasl.username = 'z'";
    let said = plan_of(&text(login, "sasl.username = 'w'", sink)).unwrap_err().to_string();
    let in_one_way = "a job gets into its Kafka cluster in one way; write it under [kafka]";
    let property = |line: u32, at: &str, key: &str| {
        format!(
            "line {line}: {at}.kafka.properties.sasl.{key} conflicts with kafka.properties.sasl.{key}: {in_one_way}"
        )
    };
    let wanted = [
        "7 mistakes".to_owned(),
        property(8, "sources.s", "username"),
        "line 14: sinks.k.kafka.brokers: \"c:0\" is not HOST:PORT, as in localhost:9092".to_owned(),
        "line 14: sinks.k.kafka.brokers: \"d\" is not HOST:PORT, as in localhost:9092".to_owned(),
        property(14, "sinks.k", "password"),
        property(14, "sinks.k", "username"),
        "line 17: sinks.l.kafka.brokers = c:1 conflicts with kafka.brokers = b:1: a job has one Kafka cluster, where its \
         output and its offsets share a transaction"
            .to_owned(),
        "line 17: sinks.l.kafka.properties conflicts with sinks.k.kafka.properties: all Kafka sinks of a job share one \
         producer; write its properties under [kafka]"
            .to_owned(),
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), wanted);
}

#[test]
fn sources_do_not_share_a_topic() {
    let two = |one: &str, other: &str| {
        let text = format!(
            "version = 1\n[kafka]\nbrokers = \"b:1\"\n[sources.a]\nkafka = {{ {one} }}\n[sources.b]\nkafka = {{ {other} }}\n\
             [sinks.o]\ninputs = [\"a\", \"b\"]\nkafka = {{ topic = \"z\" }}"
        );
        plan_of(&text).map(|plan| plan.sources.len()).map_err(|mistakes| mistakes.to_string())
    };
    let shared = "line 6: sources.b conflicts with sources.a: both read the topic \"t\", and a job has one position in \
                  each of its partitions; keep one of the two, and name it in the inputs of everything that reads it";
    let topic = |name: &str| format!("topic = \"{name}\"");
    assert_eq!(two(&topic("t"), &topic("t")), Err(shared.to_owned()));
    assert_eq!(two("pattern = \"t.*\"", &topic("t")), Err(shared.to_owned()));
    assert_eq!(two(&topic("t"), "pattern = \"t\""), Err(shared.to_owned()));
    assert!(two("pattern = \"t.*\"", "pattern = \"t.*\"").unwrap_err().contains("both read the topics of the pattern"));
    assert_eq!(two("pattern = \"t\"", &topic("tt")), Ok(2));
    assert_eq!(two(&topic("t"), &topic("u")), Ok(2));
}

#[test]
fn a_flag_counts_for_every_node() {
    let secret = |text: &str| Given::new([("client.id".to_owned(), Secret::new(text))]);
    let mut table: Option<Arc<dyn Settings>> = None;
    let (brokers, properties) = (Some("a:1".to_owned()), secret("file"));
    let mut node: Arc<dyn Settings> = Arc::new(SourceSpec { brokers, properties, ..SourceSpec::default() });
    let flags = ClusterSpec { brokers: Some("b:1".into()), properties: secret("flag"), ..ClusterSpec::default() };
    let said = spec::lay_over(&flags, &mut table, vec![&mut node]);
    assert_eq!(table.unwrap().of(), Some(&flags));
    assert_eq!(node.of(), Some(&SourceSpec::default()), "nothing is left of what the node says otherwise");
    let wanted = [("kafka.brokers", "--brokers"), ("kafka.properties.client.id", "--kafka client.id")];
    assert_eq!(said, wanted.map(|(path, flag)| (path.to_owned(), flag.to_owned())));
}

#[test]
fn a_property_has_one_value_by_whatever_name() {
    let said = plan_of(&text("", "linger.ms = 1, queue.buffering.max.ms = 2", "kafka = { topic = 'u' }")).unwrap_err();
    let wanted = "line 7: sources.s.kafka.properties.queue.buffering.max.ms: \"queue.buffering.max.ms\" is the same property by \
                  another name; leave one out";
    assert_eq!(said.to_string(), wanted);
}
