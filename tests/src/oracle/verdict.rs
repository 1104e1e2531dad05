//! The judgement: from facts alone, a verdict that counts what is wrong and names the first of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::facts::{Entry, Facts, Observation, Output, SIDE_EVERY, Sight, chain};
use super::marker::Marker;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An input that no output reflects.
    Lost,
    /// An input that more than one output reflects.
    Duplicated,
    /// An output of a later input came first.
    Swapped,
    /// The numbers of a key have a gap.
    Gap,
    /// Two inputs got the same number of their key: its state went back.
    RolledBack,
    /// An output that does not follow from what was before it.
    Diverged,
    /// The exported state is not what the input makes of it.
    StateDiverged,
    /// A marker or a position went back.
    MarkerRolledBack,
    /// Partitions with different markers, or one epoch with two contents.
    MarkerDiverged,
    /// The concurrent reader saw what is not the beginning of the output.
    NotAPrefix,
    /// No new output for longer than allowed.
    Stalled,
}

/// What the judge found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records of the input.
    pub input: usize,
    /// Records of the output.
    pub output: usize,
    /// Different markers that were seen.
    pub markers: usize,
    /// Digest of the state that the input makes.
    pub state: u64,
    /// How often each thing is wrong; what is right is not in it.
    pub counts: BTreeMap<Kind, u64>,
    /// The first of what is wrong, in words.
    pub examples: Vec<String>,
}

/// More is not read by anybody.
const EXAMPLES_MAX: usize = 12;

impl Verdict {
    /// How often `kind` was found.
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// What is neither lost nor duplicated, and wrong.
    pub fn divergent(&self) -> u64 {
        self.counts.values().sum::<u64>() - self.count(Kind::Lost) - self.count(Kind::Duplicated)
    }

    /// Fails, naming what is wrong, unless all is right and there was something to judge.
    pub fn expect_exact(self) -> Result<Self> {
        ensure!(self.input > 0 && self.markers > 0, "nothing was judged: {self}");
        ensure!(self.counts.is_empty(), "{self}");
        Ok(self)
    }

    fn found(&mut self, kind: Kind, what: impl FnOnce() -> String) {
        *self.counts.entry(kind).or_default() += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!("{kind:?}: {}", what()));
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in, {} out, {} markers, state {:016x}: ", self.input, self.output, self.markers, self.state)?;
        let (lost, duplicated) = (self.count(Kind::Lost), self.count(Kind::Duplicated));
        write!(f, "{lost} lost, {duplicated} duplicated, {} divergent", self.divergent())?;
        for example in &self.examples {
            write!(f, "\n  {example}")?;
        }
        Ok(())
    }
}

/// Judges a job that has read its whole input. New output must never have taken longer than `pause_max`.
pub fn judge(facts: &Facts, pause_max: Duration) -> Verdict {
    let (input, output) = (facts.input.len(), facts.output.len());
    let mut verdict = Verdict { input, output, markers: facts.markers.len(), ..Verdict::default() };
    let expected = expect(facts);
    judge_output(&mut verdict, &expected, &facts.output);
    if let Some(side) = &facts.side {
        judge_side(&mut verdict, &facts.output, side);
    }
    judge_prefix(&mut verdict, &facts.seen, &facts.output);
    judge_markers(&mut verdict, &facts.markers, &facts.ends);
    judge_state(&mut verdict, &expected, &facts.state);
    if facts.longest_pause > pause_max {
        verdict.found(Kind::Stalled, || format!("no new output for {:?}", facts.longest_pause));
    }
    verdict
}

/// What the input makes of one key.
#[derive(Debug, Default)]
struct Expected {
    /// Sequence number to place in the order of the key, from 0.
    places: HashMap<u64, usize>,
    hash: u64,
}

fn expect(facts: &Facts) -> BTreeMap<&str, Expected> {
    let mut keys: BTreeMap<&str, Expected> = BTreeMap::new();
    for record in &facts.input {
        let key = keys.entry(&record.key).or_default();
        key.places.insert(record.sequence, key.places.len());
        key.hash = chain(key.hash, record.sequence.to_string().as_bytes());
    }
    keys
}

fn judge_output(verdict: &mut Verdict, expected: &BTreeMap<&str, Expected>, output: &[Output]) {
    let mut keys: BTreeMap<&str, Vec<&Output>> = BTreeMap::new();
    for record in output {
        keys.entry(&record.key).or_default().push(record);
    }
    let none = Expected::default();
    for (key, records) in &keys {
        judge_key(verdict, expected.get(key).unwrap_or(&none), records);
    }
    for (key, expected) in expected {
        let found: HashSet<u64> = keys.get(key).into_iter().flatten().map(|record| record.sequence).collect();
        let mut missing: Vec<_> = expected.places.keys().filter(|sequence| !found.contains(*sequence)).collect();
        missing.sort_unstable();
        for sequence in missing {
            verdict.found(Kind::Lost, || format!("{key}: sequence {sequence} is not in the output"));
        }
    }
}

/// Follows the chain of one key.
fn judge_key(verdict: &mut Verdict, expected: &Expected, records: &[&Output]) {
    let (mut taken, mut numbers) = (HashSet::new(), HashSet::new());
    let mut furthest = None;
    let mut last: Option<&Output> = None;
    for record in records {
        let Output { partition, offset, key, n, sequence, .. } = record;
        let what = |words: &str| format!("{key}: sequence {sequence}, n {n} at {partition}/{offset} {words}");
        let Some(place) = expected.places.get(sequence) else {
            verdict.found(Kind::Diverged, || what("is not in the input"));
            continue;
        };
        if !taken.insert(*sequence) {
            verdict.found(Kind::Duplicated, || what("is there already"));
            continue;
        }
        let (number, hash) = last.map_or((0, 0), |last| (last.n, last.hash));
        if !numbers.insert(*n) {
            verdict.found(Kind::RolledBack, || what("has a number that another sequence has"));
        } else if furthest > Some(*place) {
            verdict.found(Kind::Swapped, || what("comes after a later one"));
        } else if *n != number + 1 {
            verdict.found(Kind::Gap, || what(&format!("follows n {number}")));
        } else if record.prev != hash || last.is_some_and(|last| last.partition != *partition) {
            verdict.found(Kind::Diverged, || what("does not continue the chain"));
        }
        if record.hash != chain(record.prev, sequence.to_string().as_bytes()) {
            verdict.found(Kind::Diverged, || what("has a wrong hash"));
        }
        furthest = furthest.max(Some(*place));
        if last.is_none_or(|last| *n > last.n) {
            last = Some(record);
        }
    }
}

/// The side output has every fifth record of a key once more, in their order.
fn judge_side(verdict: &mut Verdict, output: &[Output], side: &[Output]) {
    let mut keys: BTreeMap<&str, (Vec<&Output>, Vec<&Output>)> = BTreeMap::new();
    let fifths = output.iter().filter(|record| record.n % SIDE_EVERY == 0);
    fifths.for_each(|record| keys.entry(&record.key).or_default().0.push(record));
    side.iter().for_each(|record| keys.entry(&record.key).or_default().1.push(record));
    for (right, found) in keys.values() {
        let what = |record: &Output, words: &str| format!("side output, {}: n {} {words}", record.key, record.n);
        let prints: HashSet<u64> = right.iter().map(|record| record.print).collect();
        let mut taken = HashSet::new();
        for record in found {
            if !prints.contains(&record.print) {
                verdict.found(Kind::Diverged, || what(record, "is no fifth of the output"));
            } else if !taken.insert(record.print) {
                verdict.found(Kind::Duplicated, || what(record, "is there already"));
            }
        }
        for record in right.iter().filter(|record| !taken.contains(&record.print)) {
            verdict.found(Kind::Lost, || what(record, "is not there"));
        }
        for (one, next) in found.iter().zip(found.iter().skip(1)).filter(|(one, next)| one.n > next.n) {
            verdict.found(Kind::Swapped, || what(next, &format!("comes after n {}", one.n)));
        }
    }
}

fn judge_prefix(verdict: &mut Verdict, seen: &BTreeMap<i32, Vec<Sight>>, output: &[Output]) {
    let mut partitions: BTreeMap<i32, Vec<Sight>> = BTreeMap::new();
    for Output { partition, offset, print, .. } in output {
        partitions.entry(*partition).or_default().push(Sight { offset: *offset, print: *print });
    }
    for (partition, seen) in seen {
        let output = partitions.get(partition).map_or(&[][..], Vec::as_slice);
        if !output.starts_with(seen) {
            let same = seen.iter().zip(output).take_while(|(seen, output)| seen == output).count();
            let at = seen.get(same).map_or(0, |sight| sight.offset);
            verdict.found(Kind::NotAPrefix, || format!("partition {partition}: a reader saw another record at {at}"));
        }
    }
}

fn judge_markers(verdict: &mut Verdict, observations: &[Observation], ends: &BTreeMap<i32, i64>) {
    let mut before: Option<(Marker, &Observation)> = None;
    for observation in observations {
        let texts: BTreeSet<&str> = observation.values().map(|committed| committed.metadata.as_str()).collect();
        let missing = ends.keys().find(|partition| !observation.contains_key(partition));
        let marker = match (texts.first(), texts.len(), missing) {
            (Some(text), 1, None) => Marker::parse(text),
            (_, _, Some(partition)) => Err(anyhow::anyhow!("partition {partition} has none beside {texts:?}")),
            _ => Err(anyhow::anyhow!("partitions have different ones: {texts:?}")),
        };
        let marker = match marker {
            Ok(marker) => marker,
            Err(error) => {
                verdict.found(Kind::MarkerDiverged, || format!("{error:#}"));
                continue;
            }
        };
        if let Some((older, earlier)) = &before {
            judge_step(verdict, (older, earlier), (&marker, observation));
        }
        before = Some((marker, observation));
    }
    let positions = |seen: &Observation| seen.iter().map(|(partition, at)| (*partition, at.position)).collect();
    let last: BTreeMap<i32, i64> = observations.last().map(positions).unwrap_or_default();
    if ends.iter().any(|(partition, end)| last.get(partition) != Some(end)) {
        verdict.found(Kind::MarkerDiverged, || format!("the last one stands at {last:?}, the input ends at {ends:?}"));
    }
}

/// From one marker to the next that was seen.
fn judge_step(verdict: &mut Verdict, (older, before): (&Marker, &Observation), (newer, now): (&Marker, &Observation)) {
    let went_back =
        |(partition, at): (&i32, &super::Committed)| now.get(partition).is_some_and(|now| now.position < at.position);
    if newer.epoch < older.epoch {
        verdict.found(Kind::MarkerRolledBack, || format!("epoch {} after epoch {}", newer.epoch, older.epoch));
    } else if before.iter().any(went_back) {
        verdict.found(Kind::MarkerRolledBack, || format!("positions of epoch {} went back", newer.epoch));
    } else if newer.epoch == older.epoch {
        // What was seen is different, so one epoch has two contents.
        verdict.found(Kind::MarkerDiverged, || format!("epoch {} twice: {older:?}, {newer:?}", newer.epoch));
    } else if (&newer.job, newer.shard) != (&older.job, older.shard) {
        verdict.found(Kind::MarkerDiverged, || format!("{newer:?} after {older:?}"));
    }
}

/// The plugin keeps, per key, how many it saw and the end of the chain, both as 8 bytes, little endian.
fn judge_state(verdict: &mut Verdict, expected: &BTreeMap<&str, Expected>, exported: &[Entry]) {
    let mut right = BTreeMap::new();
    for (key, expected) in expected {
        let seen = expected.places.len() as u64;
        right.insert(("seen", key.as_bytes()), seen.to_le_bytes().to_vec());
        right.insert(("hash", key.as_bytes()), expected.hash.to_le_bytes().to_vec());
    }
    verdict.state = digest(&right);
    let mut found = BTreeMap::new();
    for Entry { operator, table, key, value } in exported {
        let name = || format!("{operator}.{table} of {:?}", String::from_utf8_lossy(key));
        let at = (table.as_str(), key.as_slice());
        match right.get(&at) {
            Some(right) if right == value => {}
            Some(right) => verdict.found(Kind::StateDiverged, || format!("{} is {value:?}, not {right:?}", name())),
            None => verdict.found(Kind::StateDiverged, || format!("{} should not be there", name())),
        }
        if found.insert(at, value.clone()).is_some() {
            verdict.found(Kind::StateDiverged, || format!("{} is there twice", name()));
        }
    }
    for (table, key) in right.keys().filter(|at| !found.contains_key(*at)) {
        let key = String::from_utf8_lossy(key);
        verdict.found(Kind::StateDiverged, || format!("{table} of {key:?} is missing"));
    }
    if digest(&found) != verdict.state && verdict.count(Kind::StateDiverged) == 0 {
        verdict.found(Kind::StateDiverged, || "the digests differ".to_owned());
    }
}

fn digest(entries: &BTreeMap<(&str, &[u8]), Vec<u8>>) -> u64 {
    entries.iter().fold(0, |digest, ((table, key), value)| chain(chain(chain(digest, table.as_bytes()), key), value))
}

#[cfg(test)]
mod tests;
