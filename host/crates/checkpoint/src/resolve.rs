//! Which epoch holds, or why none can be trusted. Decides from what was read back; touches nothing.
//!
//! The marker decides for records written exactly-once: they count only up to it. The log decides for records
//! written at-least-once: the commit merely follows it, and may have failed for some splits. Records written with
//! delivery `none` count as far as they were written, and the marker may be ahead of them, by what the same attempt committed
//! and for a start that promises no more. Whenever the two cannot be brought together the job refuses to start:
//! a wrong guess here would lose or repeat records silently.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use weir_core::ports::Committed;
use weir_core::{Delivery, Digest, Epoch, JobName, ShardId, SplitId, SplitState};

use crate::manifest::Manifest;
use crate::marker::{self, Marker};

/// What is known before a start.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The job that wants to start.
    pub job: &'a JobName,
    /// Its shard.
    pub shard: ShardId,
    /// The manifests of the epoch log, oldest first, with their digests.
    pub log: &'a [(Manifest, Digest)],
    /// What is committed, for every split that could carry a marker. Empty for a job without a marker.
    pub committed: &'a [Committed],
    /// Where the marker stands.
    pub place: &'a MarkerPlace,
    /// What the start promises.
    pub delivery: Delivery,
    /// True when no operator of the job keeps state and the marker stands beside the positions of every source: the
    /// marker alone is then enough to go on.
    pub stateless: bool,
}

/// Where a job keeps its marker. Recorded with each epoch: a start may have another place (see [`crate::place`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkerPlace {
    /// Beside the committed position of every split of the sources that have such positions.
    Splits,
    /// Beside the position of one fixed split, of what the job writes (sources without such positions).
    Fixed(SplitId),
    /// Nowhere: the epoch log decides alone.
    Nowhere,
}

/// How to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Nothing was ever committed here: resolve the first positions.
    First,
    /// A first start that did not get to its first commit: the recorded positions and bounds are kept.
    FirstAgain,
    /// Restore the log record of this index.
    Resume {
        /// Index into the log; whatever follows it is cut off.
        index: usize,
        /// Positions that are committed and that win over the record's (delivery `none` only).
        ahead: Option<Vec<(SplitId, i64)>>,
    },
    /// No directory, but a job that needs none: go on from the marker's positions.
    FromMarker {
        /// The marker of the epoch that holds.
        marker: Marker,
        /// The committed positions.
        positions: Vec<(SplitId, i64)>,
    },
}

/// Why a job does not start: what disagrees, and what resolves it. Exit code 4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is a marker of an epoch that this directory never held.
    #[error(
        "the marker says epoch {marker} of job {job} holds, but this state directory {has}; start with the directory that \
         holds epoch {marker}, or choose another --job to start from nothing"
    )]
    LogEndsBefore {
        /// The job.
        job: JobName,
        /// The marker's epoch.
        marker: Epoch,
        /// What the directory has instead.
        has: String,
    },
    /// Delivery `none` lost the end of its log, and the start promises more.
    #[error(
        "the marker says epoch {marker} of job {job} holds, and this state directory ends with epoch {last}: it ran with \
         delivery none, whose state may stay behind; to go on from the committed positions with that state start it \
         once with --delivery none, to begin anew use `host reset`"
    )]
    Ahead {
        /// The job.
        job: JobName,
        /// The marker's epoch.
        marker: Epoch,
        /// The newest epoch of the log.
        last: Epoch,
    },
    /// The state directory holds epochs, and there is no marker.
    #[error(
        "this state directory holds epoch {last} of job {job}, but no position is committed for {split}: {}, or begin anew \
         with `host reset` or another --job",
        uncommitted(split, *.is_itself)
    )]
    MarkerGone {
        /// The job.
        job: JobName,
        /// The newest epoch of the log.
        last: Epoch,
        /// A split without a committed position.
        split: SplitId,
        /// Whether it is known to be the very split that one was committed for.
        is_itself: bool,
    },
    /// The marker went with what carried it.
    #[error(
        "{stream:?}, which the state of job {job} was built from (up to epoch {last}), {}, or begin anew with `host reset` \
         or another --job",
        without(stream, *.fate)
    )]
    SourceGone {
        /// The job.
        job: JobName,
        /// The newest epoch of the log.
        last: Epoch,
        /// What is gone.
        stream: String,
        /// What is in its place.
        fate: Fate,
    },
    /// Somebody else committed in the job's place.
    #[error(
        "the committed position {position} of {split} is not that of job {job}: {reason}; somebody else reset or \
         committed it, and going on could lose or repeat records; to accept it, start from nothing with another --job \
         and --start offsets:..."
    )]
    Foreign {
        /// The job.
        job: JobName,
        /// The split.
        split: SplitId,
        /// Its committed position.
        position: i64,
        /// Why it is foreign.
        reason: String,
    },
    /// The splits do not carry the same marker.
    #[error(
        "{split} carries the marker of epoch {epoch}, {other} that of epoch {other_epoch}; they are committed together, so somebody else wrote one of them"
    )]
    Torn {
        /// One split.
        split: SplitId,
        /// Its epoch.
        epoch: Epoch,
        /// Another split.
        other: SplitId,
        /// Its epoch.
        other_epoch: Epoch,
    },
    /// The record in the log does not say what the marker and the offsets say.
    #[error(
        "epoch {epoch}: {split} is committed at {committed}, but the manifest says {recorded}; somebody moved what is committed"
    )]
    Position {
        /// The epoch.
        epoch: Epoch,
        /// The split.
        split: SplitId,
        /// Its committed position.
        committed: i64,
        /// Position in the manifest.
        recorded: i64,
    },
    /// The marker stands where this pipeline does not look.
    #[error(
        "whether epoch {last} of job {job} holds is written outside of this directory, beside what the job read or \
         wrote, and this pipeline has nothing there; start the job once with what it had and stop it with SIGTERM, or \
         choose another --job to start from nothing"
    )]
    MarkerElsewhere {
        /// The job.
        job: JobName,
        /// The newest epoch of the log.
        last: Epoch,
    },
    /// The log belongs to another job or shard, or does not hang together.
    #[error("the epoch log is not this job's: {0}")]
    Log(String),
}

/// What is in the place of a source that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing, and the pipeline names it.
    Missed,
    /// Nothing, and the pipeline has only once matched it.
    Unmatched,
    /// Another one of its name.
    Replaced,
}

/// Where everything is, perhaps, that is not found.
const ELSEWHERE: &str = "this is another cluster than before: name that one";

/// Why a source is gone with what was committed for it, and how to go on without it.
fn without(stream: &str, fate: Fate) -> String {
    let gone = format!("is not there, nor what was committed for it: it was deleted, or {ELSEWHERE}");
    let flag = format!("give --drop-source {stream} to go on without what is lost of it");
    match fate {
        Fate::Missed => format!(
            "{gone}, or take it out of --from (or the sources of the file) and {flag}; or create it again, to be read from \
             its beginning, and give that flag"
        ),
        Fate::Unmatched => format!("{gone}, or {flag}"),
        Fate::Replaced => format!(
            "is another one now, and nothing is committed for it: it was deleted and created again, or {ELSEWHERE}, or \
             {flag} and read the new one from its beginning"
        ),
    }
}

/// Why nothing is committed for a split, and where it may be.
fn uncommitted(split: &SplitId, is_itself: bool) -> String {
    match is_itself {
        true => "it was deleted, or has expired; restore it".to_owned(),
        false => format!(
            "{:?} was deleted and created again, what was committed was deleted or has expired, or {ELSEWHERE}",
            split.stream
        ),
    }
}

/// Decides. See the module's head.
pub fn resolve(facts: Facts<'_>) -> Result<Start, Refusal> {
    check_log(&facts)?;
    if *facts.place == MarkerPlace::Nowhere {
        return Ok(match facts.log {
            [] => Start::First,
            log => Start::Resume { index: log.len() - 1, ahead: None },
        });
    }
    with_markers(&facts, &marked(&facts)?)
}

fn check_log(facts: &Facts<'_>) -> Result<(), Refusal> {
    for (manifest, _) in facts.log {
        if manifest.job != *facts.job || manifest.shard != facts.shard {
            let (job, shard) = (&manifest.job, manifest.shard);
            return Err(Refusal::Log(format!(
                "it is of job {job}, shard {shard}, wanted job {}, shard {}",
                facts.job, facts.shard
            )));
        }
    }
    for pair in facts.log.windows(2) {
        let [(before, digest), (after, _)] = pair else { continue };
        if after.previous.as_ref() != Some(digest) || after.epoch <= before.epoch {
            return Err(Refusal::Log(format!(
                "its record of epoch {} does not follow that of epoch {}",
                after.epoch, before.epoch
            )));
        }
    }
    Ok(())
}

/// What is committed, with its marker. A commit without a valid marker is somebody else's.
type Marked<'a> = Vec<(&'a Committed, Marker)>;

fn marked<'a>(facts: &Facts<'a>) -> Result<Marked<'a>, Refusal> {
    let mut marked = Vec::with_capacity(facts.committed.len());
    for committed in facts.committed {
        let (split, position) = (committed.split.clone(), committed.position);
        let foreign =
            |reason: String| Refusal::Foreign { job: facts.job.clone(), split: split.clone(), position, reason };
        let marker = Marker::parse(&committed.metadata).map_err(|e| match e {
            marker::Error::Foreign if committed.metadata.is_empty() => foreign("it carries no marker".into()),
            other => foreign(other.to_string()),
        })?;
        if marker.job != *facts.job || marker.shard != facts.shard {
            return Err(foreign(format!("its marker is of job {}, shard {}", marker.job, marker.shard)));
        }
        marked.push((committed, marker));
    }
    Ok(marked)
}

fn without_marker(facts: &Facts<'_>) -> Result<Start, Refusal> {
    match facts.log {
        [] => Ok(Start::First),
        // A fork, and perhaps the first record of an attempt, which is empty: no second one is written before that is
        // committed.
        [(fork, _)] | [(fork, _), _] if fork.is_fork() => Ok(Start::Resume { index: 0, ahead: None }),
        [(only, _)] if only.first => Ok(Start::FirstAgain),
        [.., (last, _)] => {
            let split = match facts.place {
                MarkerPlace::Fixed(split) => split.clone(),
                _ => match last.marked().next() {
                    Some((_, split)) => split.split,
                    // A pattern that matches nothing yet has nothing to commit.
                    None => return Ok(Start::Resume { index: facts.log.len() - 1, ahead: None }),
                },
            };
            Err(Refusal::MarkerGone { job: facts.job.clone(), last: last.epoch, split, is_itself: false })
        }
    }
}

fn with_markers(facts: &Facts<'_>, marked: &Marked<'_>) -> Result<Start, Refusal> {
    let mut held: Vec<(usize, &Committed)> = Vec::new();
    let mut unheld: Vec<(&Marker, &Committed)> = Vec::new();
    for (committed, marker) in marked {
        match index_of(facts.log, marker) {
            Some(index) => held.push((index, committed)),
            None => unheld.push((marker, committed)),
        }
    }
    let (Some(oldest), Some(newest)) = (held.iter().map(|h| h.0).min(), held.iter().map(|h| h.0).max()) else {
        return without_record(facts, marked);
    };
    // I6: one commit writes all markers. A plain commit may be refused for some splits, and stands for others.
    let until = if unheld.is_empty() { newest } else { facts.log.len() - 1 };
    if !facts.log.iter().take(until + 1).skip(oldest + 1).all(is_plain) {
        return Err(torn(marked));
    }
    if !unheld.is_empty() {
        return ahead(facts, &unheld).unwrap_or_else(|| Err(torn(marked)));
    }
    check_positions(facts, &held, newest)?;
    // What was written at-least-once (or with none) after the marker's record holds by itself.
    let beyond = facts.log.iter().skip(newest + 1).take_while(|record| is_plain(record)).count();
    Ok(Start::Resume { index: newest + beyond, ahead: None })
}

/// The record that a marker names.
pub(crate) fn index_of(log: &[(Manifest, Digest)], marker: &Marker) -> Option<usize> {
    log.iter().position(|(manifest, digest)| {
        manifest.epoch == marker.epoch && manifest.attempt == marker.attempt && *digest == marker.digest
    })
}

/// Whether a record holds by itself, whatever the marker says of it.
fn is_plain((manifest, _): &(Manifest, Digest)) -> bool {
    manifest.delivery != Delivery::ExactlyOnce
}

/// No marker names a record of this log.
fn without_record(facts: &Facts<'_>, marked: &Marked<'_>) -> Result<Start, Refusal> {
    let Some((_, marker)) = marked.first() else { return without_marker(facts) };
    let unheld: Vec<_> = marked.iter().map(|(committed, marker)| (marker, *committed)).collect();
    if let Some(start) = ahead(facts, &unheld) {
        return start;
    }
    if marked.iter().any(|(_, other)| other != marker) {
        return Err(torn(marked));
    }
    // Later records than the marker's: such a start got as far as its log and no further.
    let is_enough = facts.stateless && *facts.place == MarkerPlace::Splits;
    if is_enough && facts.log.iter().all(|(m, _)| m.epoch > marker.epoch) {
        let positions = facts.committed.iter().map(|c| (c.split.clone(), c.position)).collect();
        return Ok(Start::FromMarker { marker: marker.clone(), positions });
    }
    Err(ends_before(facts, marker))
}

/// With delivery `none` the log may lose its end, and nothing else may be missing from it: the attempt that wrote its
/// last record went on. Every attempt's first record is synced, so another attempt is another lineage.
fn is_ahead(last: &Manifest, marker: &Marker) -> bool {
    last.delivery == Delivery::None && marker.attempt == last.attempt && marker.epoch > last.epoch
}

/// Goes on from the last state with positions that only the marker has, where whoever starts has promised nothing more.
/// `None`: not all of `unheld` are ahead of the log.
fn ahead(facts: &Facts<'_>, unheld: &[(&Marker, &Committed)]) -> Option<Result<Start, Refusal>> {
    let (last, _) = facts.log.last()?;
    let (marker, _) = unheld.first().filter(|_| unheld.iter().all(|(marker, _)| is_ahead(last, marker)))?;
    if facts.delivery != Delivery::None {
        return Some(Err(Refusal::Ahead { job: facts.job.clone(), marker: marker.epoch, last: last.epoch }));
    }
    let positions = unheld.iter().map(|(_, c)| (c.split.clone(), c.position)).collect();
    Some(Ok(Start::Resume { index: facts.log.len() - 1, ahead: Some(positions) }))
}

fn ends_before(facts: &Facts<'_>, marker: &Marker) -> Refusal {
    let has = facts.log.last().map_or_else(
        || "is empty, and the job keeps state in it, or the position of a source".to_owned(),
        |(last, _)| format!("does not hold it (its last is epoch {} of attempt {})", last.epoch, last.attempt),
    );
    Refusal::LogEndsBefore { job: facts.job.clone(), marker: marker.epoch, has }
}

/// Two that do not carry the same marker.
fn torn(marked: &Marked<'_>) -> Refusal {
    let mut marked = marked.iter().map(|(committed, marker)| (committed.split.clone(), marker));
    let (other, first) = marked.next().map_or((SplitId::new("", 0), None), |(split, marker)| (split, Some(marker)));
    let differs = marked.find(|(_, marker)| Some(*marker) != first);
    let (split, epoch) = differs.map_or((other.clone(), Epoch(0)), |(split, marker)| (split, marker.epoch));
    Refusal::Torn { split, epoch, other, other_epoch: first.map_or(Epoch(0), |marker| marker.epoch) }
}

/// I6 again: each committed offset is that of the record its marker names, and every split of the `newest` such record
/// has one. Only a plain commit may have failed for some of them.
fn check_positions(facts: &Facts<'_>, held: &[(usize, &Committed)], newest: usize) -> Result<(), Refusal> {
    if *facts.place != MarkerPlace::Splits {
        return Ok(());
    }
    // All name the same record, unless a plain commit was refused for some.
    let mut recorded: HashMap<usize, HashMap<SplitId, i64>> = HashMap::new();
    for (index, committed) in held {
        let Some((manifest, _)) = facts.log.get(*index) else { continue };
        let positions = || manifest.marked().map(|(_, split)| (split.split, split.position)).collect();
        let position = recorded.entry(*index).or_insert_with(positions).get(&committed.split).copied();
        if let Some(recorded) = position.filter(|recorded| *recorded != committed.position) {
            let (split, epoch) = (committed.split.clone(), manifest.epoch);
            return Err(Refusal::Position { epoch, split, committed: committed.position, recorded });
        }
    }
    let Some((manifest, _)) = facts.log.get(newest).filter(|record| !is_plain(record)) else { return Ok(()) };
    let carry: HashSet<&SplitId> = held.iter().map(|(_, committed)| &committed.split).collect();
    match manifest.marked().find(|(_, recorded)| !carry.contains(&recorded.split)) {
        Some((_, SplitState { split, .. })) => {
            Err(Refusal::MarkerGone { job: facts.job.clone(), last: manifest.epoch, split, is_itself: false })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
