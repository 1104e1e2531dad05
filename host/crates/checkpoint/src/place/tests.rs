//! Starts whose pipeline is another one than before.
use weir_core::{Delivery, Epoch, SplitId};

use super::*;
use crate::samples::{follow, job, split};

const EO: Delivery = Delivery::ExactlyOnce;
const ALO: Delivery = Delivery::AtLeastOnce;

fn fixed(topic: &str) -> MarkerPlace {
    MarkerPlace::Fixed(SplitId::new(topic, 0))
}

/// A chain of epochs 1, 2, ..: what each reads (at epoch * 10), and where its marker stands.
fn log(records: &[(&[&str], MarkerPlace, Delivery)]) -> Vec<(Manifest, Digest)> {
    let mut chain: Vec<(Manifest, Digest)> = Vec::new();
    for (epoch, (topics, marker, delivery)) in (1..).zip(records) {
        let position = i64::try_from(epoch).unwrap() * 10;
        let splits = topics.iter().map(|topic| split(topic, 0, position)).collect();
        follow(&mut chain, epoch, splits, (marker.clone(), *delivery));
    }
    chain
}

/// The marker of a record, beside `topic`.
fn marked(topic: &str, (manifest, digest): &(Manifest, Digest)) -> Committed {
    let (epoch, attempt, digest) = (manifest.epoch, manifest.attempt.clone(), digest.clone());
    let position = i64::try_from(epoch.0).unwrap() * 10;
    let marker = Marker { job: job(), shard: ShardId(0), epoch, attempt, digest };
    Committed { split: SplitId::new(topic, 0), position, metadata: marker.encode().into_bytes() }
}

/// The start of a job that now keeps its marker at `place`, and does not read `dropped` any more.
fn decide(
    log: &[(Manifest, Digest)],
    committed: &[Committed],
    place: &MarkerPlace,
    certain: bool,
    dropped: &[&str],
) -> Result<Start, Refusal> {
    let facts = Facts {
        job: &job(),
        shard: ShardId(0),
        log,
        committed,
        place,
        delivery: Delivery::ExactlyOnce,
        stateless: false,
    };
    start(facts, &Since { certain, dropped: &|_, s| dropped.contains(&&*s.split.stream) })
}

fn resume(index: usize) -> Result<Start, Refusal> {
    Ok(Start::Resume { index, ahead: None })
}

const SPLITS: MarkerPlace = MarkerPlace::Splits;
const NOWHERE: MarkerPlace = MarkerPlace::Nowhere;

#[test]
fn a_first_marker_that_was_not_committed_costs_nothing() {
    let alo = Delivery::AtLeastOnce;
    let first = log(&[(&["f"], NOWHERE, alo), (&["f"], NOWHERE, alo), (&["f"], fixed("out"), EO)]);
    assert_eq!(decide(&first, &[], &fixed("out"), false, &[]), resume(1), "the log decided until then");
    assert_eq!(decide(&first, &[], &NOWHERE, false, &[]), resume(1), "and does again");
    assert_eq!(decide(&first, &[marked("out", &first[2])], &fixed("out"), false, &[]), resume(2));
    let later = log(&[(&["f"], NOWHERE, alo), (&["f"], fixed("out"), EO), (&["f"], fixed("out"), EO)]);
    let gone = decide(&later, &[], &fixed("out"), false, &[]);
    assert!(matches!(gone, Err(Refusal::MarkerGone { .. })), "a second record needs a first commit: {gone:?}");
    // An older marker than all that the log decided since, of a record that is trimmed.
    let old = log(&[(&["f"], fixed("out"), EO), (&["f"], NOWHERE, alo), (&["f"], fixed("out"), EO)]);
    assert_eq!(decide(&old[1..], &[marked("out", &old[0])], &fixed("out"), false, &[]), resume(0));
}

#[test]
fn a_container_may_drop_a_source_and_start_again() {
    let made = log(&[(&["a", "b"], SPLITS, EO), (&["a"], SPLITS, EO)]);
    let committed = [marked("a", &made[1]), marked("b", &made[0])];
    let facts = |committed| {
        let (job, shard, delivery) = (Box::leak(Box::new(job())), ShardId(0), EO);
        Facts { job, shard, log: &[], committed, place: &SPLITS, delivery, stateless: true }
    };
    let start_of = |dropped: &'static str| {
        start(facts(&committed), &Since { certain: false, dropped: &|_, s| &*s.split.stream == dropped })
    };
    assert!(matches!(start_of("b"), Ok(Start::FromMarker { positions, .. }) if positions.len() == 1));
    assert!(matches!(start_of("other"), Err(Refusal::Torn { .. })));
}

#[test]
fn nothing_has_changed() {
    let log = log(&[(&["in"], SPLITS, EO), (&["in"], SPLITS, EO)]);
    assert_eq!(decide(&[], &[], &SPLITS, false, &[]), Ok(Start::First));
    assert_eq!(decide(&log, &[marked("in", &log[0])], &SPLITS, true, &[]), resume(0));
    assert!(matches!(decide(&log, &[], &SPLITS, true, &[]), Err(Refusal::MarkerGone { .. })));
    // Whatever the pipeline reads now: a directory that is gone is missed.
    assert!(matches!(decide(&[], &[marked("in", &log[1])], &SPLITS, false, &[]), Err(Refusal::LogEndsBefore { .. })));
    assert!(matches!(
        decide(&[], &[marked("in", &log[1])], &fixed("o"), false, &[]),
        Err(Refusal::LogEndsBefore { .. })
    ));
}

#[test]
fn the_marker_is_found_where_it_was() {
    let made = log(&[(&["sequence"], fixed("out"), EO), (&["sequence"], fixed("out"), EO)]);
    let new = fixed("new");
    assert_eq!(decide(&made, &[marked("out", &made[1])], &new, false, &[]), resume(1), "another sink from now on");
    assert_eq!(decide(&made, &[marked("out", &made[0])], &new, false, &[]), resume(0), "epoch 2 was not committed");
    let gone = decide(&made, &[], &new, false, &[]);
    assert!(matches!(gone, Err(Refusal::MarkerGone { split, .. }) if &*split.stream == "out"));
    let moved = log(&[(&["sequence"], fixed("out"), EO), (&["sequence"], new.clone(), EO)]);
    let both = [marked("out", &moved[0]), marked("new", &moved[1])];
    assert_eq!(decide(&moved, &both, &new, false, &[]), resume(1), "the old place keeps its marker");
    let back = log(&[(&["s"], fixed("out"), EO), (&["s"], new, EO), (&["s"], fixed("out"), EO)]);
    let both = [marked("out", &back[2]), marked("new", &back[1])];
    assert_eq!(decide(&back, &both, &fixed("out"), false, &[]), resume(2), "and back again");
}

#[test]
fn what_was_dropped_keeps_an_old_marker() {
    let log = log(&[(&["a", "b"], SPLITS, EO), (&["a"], SPLITS, EO)]);
    let committed = [marked("a", &log[1]), marked("b", &log[0])];
    assert_eq!(decide(&log, &committed, &SPLITS, false, &[]), resume(1));
    assert_eq!(decide(&log, &committed, &SPLITS, false, &["b"]), resume(1));
}

#[test]
fn an_old_marker_on_what_is_read_is_somebody_elses() {
    let log = log(&[(&["a", "b"], SPLITS, EO), (&["a", "b"], SPLITS, EO)]);
    let committed = [marked("a", &log[1]), marked("b", &log[0])];
    assert!(matches!(decide(&log, &committed, &SPLITS, false, &[]), Err(Refusal::Torn { .. })));
    assert!(matches!(decide(&log[..1], &committed, &SPLITS, false, &[]), Err(Refusal::Torn { .. })));
}

#[test]
fn the_offsets_of_a_topic_go_with_it() {
    let log = log(&[(&["a", "b"], SPLITS, EO), (&["a", "b"], SPLITS, EO)]);
    let left = [marked("a", &log[1])];
    assert!(matches!(decide(&log, &left, &SPLITS, true, &[]), Err(Refusal::MarkerGone { .. })));
    assert_eq!(decide(&log, &left, &SPLITS, false, &["b"]), resume(1));
    // With the last of them the marker is gone: only what the store has applied is certain.
    assert_eq!(decide(&log, &[], &SPLITS, true, &["a", "b"]), resume(1));
    assert!(matches!(decide(&log, &[], &SPLITS, false, &["a", "b"]), Err(Refusal::MarkerGone { .. })));
    assert!(matches!(decide(&log, &[], &SPLITS, true, &["a"]), Err(Refusal::MarkerGone { .. })));
}

#[test]
fn another_source_finds_the_marker_of_the_one_before() {
    let kafka = log(&[(&["in"], SPLITS, EO), (&["in"], SPLITS, EO)]);
    assert_eq!(decide(&kafka, &[marked("in", &kafka[1])], &fixed("out"), false, &["in"]), resume(1));
    let moved = decide(&kafka, &[Committed { position: 5, ..marked("in", &kafka[1]) }], &fixed("out"), false, &[]);
    assert!(matches!(moved, Err(Refusal::Position { .. })));
    let made = log(&[(&["sequence"], fixed("out"), EO), (&["sequence"], fixed("out"), EO)]);
    assert_eq!(decide(&made, &[marked("out", &made[0])], &SPLITS, false, &["sequence"]), resume(0));
}

#[test]
fn without_kafka_the_last_epoch_must_be_certain() {
    let kafka = log(&[(&["sequence"], fixed("out"), EO), (&["sequence"], fixed("out"), EO)]);
    assert!(matches!(decide(&kafka, &[], &NOWHERE, false, &[]), Err(Refusal::MarkerElsewhere { last: Epoch(2), .. })));
    assert_eq!(decide(&kafka, &[], &NOWHERE, true, &[]), resume(1));
}

#[test]
fn a_log_without_marker_decides_alone_until_there_is_one() {
    let local = log(&[(&["f"], NOWHERE, ALO), (&["f"], NOWHERE, ALO)]);
    assert_eq!(decide(&local, &[], &NOWHERE, false, &[]), resume(1));
    assert_eq!(decide(&local, &[], &fixed("out"), false, &[]), resume(1), "Kafka is new");
    let local_since = log(&[(&["f"], fixed("out"), EO), (&["f"], NOWHERE, ALO)]);
    assert_eq!(decide(&local_since, &[marked("out", &local_since[0])], &fixed("out"), false, &[]), resume(1));
    let longer = log(&[(&["f"], NOWHERE, ALO), (&["f"], NOWHERE, ALO), (&["f"], fixed("out"), EO)]);
    let elsewhere = decide(&longer[..2], &[marked("out", &longer[2])], &fixed("out"), false, &[]);
    assert!(matches!(elsewhere, Err(Refusal::LogEndsBefore { .. })), "a copy of it went on with Kafka");
}
