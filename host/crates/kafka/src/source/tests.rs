//! The parts of a source that need no broker. `tests/` has those that do.

use weir_core::{Fault, JobName, ShardId};

use super::*;
use crate::properties::Properties;

fn client(brokers: &str) -> ClientOptions {
    ClientOptions {
        brokers: brokers.to_owned(),
        properties: Properties::default(),
        job: JobName::new("orders").unwrap(),
        shard: ShardId(0),
    }
}

fn named(names: &[&str]) -> SourceOptions {
    SourceOptions::new(Topics::Named(names.iter().map(|n| (*n).to_owned()).collect()))
}

fn refusal(options: SourceOptions) -> String {
    let error = KafkaSource::new(client("127.0.0.1:9"), options).err().unwrap();
    assert_eq!(error.fault(), Fault::Config);
    error.to_string()
}

#[test]
fn options_that_cannot_work_are_refused() {
    assert!(refusal(named(&[])).contains("at least one topic"));
    assert!(refusal(named(&["a b"])).contains("a b"));
    assert!(refusal(SourceOptions::new(Topics::Pattern("(".to_owned()))).contains("regular expression"));
    assert!(refusal(SourceOptions { max_rate: Some(0), ..named(&["a"]) }).contains("at least 1"));
    assert!(refusal(SourceOptions { discovery_interval: Duration::ZERO, ..named(&["a"]) }).contains("longer"));
}

#[test]
fn a_pattern_matches_whole_names() {
    let Selection::Pattern(regex) = select(&Topics::Pattern("clicks|views-.*".to_owned())).unwrap() else {
        panic!("a pattern")
    };
    for (name, is_match) in [("clicks", true), ("views-1", true), ("clicks-1", false), ("my-clicks", false)] {
        assert_eq!(regex.is_match(name), is_match, "{name}");
    }
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    // Port 9 (discard) is not served: the connection is refused at once.
    let source = KafkaSource::new(client("127.0.0.1:9"), named(&["a"])).unwrap();
    let error = source.resolve().unwrap_err();
    assert_eq!(error.fault(), Fault::Transient);
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
}
