//! Flags alone, and over a file: what counts, and how a mistake is told.

use super::*;
use crate::plan::{Plan, SinkPlan};
use crate::samples::CONNECTORS;
use crate::{Mistakes, read, validate};
use weir_core::{Secret, Until};
use weir_kafka::connector::{ClusterSpec, Given};

fn plan(flags: Overrides) -> Result<Plan, Mistakes> {
    validate(&flags.into_spec(CONNECTORS)?, CONNECTORS)
}

/// The plan of a file under flags.
fn plan_over(flags: Overrides, file: &str) -> Result<Plan, Mistakes> {
    validate(&flags.lay_over(read(file, CONNECTORS).unwrap(), CONNECTORS), CONNECTORS)
}

const PLUGIN: &[&str] = &["--plugin=p.wasm"];

fn keys(flags: &[&str]) -> Keys {
    Keys::parse(flags).unwrap()
}

fn from(address: &str) -> Option<Written> {
    Some(CONNECTORS.address(Side::Source, address).unwrap())
}

fn brokers(addresses: &str) -> BTreeMap<&'static str, Arc<dyn Settings>> {
    let flags = ClusterSpec { brokers: Some(addresses.into()), ..ClusterSpec::default() };
    BTreeMap::from([(ClusterSpec::KEY, Arc::new(flags) as Arc<dyn Settings>)])
}

#[test]
fn flags_alone_make_a_whole_pipeline() {
    let flags = Overrides { keys: keys(&["--plugin", "target/plugins/count.wasm"]), ..Overrides::default() };
    let plan = plan(flags).unwrap();
    assert_eq!(plan.job.as_str(), "count-stdin-stdout");
    assert_eq!((plan.sources[0].reads.words().as_str(), plan.sinks[0].writes.words().as_str()), ("stdin", "stdout"));
    assert_eq!(plan.operators[0].name, "operator");
}

#[test]
fn the_default_name_says_what_runs() {
    for (address, to_address, wanted) in [
        ("in", "out", "count-in-out"),
        ("kafka:/a.*/", "-", "count-a.--stdout-ed706251"),
        ("file:.//a", "out", "count-a-out"),
    ] {
        let flags = Overrides {
            keys: keys(&["--plugin", "count.wasm"]),
            from: from(address),
            to: to(&[to_address]),
            shared: brokers("b:1"),
            ..Overrides::default()
        };
        assert_eq!(plan(flags).unwrap().job.as_str(), wanted);
    }
}

#[test]
fn a_name_does_not_hang_on_the_plugins_file() {
    let named = |file: &str| {
        let plan = plan(Overrides { keys: keys(&["--plugin", file]), ..Overrides::default() }).unwrap();
        (plan.operators[0].name.clone(), plan.job.to_string())
    };
    for file in ["count.wasm", "old/count-1.0.1.wasm", "count_v2.wasm", "source.wasm", "sink.wasm"] {
        assert_eq!(named(file).0, "operator", "{file}");
    }
    assert_eq!(named("count.wasm").1, named("old/count-1.0.1.wasm").1);
}

#[test]
fn a_topic_needs_brokers_and_a_pipeline_a_plugin() {
    let flags = Overrides { keys: keys(PLUGIN), from: from("in"), ..Overrides::default() };
    assert!(plan(flags).unwrap_err().to_string().contains("give --brokers HOST:PORT"));
    assert!(plan(Overrides::default()).unwrap_err().to_string().contains("--plugin is missing"));
    let flags = Overrides { keys: keys(PLUGIN), shared: brokers("b:1"), ..Overrides::default() };
    assert!(plan(flags).unwrap_err().to_string().contains("neither source nor sink is a Kafka topic"));
}

#[test]
fn a_flag_overrides_the_file() {
    let file = "version = 1\njob = 'a'\n[kafka]\nbrokers = 'a:1'\n[sources.s]\nkafka = { topic = 't', brokers = 'a:1', properties.client.id = 'file' }\n\
        until = 'latest'\n[operators.o]\nplugin = 'o.wasm'\ninputs = ['s']\nconfig = { x = 1, y = 2 }\n\
        limits = { memory = 4096, call-deadline = '5s', timer-rounds = 7 }\n\
        [sinks.k]\ninputs = ['o']\nstdout = {}";
    let mut config = Config::new();
    config.insert("y".into(), 3.into());
    let cluster = ClusterSpec {
        brokers: Some("b:1".into()),
        properties: Given::new([("client.id".to_owned(), Secret::new("of-the-flag"))]),
        ..ClusterSpec::default()
    };
    let flags = Overrides {
        shared: BTreeMap::from([(ClusterSpec::KEY, Arc::new(cluster) as Arc<dyn Settings>)]),
        config,
        keys: keys(&["--job=b", "--max-rate=9", "--parallelism=4", "--memory-limit=1GiB"]),
        ..Overrides::default()
    };
    let plan = plan_over(flags, file).unwrap();
    assert_eq!((plan.job.as_str(), plan.cluster.unwrap().address()), ("b", "b:1"));
    assert_eq!(plan.operators[0].config, serde_json::json!({"x": 1, "y": 3}));
    assert_eq!(plan.operators[0].parallelism.get(), 4);
    assert_eq!(plan.operators[0].limits.memory_bytes, 1 << 30);
    assert_eq!(plan.operators[0].limits.call_deadline.as_secs(), 5);
    assert_eq!(plan.operators[0].limits.timer_rounds, 7);
    assert_eq!(plan.sources[0].until, Some(Until::Latest), "what no flag speaks of stays");
}

/// A file that is right.
const FILE: &str = "version = 1\njob = 'a'\n[kafka]\nbrokers = 'b:1'\n[sources.s]\nkafka = { topic = 't' }\nstart = 'latest'\n\
    [operators.o]\nplugin = 'o.wasm'\ninputs = ['s']\nparallelism = 2\nconfig.x = 1\n[sinks.k]\ninputs = ['o']\nstdout = {}\n\
    [epochs]\ninterval = '2s'\n";

fn said(flags: Overrides, file: &str) -> Vec<String> {
    let mistakes = plan_over(flags, file).unwrap_err().to_string();
    mistakes.lines().map(str::to_owned).collect()
}

#[test]
fn each_flag_that_could_mean_two_nodes_is_told_and_no_other() {
    let flags = Overrides {
        from: from("-"),
        to: to(&["-"]),
        keys: keys(&["--parallelism=3", "--job=!"]),
        ..Overrides::default()
    };
    let more = "[sources.extra]\nstdin = {}\n[sinks.spare]\ninputs = ['extra']\nfile.path = ''\n[operators.other]\n\
                plugin = 'p.wasm'\ninputs = ['s']\n";
    let two = |flag: &str, kind: &str| {
        format!(
            "{flag} conflicts with the pipeline file: the file has 2 {kind}s, so the flag does not say which; set it in the file"
        )
    };
    let wanted = [
        "7 mistakes".to_owned(),
        two("--from", "source"),
        two("--to", "sink"),
        two("--parallelism", "operator"),
        "--job: job name \"!\" is not of the form [a-z0-9._-]{1,64}, or is . or ..".to_owned(),
    ];
    let said = said(flags, &format!("{FILE}{more}"));
    assert_eq!(said[..5], wanted);
    assert!(said[5].starts_with("line 5: sources.s conflicts with sources.extra"), "{said:?}");
    assert_eq!(said[6], "line 22: sinks.spare.file.path is missing; write the path of a file");
    assert!(said[7].starts_with("line 23: operators.other: nothing reads its output"), "{said:?}");
}

#[test]
fn a_mistake_of_a_flag_is_told_by_its_name_and_one_of_the_file_by_its_line() {
    let one = |flags: Overrides, file: &str, wanted: &str| assert_eq!(said(flags, file), [wanted]);
    let none = Overrides::default;
    let of = |flags: &[&str]| Overrides { keys: keys(flags), ..none() };
    let too_many = |at: &str| format!("{at}: 2000 tasks are more than the 1024 key groups there are");
    one(of(&["--parallelism=2000"]), FILE, &too_many("--parallelism"));
    let file = FILE.replace("parallelism = 2", "parallelism = 2000");
    one(none(), &file, &too_many("line 11: operators.o.parallelism"));
    // Over a file that is wrong, a flag that is right is all that counts.
    assert!(plan_over(of(&["--parallelism=3"]), &file).is_ok());

    let conflict = |one: &str, other: &str| {
        format!(
            "{one} conflicts with {other}: the broker could abort what is not committed in time; an interval may be 1s \
             at most"
        )
    };
    one(
        of(&["--transaction-timeout=3s"]),
        FILE,
        &conflict("line 17: epochs.interval = 2s", "--transaction-timeout = 3s"),
    );
    let both = of(&["--epoch-interval=2s", "--transaction-timeout=3s"]);
    one(both, FILE, &conflict("--epoch-interval = 2s", "--transaction-timeout = 3s"));

    let start = "line 7: sources.s.start conflicts with stdin: it is always read from its beginning; leave it \
                 out";
    let piped = FILE.replace("[kafka]\nbrokers = 'b:1'", "# no\n# Kafka");
    one(Overrides { from: from("-"), ..none() }, &piped, start);
    let to_source = Overrides { to: to(&["t"]), ..none() };
    one(
        to_source,
        FILE,
        "line 13: sinks.k (--to) conflicts with sources.s: the job would read its own output, for ever",
    );
    let timed = of(&["--watermark=timestamp=record"]);
    let piped = piped.replace("kafka = { topic = 't' }\nstart = 'latest'", "stdin = {}");
    let reason = "its records have no time of their own; use ingestion, or json:/POINTER into the value";
    one(timed, &piped, &format!("--watermark timestamp = record conflicts with stdin: {reason}"));
    let nowhere = Overrides { from: from("kafka:/(/"), ..none() };
    assert!(said(nowhere, FILE)[0].starts_with("--from: not a regular expression"));
}

fn to(flags: &[&str]) -> Vec<To> {
    flags.iter().map(|flag| To::parse(flag, CONNECTORS).unwrap()).collect()
}

#[test]
fn every_output_may_go_somewhere() {
    let sinks = |flags: &[&str]| {
        let flags = Overrides { keys: keys(PLUGIN), to: to(flags), ..Overrides::default() };
        let plan = plan(flags).unwrap();
        let words = |sink: &SinkPlan| (sink.inputs[0].output.clone(), sink.writes.words());
        plan.sinks.iter().map(words).collect::<Vec<_>>()
    };
    let file = |output: Option<&str>, path: &str| (output.map(str::to_owned), format!("file {path}"));
    let stdout = (None, "stdout".to_owned());
    assert_eq!(sinks(&[]), std::slice::from_ref(&stdout));
    assert_eq!(
        sinks(&["late.x=file:l", "-", "odd=file:o"]),
        [stdout, file(Some("late.x"), "l"), file(Some("odd"), "o")]
    );
    // Nobody asked for the first output: it goes nowhere, not somewhere.
    assert_eq!(sinks(&["late=file:l"]), [file(Some("late"), "l")]);
    for twice in [["-", "file:a"], ["late=-", "late=file:a"]] {
        let flags = Overrides { keys: keys(PLUGIN), to: to(&twice), ..Overrides::default() };
        let error = plan(flags).unwrap_err().to_string();
        assert!(error.contains("flags write an output to one place"), "{error}");
    }
}

#[test]
fn an_output_of_a_file_may_go_elsewhere() {
    let file = "version = 1\n[sources.s]\nstdin = {}\n[operators.o]\nplugin = 'o.wasm'\ninputs = ['s']\n\
        [sinks.a]\ninputs = ['o']\nstdout = {}\n[sinks.b]\ninputs = ['o.late']\nfile = { path = 'b' }";
    let over = |flag: &str| {
        let flags = Overrides { to: to(&[flag]), ..Overrides::default() };
        plan_over(flags, file).map(|plan| plan.sinks)
    };
    let sinks = over("late=file:c?format=json").unwrap();
    assert_eq!(sinks[1].writes.words(), "file c");
    assert_eq!(sinks[1].writes.details(), [("format", "json".to_owned())]);
    assert_eq!(sinks[0].writes.words(), "stdout");
    let error = over("odd=file:c").unwrap_err().to_string();
    assert!(
        error.contains("--to odd=ADDR conflicts with the pipeline file: no sink reads an output of that name"),
        "{error}"
    );
}
