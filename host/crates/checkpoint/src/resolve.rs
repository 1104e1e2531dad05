//! Which epoch holds, or why none can be trusted. Decides from what was read back; touches nothing.
//!
//! Kafka decides for records written exactly-once: they count only up to the marker. The log decides for records
//! written at-least-once (the commit merely follows it). Records written with delivery `none` count as far as they
//! were written, and Kafka may be ahead of them. Whenever the two cannot be brought together the job refuses to start:
//! a wrong guess here would lose or repeat records silently.

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
    /// What the group has committed, for every split that could carry a marker. Empty for a job without a marker.
    pub committed: &'a [Committed],
    /// Where the marker stands.
    pub place: &'a MarkerPlace,
    /// True when no operator of the job keeps state: the marker alone is then enough to go on.
    pub stateless: bool,
}

/// Where a job keeps its marker. Recorded with each epoch: a start may have another place (see [`crate::place`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkerPlace {
    /// Beside the committed position of every split (a Kafka source).
    Splits,
    /// Beside the offset of one fixed partition (another source, a Kafka sink).
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
        /// Positions that Kafka has and that win over the record's (delivery `none` only).
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
    /// Kafka has a marker of an epoch that this directory never held.
    #[error(
        "Kafka says epoch {marker} of job {job} holds, but this state directory {has}; start with the directory that \
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
    /// The state directory holds epochs, Kafka has no marker.
    #[error(
        "this state directory holds epoch {last} of job {job}, but its consumer group weir-{job} has no committed \
         offset for {split}: it was deleted, or has expired; restore the group's offsets, or start from nothing with \
         another --job or an empty --state-dir"
    )]
    MarkerGone {
        /// The job.
        job: JobName,
        /// The newest epoch of the log.
        last: Epoch,
        /// A split without a committed offset.
        split: SplitId,
    },
    /// Somebody else committed into the job's group.
    #[error(
        "the committed offset {position} of {split} in group weir-{job} is not this job's: {reason}; somebody reset \
         or committed the group's offsets, and going on could lose or repeat records; to accept it, start from nothing \
         with another --job and --start offsets:..."
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
        "epoch {epoch}: {split} is committed at {committed}, but the manifest says {recorded}; somebody moved the group's offsets"
    )]
    Position {
        /// The epoch.
        epoch: Epoch,
        /// The split.
        split: SplitId,
        /// Position in Kafka.
        committed: i64,
        /// Position in the manifest.
        recorded: i64,
    },
    /// The marker stands in Kafka, and this pipeline has none.
    #[error(
        "whether epoch {last} of job {job} holds is written in Kafka (group weir-{job}), and this pipeline has no Kafka \
         to look there; start the job with Kafka once and stop it with SIGTERM, or choose another --job to start from \
         nothing"
    )]
    NoKafka {
        /// The job.
        job: JobName,
        /// The newest epoch of the log.
        last: Epoch,
    },
    /// The log belongs to another job or shard, or does not hang together.
    #[error("the epoch log is not this job's: {0}")]
    Log(String),
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
    match common_marker(&facts)? {
        None => without_marker(&facts),
        Some(marker) => with_marker(&facts, &marker),
    }
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

/// The one marker that every committed split carries (I6). A commit without a valid marker is somebody else's.
fn common_marker(facts: &Facts<'_>) -> Result<Option<Marker>, Refusal> {
    let mut common: Option<(Marker, &SplitId)> = None;
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
        match &common {
            Some((first, other)) if *first != marker => {
                let (epoch, other_epoch) = (marker.epoch, first.epoch);
                return Err(Refusal::Torn { split, epoch, other: (*other).clone(), other_epoch });
            }
            Some(_) => {}
            None => common = Some((marker, &committed.split)),
        }
    }
    Ok(common.map(|(marker, _)| marker))
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
                _ => match last.splits.first() {
                    Some(split) => split.split.clone(),
                    // A pattern that matches nothing yet has nothing to commit.
                    None => return Ok(Start::Resume { index: facts.log.len() - 1, ahead: None }),
                },
            };
            Err(Refusal::MarkerGone { job: facts.job.clone(), last: last.epoch, split })
        }
    }
}

fn with_marker(facts: &Facts<'_>, marker: &Marker) -> Result<Start, Refusal> {
    let held = facts.log.iter().enumerate().find(|(_, (manifest, digest))| {
        manifest.epoch == marker.epoch && manifest.attempt == marker.attempt && *digest == marker.digest
    });
    if let Some((index, (manifest, _))) = held {
        check_positions(facts, marker, &manifest.splits)?;
        // What was written at-least-once (or with none) after the marker's record holds by itself.
        let beyond = facts.log.iter().skip(index + 1).take_while(|(m, _)| m.delivery != Delivery::ExactlyOnce).count();
        return Ok(Start::Resume { index: index + beyond, ahead: None });
    }
    let positions = || facts.committed.iter().map(|c| (c.split.clone(), c.position)).collect();
    match facts.log.last() {
        Some((last, _)) if last.delivery == Delivery::None && marker.epoch > last.epoch => {
            Ok(Start::Resume { index: facts.log.len() - 1, ahead: Some(positions()) })
        }
        // Later records than the marker's: such a start got as far as its log and no further.
        _ if facts.stateless
            && *facts.place == MarkerPlace::Splits
            && facts.log.iter().all(|(m, _)| m.epoch > marker.epoch) =>
        {
            Ok(Start::FromMarker { marker: marker.clone(), positions: positions() })
        }
        last => Err(Refusal::LogEndsBefore {
            job: facts.job.clone(),
            marker: marker.epoch,
            has: last.map_or_else(
                || "is empty, and the job keeps state".to_owned(),
                |(last, _)| format!("does not hold it (its last is epoch {} of attempt {})", last.epoch, last.attempt),
            ),
        }),
    }
}

/// I6 again: the committed offsets are those of the manifest, on every split it names.
fn check_positions(facts: &Facts<'_>, marker: &Marker, splits: &[SplitState]) -> Result<(), Refusal> {
    if *facts.place != MarkerPlace::Splits {
        return Ok(());
    }
    for recorded in splits {
        let Some(committed) = facts.committed.iter().find(|c| c.split == recorded.split) else {
            let (job, split) = (facts.job.clone(), recorded.split.clone());
            return Err(Refusal::MarkerGone { job, last: marker.epoch, split });
        };
        if committed.position != recorded.position {
            let (split, epoch) = (recorded.split.clone(), marker.epoch);
            return Err(Refusal::Position { epoch, split, committed: committed.position, recorded: recorded.position });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
