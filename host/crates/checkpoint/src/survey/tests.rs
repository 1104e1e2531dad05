//! What is made of a directory without its pipeline.
use weir_core::{AttemptId, SplitId, SplitState};

use super::*;
use crate::manifest::FORMAT;
use crate::marker::Marker;

fn job() -> JobName {
    JobName::new("orders").unwrap()
}

/// One record of a job that reads `topic`, with or without an identity.
fn log(topic: &str, identity: Option<&str>, delivery: Delivery) -> Vec<(Manifest, Digest)> {
    let identity = identity.map(str::to_owned);
    let manifest = Manifest {
        format: FORMAT,
        job: job(),
        shard: ShardId(0),
        shards: 1,
        epoch: Epoch(7),
        attempt: AttemptId("a".into()),
        first: false,
        delivery,
        splits: vec![SplitState { split: SplitId::new(topic, 0), position: 70, end: None, identity }],
        operators: Vec::new(),
        previous: None,
        delta_crc32c: 0,
        delta_entries: 0,
    };
    let (_, digest) = manifest.encode();
    vec![(manifest, digest)]
}

fn committed(log: &[(Manifest, Digest)], split: SplitId, position: i64) -> Committed {
    let (manifest, digest) = &log[0];
    let (epoch, attempt) = (manifest.epoch, manifest.attempt.clone());
    let marker = Marker { job: job(), shard: ShardId(0), epoch, attempt, digest: digest.clone() };
    Committed { split, position, metadata: marker.encode().into_bytes() }
}

const EO: Delivery = Delivery::ExactlyOnce;
const ALO: Delivery = Delivery::AtLeastOnce;

#[test]
fn the_place_of_the_marker_shows() {
    let beside = committed(&log("in", None, EO), SplitId::new("in", 0), 70);
    let elsewhere = committed(&log("in", None, EO), SplitId::new("out", 0), 7);
    let check = |log: &[(Manifest, Digest)], committed: &[Committed], wanted| {
        assert_eq!(marker_place(log, committed), wanted);
    };
    check(&[], &[], MarkerPlace::Splits);
    check(&log("in", Some("id"), ALO), &[], MarkerPlace::Splits);
    check(&log("in", None, ALO), &[beside], MarkerPlace::Splits);
    check(&log("sequence", None, EO), std::slice::from_ref(&elsewhere), MarkerPlace::Fixed(SplitId::new("out", 0)));
    check(&log("sequence", None, EO), &[], MarkerPlace::Splits);
    check(&log("/tmp/a.txt", None, ALO), &[], MarkerPlace::Nowhere);
    assert!(has_marker(&log("in", Some("id"), ALO)) && !has_marker(&log("/tmp/a.txt", None, ALO)));
}

#[test]
fn a_start_is_decided_as_the_job_itself_would() {
    let resumed = Ok(Start::Resume { index: 0, ahead: None });
    let kafka = log("in", Some("id"), EO);
    let mine = committed(&kafka, SplitId::new("in", 0), 70);
    let unread = Committed { split: SplitId::new("other", 0), position: 1, metadata: Vec::new() };
    assert_eq!(start(&job(), ShardId(0), &kafka, &[mine.clone(), unread]), resumed, "another topic is not asked for");
    let moved = Committed { position: 60, ..mine };
    assert!(matches!(start(&job(), ShardId(0), &kafka, &[moved]), Err(Refusal::Position { .. })));
    assert!(matches!(start(&job(), ShardId(0), &kafka, &[]), Err(Refusal::MarkerGone { .. })));
    let made_up = log("sequence", None, EO);
    assert_eq!(start(&job(), ShardId(0), &made_up, &[committed(&made_up, SplitId::new("out", 0), 7)]), resumed);
    assert_eq!(start(&job(), ShardId(0), &log("/tmp/a.txt", None, ALO), &[]), resumed);
    let gone = start(&job(), ShardId(0), &[], &[committed(&kafka, SplitId::new("in", 0), 70)]);
    assert!(matches!(gone, Err(Refusal::LogEndsBefore { .. })), "a job is taken to keep state");
}

#[test]
fn only_what_was_acknowledged_is_certain() {
    assert_eq!(certain(&log("in", None, EO), Epoch(7)), Some(0));
    assert_eq!(certain(&log("in", None, EO), Epoch(6)), None);
    assert_eq!(certain(&log("in", None, ALO), Epoch(6)), Some(0));
    assert_eq!(certain(&[], Epoch(0)), None);
}
