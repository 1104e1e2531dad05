//! What is made of a directory without its pipeline.
use weir_core::{Epoch, SplitId};

use super::*;
use crate::marker::Marker;
use crate::samples::{follow, job, split};

/// One record of a job that reads `topic` and keeps its marker at `marker`.
fn log(topic: &str, marker: MarkerPlace, delivery: Delivery) -> Vec<(Manifest, Digest)> {
    let mut chain = Vec::new();
    follow(&mut chain, 7, vec![split(topic, 0, 70)], (marker, delivery));
    chain
}

fn committed(log: &[(Manifest, Digest)], split: SplitId, position: i64) -> Committed {
    let (manifest, digest) = &log[0];
    let (epoch, attempt) = (manifest.epoch, manifest.attempt.clone());
    let marker = Marker { job: job(), shard: ShardId(0), epoch, attempt, digest: digest.clone() };
    Committed { split, position, metadata: marker.encode().into_bytes() }
}

const EO: Delivery = Delivery::ExactlyOnce;
const ALO: Delivery = Delivery::AtLeastOnce;

fn out() -> MarkerPlace {
    MarkerPlace::Fixed(SplitId::new("out", 0))
}

#[test]
fn the_place_of_the_marker_is_that_of_the_last_epoch() {
    assert_eq!(marker_place(&[]), MarkerPlace::Splits);
    for place in [MarkerPlace::Splits, out(), MarkerPlace::Nowhere] {
        assert_eq!(marker_place(&log("in", place.clone(), EO)), place);
    }
    assert!(has_marker(&log("in", MarkerPlace::Splits, ALO)) && has_marker(&log("in", out(), EO)));
    assert!(!has_marker(&log("/tmp/a.txt", MarkerPlace::Nowhere, ALO)));
}

#[test]
fn a_start_is_decided_as_the_job_itself_would() {
    let start = |log: &[(Manifest, Digest)], committed: &[Committed]| start(&job(), ShardId(0), log, committed, None);
    let resumed = Ok(Start::Resume { index: 0, ahead: None });
    let kafka = log("in", MarkerPlace::Splits, EO);
    let mine = committed(&kafka, SplitId::new("in", 0), 70);
    let unread = Committed { split: SplitId::new("other", 0), position: 1, metadata: Vec::new() };
    assert_eq!(start(&kafka, &[mine.clone(), unread]), resumed, "another topic is not asked for");
    let moved = Committed { position: 60, ..mine };
    assert!(matches!(start(&kafka, &[moved]), Err(Refusal::Position { .. })));
    assert!(matches!(start(&kafka, &[]), Err(Refusal::MarkerGone { .. })));
    let made_up = log("sequence", out(), EO);
    assert_eq!(start(&made_up, &[committed(&made_up, SplitId::new("out", 0), 7)]), resumed);
    assert!(matches!(start(&made_up, &[]), Err(Refusal::MarkerGone { .. })));
    assert_eq!(start(&log("/tmp/a.txt", MarkerPlace::Nowhere, ALO), &[]), resumed);
    let gone = start(&[], &[committed(&kafka, SplitId::new("in", 0), 70)]);
    assert!(matches!(gone, Err(Refusal::LogEndsBefore { .. })), "a job is taken to keep state");
}

#[test]
fn only_what_was_acknowledged_is_certain() {
    let written = log("in", MarkerPlace::Splits, EO);
    let mine = RecordId { epoch: Epoch(7), digest: written[0].1.clone() };
    assert_eq!(certain(&written, Some(&mine)), Some(0));
    assert_eq!(certain(&written, None), None);
    let other = RecordId { digest: log("elsewhere", MarkerPlace::Splits, EO)[0].1.clone(), ..mine };
    assert_eq!(certain(&written, Some(&other)), None, "the same number, another record");
    assert_eq!(certain(&log("in", MarkerPlace::Splits, ALO), None), Some(0));
    assert_eq!(certain(&[], None), None);
}
