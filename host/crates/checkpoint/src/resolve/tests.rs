//! The table of starts: what the log and Kafka say, and what follows.
use weir_core::AttemptId;

use super::*;
use crate::samples::{self, follow, job};

fn split(partition: i32) -> SplitId {
    SplitId::new("in", partition)
}

/// A chain of records: (epoch, delivery); positions are epoch * 10.
fn log(records: &[(u64, Delivery)]) -> Vec<(Manifest, Digest)> {
    let mut chain: Vec<(Manifest, Digest)> = Vec::new();
    for (epoch, delivery) in records {
        let position = i64::try_from(*epoch).unwrap() * 10;
        let splits = vec![samples::split("in", 0, position), samples::split("in", 1, position)];
        follow(&mut chain, *epoch, splits, (MarkerPlace::Splits, *delivery));
    }
    chain
}

fn marker_of(record: &(Manifest, Digest)) -> Marker {
    let (manifest, digest) = record;
    Marker {
        job: job(),
        shard: ShardId(0),
        epoch: manifest.epoch,
        attempt: manifest.attempt.clone(),
        digest: digest.clone(),
    }
}

fn committed(record: &(Manifest, Digest)) -> Vec<Committed> {
    let metadata = marker_of(record).encode().into_bytes();
    let at = |s: SplitState| Committed { split: s.split, position: s.position, metadata: metadata.clone() };
    record.0.marked().map(|(_, s)| at(s)).collect()
}

fn decide(log: &[(Manifest, Digest)], committed: &[Committed], stateless: bool) -> Result<Start, Refusal> {
    decide_as(EO, log, committed, stateless)
}

/// For a start that promises `delivery`.
fn decide_as(
    delivery: Delivery,
    log: &[(Manifest, Digest)],
    committed: &[Committed],
    stateless: bool,
) -> Result<Start, Refusal> {
    resolve(Facts { job: &job(), shard: ShardId(0), log, committed, place: &MarkerPlace::Splits, delivery, stateless })
}

const EO: Delivery = Delivery::ExactlyOnce;
const ALO: Delivery = Delivery::AtLeastOnce;
const NONE: Delivery = Delivery::None;

fn resume(index: usize) -> Result<Start, Refusal> {
    Ok(Start::Resume { index, ahead: None })
}

#[test]
fn nothing_anywhere_is_a_first_start() {
    assert_eq!(decide(&[], &[], false), Ok(Start::First));
    assert_eq!(decide(&log(&[(1, EO)]), &[], false), Ok(Start::FirstAgain));
}

#[test]
fn the_marker_names_the_record() {
    let log = log(&[(1, EO), (2, EO), (3, EO)]);
    assert_eq!(decide(&log, &committed(&log[2]), false), resume(2));
    assert_eq!(decide(&log, &committed(&log[1]), false), resume(1), "epoch 3 was written and not committed");
}

#[test]
fn at_least_once_records_hold_by_themselves() {
    let log = log(&[(1, ALO), (2, ALO), (3, ALO), (4, EO)]);
    assert_eq!(decide(&log, &committed(&log[0]), false), resume(2), "Kafka behind is fine; epoch 4 needs its marker");
}

#[test]
fn with_none_kafka_may_be_ahead() {
    let written = log(&[(1, Delivery::None), (2, Delivery::None)]);
    let longer = log(&[(1, Delivery::None), (2, Delivery::None), (3, Delivery::None)]);
    let beyond = committed(&longer[2]);
    let ahead = |splits: &[i32]| {
        let positions = splits.iter().map(|p| (split(*p), 30)).collect();
        Ok(Start::Resume { index: 1, ahead: Some(positions) })
    };
    assert_eq!(decide_as(NONE, &written, &beyond, false), ahead(&[0, 1]));
    // Who starts with more than `none` has promised that state and positions belong together.
    for delivery in [EO, ALO] {
        let refused = decide_as(delivery, &written, &beyond, false);
        assert!(matches!(refused, Err(Refusal::Ahead { marker: Epoch(3), last: Epoch(2), .. })), "{refused:?}");
    }
    // Another attempt than the log's own: the job went on elsewhere.
    let (mut elsewhere, _) = longer[2].clone();
    elsewhere.attempt = AttemptId("a2".into());
    let digest = elsewhere.encode().1;
    let foreign = committed(&(elsewhere, digest));
    for delivery in [NONE, ALO, EO] {
        let refused = decide_as(delivery, &written, &foreign, false);
        assert!(matches!(refused, Err(Refusal::LogEndsBefore { marker: Epoch(3), .. })), "{refused:?}");
    }
    // A plain commit may have been refused for one of them.
    let mixed = [committed(&longer[1]).remove(0), beyond[1].clone()];
    assert_eq!(
        decide_as(NONE, &written, &mixed, false),
        ahead(&[1]),
        "the log's position is the newer one for the other"
    );
    assert_eq!(decide_as(NONE, &written, &beyond[..1], false), ahead(&[0]));
    let both = [beyond[0].clone(), foreign[1].clone()];
    assert!(decide_as(NONE, &written, &both, false).is_err(), "one of two lineages");
}

#[test]
fn a_plain_commit_may_have_been_refused_for_some_partitions() {
    let plain = log(&[(1, ALO), (2, ALO), (3, ALO)]);
    let at = |first: usize, second: usize| [committed(&plain[first]).remove(0), committed(&plain[second]).remove(1)];
    for (first, second) in [(2, 1), (1, 2), (0, 2), (2, 0), (0, 1), (1, 0)] {
        assert_eq!(
            decide_as(ALO, &plain, &at(first, second), false),
            resume(2),
            "{first} and {second}: the log decides"
        );
    }
    assert_eq!(decide_as(ALO, &plain, &at(2, 2)[..1], false), resume(2), "the other one never got a commit");
    let mut moved = at(2, 1);
    moved[1].position = 21;
    let refused = decide_as(ALO, &plain, &moved, false);
    assert!(matches!(refused, Err(Refusal::Position { epoch: Epoch(2), recorded: 20, .. })), "{refused:?}");
    // A transaction between them had written both.
    let mixed = log(&[(1, ALO), (2, EO), (3, ALO)]);
    let apart = [committed(&mixed[0]).remove(0), committed(&mixed[2]).remove(1)];
    assert!(matches!(decide_as(ALO, &mixed, &apart, false), Err(Refusal::Torn { .. })));
    // The start's own mode does not matter: what counts is who wrote them.
    assert_eq!(decide(&plain, &at(2, 1), false), resume(2));
}

#[test]
fn a_directory_that_cannot_serve_is_refused() {
    let whole = log(&[(1, EO), (2, EO), (3, EO)]);
    let late = committed(&whole[2]);
    for old in [&whole[..0], &whole[..2]] {
        assert!(matches!(decide(old, &late, false), Err(Refusal::LogEndsBefore { marker: Epoch(3), .. })));
    }
    let positions = vec![(split(0), 30), (split(1), 30)];
    let from_marker = Ok(Start::FromMarker { marker: marker_of(&whole[2]), positions });
    assert_eq!(decide(&[], &late, true), from_marker, "a job without state");
    let longer = log(&[(1, EO), (2, EO), (3, EO), (4, EO)]);
    assert_eq!(decide(&longer[3..], &late, true), from_marker, "its first epoch was written and not committed");
}

#[test]
fn the_same_number_from_another_attempt_is_not_the_same_record() {
    let log = log(&[(1, EO), (2, EO)]);
    let mut other = marker_of(&log[1]);
    other.attempt = AttemptId("a2".into());
    let metadata = other.encode().into_bytes();
    let committed = [Committed { split: split(0), position: 20, metadata }];
    assert!(matches!(decide(&log, &committed, false), Err(Refusal::LogEndsBefore { .. })));
}

#[test]
fn commits_of_others_are_refused() {
    let log = log(&[(1, EO), (2, EO)]);
    let good = committed(&log[1]);
    let check = |change: fn(&mut Vec<Committed>), wanted: fn(&Refusal) -> bool| {
        let mut bad = good.clone();
        change(&mut bad);
        let refusal = decide(&log, &bad, false).unwrap_err();
        assert!(wanted(&refusal), "{refusal}");
    };
    check(|c| c[0].metadata.clear(), |r| matches!(r, Refusal::Foreign { .. }));
    check(|c| c[1].metadata = b"\xff".to_vec(), |r| matches!(r, Refusal::Foreign { .. }));
    check(|c| c[1].position = 21, |r| matches!(r, Refusal::Position { committed: 21, recorded: 20, .. }));
    check(|c| drop(c.pop()), |r| matches!(r, Refusal::MarkerGone { .. }));
    check(|c| c.clear(), |r| matches!(r, Refusal::MarkerGone { .. }));
    let gone = |is_itself| Refusal::MarkerGone { job: job(), last: Epoch(2), split: split(0), is_itself }.to_string();
    assert!(gone(true).contains("expired; restore it, or begin anew") && !gone(true).contains("cluster"));
    for cause in ["\"in\" was deleted and created again", "committed was deleted or has expired", "another cluster"] {
        assert!(gone(false).contains(cause), "{}", gone(false));
    }
    let mut torn = good.clone();
    torn[1] = committed(&log[0]).remove(1);
    assert!(matches!(decide(&log, &torn, false), Err(Refusal::Torn { .. })));
}

#[test]
fn a_new_partition_without_a_marker_is_legal() {
    // It is simply not among the committed splits.
    let log = log(&[(1, EO)]);
    assert_eq!(decide(&log, &committed(&log[0]), false), resume(0));
}

#[test]
fn a_broken_chain_is_refused() {
    let mut records = log(&[(1, EO), (2, EO), (3, EO)]);
    let last = committed(&records[2]);
    records.remove(1);
    assert!(matches!(decide(&records, &last, false), Err(Refusal::Log(_))));
}

#[test]
fn without_kafka_the_log_decides() {
    let log = log(&[(1, ALO), (2, ALO)]);
    let facts = Facts {
        job: &job(),
        shard: ShardId(0),
        log: &log,
        committed: &[],
        place: &MarkerPlace::Nowhere,
        delivery: EO,
        stateless: false,
    };
    assert_eq!(resolve(facts), resume(1));
}

#[test]
fn a_fork_starts_with_its_state_until_something_is_committed() {
    let (old, digest) = log(&[(1, EO), (2, EO), (7, EO)]).remove(2);
    let forked = old.fork(digest.clone(), job(), AttemptId("b1".into()));
    let (_, forked_digest) = forked.encode();
    let next = |epoch, previous: &Digest| {
        let manifest =
            Manifest { epoch: Epoch(epoch), first: false, previous: Some(previous.clone()), ..forked.clone() };
        let (_, digest) = manifest.encode();
        (manifest, digest)
    };
    let first = next(9, &forked_digest);
    let second = next(10, &first.1);
    assert_eq!(forked.epoch, Epoch(8), "an epoch of its own, so that no number stands for two states");
    let fork = (forked, forked_digest);
    assert_eq!(decide(std::slice::from_ref(&fork), &[], false), resume(0));
    assert_eq!(decide(&[fork.clone(), first.clone()], &[], false), resume(0), "its first commit may have failed");
    let longer = [fork.clone(), first.clone(), second];
    assert!(matches!(decide(&longer, &[], false), Err(Refusal::MarkerGone { .. })), "something was committed");
    assert_eq!(decide(&longer, &committed(&first), false), resume(1));
    let foreign = committed(&(old, digest));
    assert!(matches!(decide(&[fork], &foreign, false), Err(Refusal::LogEndsBefore { .. })), "another's marker");
}
