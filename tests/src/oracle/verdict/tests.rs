//! Faults planted in the facts of an exact job: each must be found, and named.

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::oracle::facts::{Committed, Input, fingerprint};

const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Two keys in two partitions, `count` records; three epochs.
fn exact(count: u64) -> Facts {
    let mut facts = Facts::default();
    let mut chains: HashMap<&str, (u64, u64)> = HashMap::new();
    for sequence in 1..=count {
        let (partition, key) = [(0, "a"), (1, "b")][usize::from(sequence % 3 == 0)];
        facts.input.push(Input { partition, key: key.into(), sequence });
        *facts.ends.entry(partition).or_default() += 1;
        let (n, prev) = chains.get(key).copied().unwrap_or_default();
        let hash = chain(prev, sequence.to_string().as_bytes());
        chains.insert(key, (n + 1, hash));
        let print = fingerprint(key.as_bytes(), &sequence.to_le_bytes());
        let offset = sequence as i64;
        facts.output.push(Output { partition, offset, print, key: key.into(), n: n + 1, prev, hash, sequence });
        facts.seen.entry(partition).or_default().push(Sight { offset, print });
    }
    for (key, (n, hash)) in chains {
        for (table, value) in [("seen", n), ("hash", hash)] {
            facts.state.push(entry(table, key, value));
        }
    }
    for epoch in 1..=3_i64 {
        let at = |end: i64| end * epoch / 3;
        facts.markers.push(facts.ends.iter().map(|(&partition, &end)| (partition, marker(epoch, at(end)))).collect());
    }
    facts
}

fn entry(table: &str, key: &str, value: u64) -> Entry {
    let (operator, key) = ("oracle".to_owned(), key.as_bytes().to_vec());
    Entry { operator, table: table.to_owned(), key, value: value.to_le_bytes().to_vec() }
}

fn marker(epoch: i64, position: i64) -> Committed {
    Committed { position, metadata: format!("weir;1;job;0;{epoch};attempt;digest-{epoch}") }
}

/// The output of key `a`, from which faults are made.
fn of_a(facts: &Facts) -> Vec<usize> {
    (0..facts.output.len()).filter(|at| facts.output[*at].key == "a").collect()
}

/// Plants a fault in an exact job: it must be found once, under its name, and nothing may be called lost or duplicated
/// that is not.
fn planted(kind: Kind, plant: impl FnOnce(&mut Facts)) -> Verdict {
    let mut facts = exact(30);
    plant(&mut facts);
    let verdict = judge(&facts, PAUSE_MAX);
    assert_eq!(verdict.count(kind), 1, "{kind:?}: {verdict}");
    assert!(verdict.to_string().contains(&format!("{kind:?}: ")), "it is not named: {verdict}");
    for other in [Kind::Lost, Kind::Duplicated].into_iter().filter(|other| *other != kind) {
        assert_eq!(verdict.count(other), 0, "{verdict}");
    }
    assert!(verdict.clone().expect_exact().is_err(), "{verdict}");
    verdict
}

#[test]
fn an_exact_job_is_exact() {
    let verdict = judge(&exact(30), PAUSE_MAX).expect_exact().unwrap();
    assert_eq!((verdict.input, verdict.output, verdict.markers), (30, 30, 3));
}

#[test]
fn an_empty_job_is_not_called_exact() {
    assert!(judge(&Facts::default(), PAUSE_MAX).expect_exact().is_err());
}

#[test]
fn a_lost_output_is_found() {
    let verdict = planted(Kind::Lost, |facts| {
        facts.seen.clear();
        facts.output.remove(of_a(facts)[4]);
    });
    assert_eq!(verdict.count(Kind::Gap), 1, "{verdict}");
}

#[test]
fn an_input_that_was_never_processed_is_found() {
    // Chain, state and markers are as if it had never been: only the input tells.
    let mut facts = exact(30);
    facts.input.insert(10, Input { partition: 0, key: "a".into(), sequence: 1000 });
    let verdict = judge(&facts, PAUSE_MAX);
    assert_eq!(verdict.count(Kind::Lost), 1, "{verdict}");
    assert_eq!(verdict.count(Kind::StateDiverged), 2, "{verdict}");
}

#[test]
fn a_lost_last_output_is_found() {
    planted(Kind::Lost, |facts| {
        facts.seen.clear();
        facts.output.pop();
    });
}

#[test]
fn a_repeated_output_is_found() {
    let verdict = planted(Kind::Duplicated, |facts| {
        facts.seen.clear();
        let at = of_a(facts)[4];
        facts.output.insert(at + 1, facts.output[at].clone());
    });
    assert_eq!(verdict.divergent(), 0, "{verdict}");
}

#[test]
fn an_input_that_was_processed_twice_is_found() {
    planted(Kind::Duplicated, |facts| {
        facts.seen.clear();
        let at = of_a(facts)[4];
        let mut again = facts.output[at].clone();
        again.n += 1;
        again.prev = again.hash;
        again.hash = chain(again.prev, again.sequence.to_string().as_bytes());
        facts.output.insert(at + 1, again);
    });
}

#[test]
fn swapped_outputs_are_found() {
    planted(Kind::Swapped, |facts| {
        facts.seen.clear();
        let places = of_a(facts);
        facts.output.swap(places[4], places[5]);
    });
}

#[test]
fn inputs_that_were_processed_in_another_order_are_found() {
    planted(Kind::Swapped, |facts| {
        facts.seen.clear();
        let places = of_a(facts);
        let (first, second) = (facts.output[places[4]].sequence, facts.output[places[5]].sequence);
        let mut prev = facts.output[places[4]].prev;
        for (at, sequence) in places[4..].iter().zip([second, first]) {
            let hash = chain(prev, sequence.to_string().as_bytes());
            facts.output[*at] = Output { sequence, prev, hash, ..facts.output[*at].clone() };
            prev = hash;
        }
    });
}

#[test]
fn state_that_went_back_is_found() {
    // From the sixth record of `a` on, the state is that of before the fifth.
    planted(Kind::RolledBack, |facts| {
        facts.seen.clear();
        let places = of_a(facts);
        let (mut n, mut prev) = (facts.output[places[4]].n - 1, facts.output[places[4]].prev);
        for at in &places[5..] {
            let record = &mut facts.output[*at];
            n += 1;
            let hash = chain(prev, record.sequence.to_string().as_bytes());
            (record.n, record.prev, record.hash) = (n, prev, hash);
            prev = hash;
        }
        // Found once where it happens; what follows from it is cut off.
        let keep = places[5];
        facts.output.truncate(keep + 1);
        facts.input.truncate(keep + 1);
    });
}

#[test]
fn a_broken_chain_is_found() {
    planted(Kind::Diverged, |facts| {
        let at = of_a(facts)[4];
        facts.output[at].prev ^= 1;
        facts.output[at].hash = chain(facts.output[at].prev, facts.output[at].sequence.to_string().as_bytes());
        // Whoever goes on goes on from there.
        let next = of_a(facts)[5];
        let (prev, sequence) = (facts.output[at].hash, facts.output[next].sequence);
        facts.output[next].prev = prev;
        facts.output[next].hash = chain(prev, sequence.to_string().as_bytes());
        facts.output.truncate(next + 1);
        facts.input.truncate(next + 1);
        facts.seen.clear();
    });
}

#[test]
fn a_wrong_hash_is_found() {
    planted(Kind::Diverged, |facts| {
        let last = *of_a(facts).last().unwrap();
        facts.output[last].hash ^= 1;
    });
}

#[test]
fn an_output_without_an_input_is_found() {
    planted(Kind::Diverged, |facts| {
        facts.seen.clear();
        let alien = Output { key: "c".into(), sequence: 77, ..facts.output[0].clone() };
        facts.output.push(alien);
    });
}

#[test]
fn a_key_in_two_partitions_is_found() {
    planted(Kind::Diverged, |facts| {
        facts.seen.clear();
        let last = *of_a(facts).last().unwrap();
        facts.output[last].partition = 1;
    });
}

#[test]
fn state_that_is_wrong_missing_or_foreign_is_found() {
    let plant = |plant: fn(&mut Vec<Entry>)| {
        planted(Kind::StateDiverged, |facts| plant(&mut facts.state));
    };
    plant(|state| state[0].value[0] ^= 1);
    plant(|state| drop(state.pop()));
    plant(|state| state.push(entry("seen", "nobody", 1)));
    plant(|state| state.push(state[0].clone()));
}

#[test]
fn a_marker_or_a_position_that_goes_back_is_found() {
    planted(Kind::MarkerRolledBack, |facts| {
        let older = facts.markers[0].clone();
        facts.markers.insert(2, older);
    });
    planted(Kind::MarkerRolledBack, |facts| {
        facts.markers[1].get_mut(&0).unwrap().position = 0;
    });
}

#[test]
fn markers_that_differ_over_partitions_or_within_an_epoch_are_found() {
    planted(Kind::MarkerDiverged, |facts| {
        let other = marker(3, facts.markers[1][&0].position);
        facts.markers[1].insert(0, other);
    });
    planted(Kind::MarkerDiverged, |facts| drop(facts.markers[1].remove(&1)));
    planted(Kind::MarkerDiverged, |facts| {
        let mut twice = facts.markers[1].clone();
        for committed in twice.values_mut() {
            committed.metadata = committed.metadata.replace("attempt", "rival");
        }
        facts.markers.insert(2, twice);
    });
    planted(Kind::MarkerDiverged, |facts| {
        for committed in facts.markers[1].values_mut() {
            committed.metadata = String::new();
        }
    });
}

#[test]
fn a_last_marker_that_is_not_at_the_end_is_found() {
    planted(Kind::MarkerDiverged, |facts| drop(facts.markers.pop()));
}

#[test]
fn a_reader_that_saw_what_is_not_there_in_the_end_is_found() {
    planted(Kind::NotAPrefix, |facts| facts.seen.get_mut(&0).unwrap()[3].print ^= 1);
    planted(Kind::NotAPrefix, |facts| {
        facts.seen.get_mut(&0).unwrap().remove(3);
    });
    planted(Kind::NotAPrefix, |facts| {
        facts.seen.get_mut(&1).unwrap().push(Sight { offset: 1000, print: 1 });
    });
    // Less than all is a prefix.
    let mut facts = exact(30);
    facts.seen.get_mut(&0).unwrap().truncate(2);
    judge(&facts, PAUSE_MAX).expect_exact().unwrap();
}

#[test]
fn a_stall_is_found() {
    planted(Kind::Stalled, |facts| facts.longest_pause = PAUSE_MAX + Duration::from_millis(1));
}

#[test]
fn chains_are_those_of_the_plugin() {
    // FNV-1a, 64 bit, of eight zero bytes and `1`; computed by another program.
    assert_eq!(chain(0, b"1"), 0xe604_b13a_2490_799c);
}

#[test]
fn faults_of_the_side_output_are_found() {
    let with_side = |plant: &dyn Fn(&mut Vec<Output>)| {
        let mut facts = exact(60);
        let mut side: Vec<Output> = facts.output.iter().filter(|record| record.n % SIDE_EVERY == 0).cloned().collect();
        assert!(side.iter().filter(|record| record.key == "a").count() > 3, "there is something to spoil");
        plant(&mut side);
        facts.side = Some(side);
        judge(&facts, PAUSE_MAX)
    };
    with_side(&|_| {}).expect_exact().unwrap();
    let only = |kind: Kind, plant: &dyn Fn(&mut Vec<Output>)| {
        let verdict = with_side(plant);
        assert_eq!(verdict.counts, BTreeMap::from([(kind, 1)]), "{verdict}");
    };
    only(Kind::Lost, &|side| drop(side.remove(2)));
    only(Kind::Duplicated, &|side| side.insert(3, side[2].clone()));
    only(Kind::Diverged, &|side| side.insert(2, Output { print: 1, ..side[2].clone() }));
    only(Kind::Swapped, &|side| {
        let of_a: Vec<usize> = (0..side.len()).filter(|at| side[*at].key == "a").collect();
        side.swap(of_a[0], of_a[1]);
    });
}
