//! Records read back, and what does not belong together is told.
use weir_core::Watermark;

use super::*;
use crate::samples::split;

const PLAN: &[u8] = include_bytes!("../../tests/golden/plan.json");
const EPOCH: &[u8] = include_bytes!("../../tests/golden/epoch.json");

fn read(epoch: &[u8], plan: &[u8]) -> Result<(Manifest, Digest), Error> {
    Reader::default().read(epoch, || Ok(Bytes::copy_from_slice(plan)))
}

/// Written by an earlier build; the digest is what markers of that time hold.
#[test]
fn the_golden_record_reads_back_to_the_byte() {
    let (manifest, digest) = read(EPOCH, PLAN).unwrap();
    assert_eq!((manifest.epoch, manifest.delivery), (Epoch(8), Delivery::ExactlyOnce));
    assert_eq!((manifest.plan.marker.clone(), manifest.plan.next_operator), (MarkerPlace::Splits, 2));
    let operator = &manifest.plan.operators[0];
    assert_eq!((&operator.key, operator.next_table), (&KeySpec::Header("user".into()), 3));
    assert_eq!((operator.tables[0].kind, operator.tables[0].schema.as_str()), (TableKind::Value, "u64"));
    let names: Vec<&str> = manifest.plan.graph.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!((names, manifest.plan.graph.edges().len()), (vec!["clicks", "made-up", "count", "counts"], 3));
    let [clicks, made_up] = &manifest.sources()[..] else { panic!("two sources") };
    assert_eq!((&*clicks.name.0, clicks.marked, &*made_up.name.0, made_up.marked), ("clicks", true, "made-up", false));
    assert_eq!((manifest.marked().count(), manifest.splits().count()), (2, 3));
    let split = &clicks.splits[0];
    assert_eq!(
        (split.position, split.end, split.term, split.identity.as_deref()),
        (1000, Some(2000), Some(4), Some("2CgXeYzvQsmYhY7tLXvcaA"))
    );
    let (source, operator) = (manifest.times.source(0).unwrap(), manifest.times.operator(operator.id));
    assert_eq!(
        (source.splits[0].as_ms(), source.splits[1], operator),
        (Some(1_700_000_000_000), Watermark::NONE, Watermark::at(5))
    );
    let (bytes, again) = manifest.encode();
    assert_eq!(std::str::from_utf8(&bytes), std::str::from_utf8(EPOCH));
    assert_eq!(again, digest);
    let plan = manifest.plan.plan.clone().encode();
    assert_eq!(std::str::from_utf8(&plan.bytes), std::str::from_utf8(PLAN));
    let marker = include_str!("../../tests/golden/marker.txt");
    let read = crate::marker::Marker::parse(marker.as_bytes()).unwrap();
    assert_eq!(read.encode(), marker);
    assert_eq!((read.epoch, read.digest), (manifest.epoch, digest), "the marker of that record");
}

#[test]
fn another_format_is_named() {
    let mut reader = Reader::default();
    let mut read = |bytes: &[u8]| reader.read(bytes, || Err(Error::Plan(Epoch(0))));
    assert!(matches!(read(br#"{"format":9,"more":1}"#), Err(Error::Format(9))));
    assert!(matches!(read(b"{"), Err(Error::Json(_))));
}

#[test]
fn a_plan_is_fetched_once_and_belongs_to_its_record() {
    let mut reader = Reader::default();
    let fetch = || Ok::<_, Error>(Bytes::from_static(PLAN));
    let (first, _) = reader.read(EPOCH, fetch).unwrap();
    let (again, _) = reader.read(EPOCH, || Err(Error::Plan(Epoch(0)))).unwrap();
    assert!(Arc::ptr_eq(&first.plan, &again.plan), "a thousand epochs share it");
    let other = Plan { shards: 2, ..first.plan.plan.clone() }.encode();
    assert!(matches!(read(EPOCH, &other.bytes), Err(Error::Plan(Epoch(8)))), "another plan");
    let mut short = first;
    short.reached[0].pop();
    assert!(matches!(read(&short.encode().0, PLAN), Err(Error::Plan(Epoch(8)))), "one split less");
}

#[test]
fn a_plan_changes_when_something_else_than_a_position_does() {
    let source = |splits| SourceEntry { name: SourceName::new("in"), marked: true, start: None, splits };
    let sources = [source(vec![split("t", 0, 5)])];
    let plan = Plan::of(Graph::default(), &sources, MarkerPlace::Splits, (Vec::new(), 0));
    assert!(plan.fits(&[source(vec![SplitState { term: Some(7), ..split("t", 0, 9) }])]), "it was read on");
    let begin = SourceEntry { start: Some("latest".into()), ..sources[0].clone() };
    let bound = SplitState { end: Some(9), ..split("t", 0, 5) };
    let itself = SplitState { identity: Some("x".into()), ..split("t", 0, 5) };
    let more = vec![split("t", 0, 5), split("t", 1, 0)];
    for other in [begin, source(vec![bound]), source(vec![itself]), source(more), source(vec![split("u", 0, 5)])] {
        assert!(!plan.fits(&[other]));
    }
    assert!(!plan.fits(&[]));
}
