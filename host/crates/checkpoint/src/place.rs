//! Which epoch holds, where the pipeline of this start is another one than that of the epoch before: its marker may stand
//! at another place, and what it does not read any more keeps an old marker for ever. What has changed is taken out of
//! the facts here; [`resolve()`] then decides as if nothing had.

use std::borrow::Cow;
use std::sync::Arc;

use weir_core::ports::Committed;
use weir_core::{Digest, JobName, ShardId, SourceName, SplitState};

use crate::manifest::{Manifest, PlanRecord, plans};
use crate::marker::Marker;
use crate::resolve::{Facts, MarkerPlace, Refusal, Start, index_of, resolve};

/// What is known besides.
pub struct Since<'a> {
    /// Whether the last record of the log holds for certain, without a look at the marker: see [`crate::survey::certain`].
    pub certain: bool,
    /// Whether a recorded split is not read any more, with the user's leave.
    pub dropped: Dropped<'a>,
}

/// Asks whether a split of a source (where the source is known) is not read any more, with the user's leave.
pub type Dropped<'a> = &'a dyn Fn(Option<&SourceName>, &SplitState) -> bool;

/// Whether a committed text is a marker of this job, wherever it stands.
pub fn is_marked(committed: &Committed, job: &JobName, shard: ShardId) -> bool {
    Marker::parse(&committed.metadata).is_ok_and(|marker| marker.job == *job && marker.shard == shard)
}

/// Decides. `facts` are those of this start: its place of the marker, and all that is committed for it there, for
/// what was recorded, and with a marker of this job anywhere else.
pub fn start(facts: Facts<'_>, since: &Since<'_>) -> Result<Start, Refusal> {
    let newest = newest(facts.committed);
    let held = newest.as_ref().and_then(|marker| facts.log.get(index_of(facts.log, marker)?)).map(|(held, _)| held);
    let Some((last, _)) = facts.log.last() else {
        let committed = without_left(facts.committed, newest.as_ref(), since.dropped);
        return resolve(Facts { committed: &committed, ..facts });
    };
    let last_of = Start::Resume { index: facts.log.len() - 1, ahead: None };
    // It had no marker so far, or none since: the log decides alone, unless a marker knows of more.
    let knows_more = newest.as_ref().is_some_and(|marker| marker.epoch > last.epoch);
    if last.plan.marker == MarkerPlace::Nowhere && !knows_more {
        return resolve(Facts { place: &MarkerPlace::Nowhere, ..facts });
    }
    if let Some(log) = before_its_first_marker(facts.log, newest.as_ref()) {
        return resolve(Facts { log, place: &MarkerPlace::Nowhere, ..facts });
    }
    if *facts.place == MarkerPlace::Nowhere {
        return match since.certain {
            true => Ok(last_of),
            false => Err(Refusal::MarkerElsewhere { job: facts.job.clone(), last: last.epoch }),
        };
    }
    let log = without(facts.log, since.dropped);
    // The marker went with the last that carried it.
    let has_lost_all = |(left, (was, _)): (&(Manifest, Digest), &(Manifest, Digest))| {
        was.plan.marker == MarkerPlace::Splits && left.0.marked().next().is_none() && was.marked().next().is_some()
    };
    if newest.is_none() && log.last().zip(facts.log.last()).is_some_and(has_lost_all) {
        return if since.certain { Ok(last_of) } else { resolve(Facts { place: &last.plan.marker, ..facts }) };
    }
    let committed: Vec<Committed> = match held {
        Some(held) => facts.committed.iter().filter(|c| !is_left(c, held, since.dropped)).cloned().collect(),
        None => facts.committed.to_vec(),
    };
    let place = match &held.unwrap_or(last).plan.marker {
        MarkerPlace::Nowhere => facts.place,
        recorded => recorded,
    };
    resolve(Facts { log: &log, committed: &committed, place, ..facts })
}

fn newest(committed: &[Committed]) -> Option<Marker> {
    committed.iter().filter_map(|c| Marker::parse(&c.metadata).ok()).max_by_key(|marker| marker.epoch)
}

/// The log of a job that had no marker, up to where the log alone decided, if all that came since is the record that was to
/// get the first one: it is empty, and its commit did not happen.
fn before_its_first_marker<'a>(
    log: &'a [(Manifest, Digest)],
    newest: Option<&Marker>,
) -> Option<&'a [(Manifest, Digest)]> {
    let (_, before) = log.split_last()?;
    let (last, _) = before.last().filter(|(last, _)| last.plan.marker == MarkerPlace::Nowhere)?;
    newest.is_none_or(|marker| marker.epoch <= last.epoch).then_some(before)
}

/// Without a log nothing tells where the last epoch put its marker: what its user has dropped keeps an older one.
fn without_left(committed: &[Committed], newest: Option<&Marker>, dropped: Dropped<'_>) -> Vec<Committed> {
    let is_older = |c: &Committed| {
        let marker = Marker::parse(&c.metadata);
        marker.is_ok_and(|marker| newest.is_some_and(|newest| marker.epoch < newest.epoch))
    };
    let is_dropped = |c: &Committed| {
        dropped(
            None,
            &SplitState { split: c.split.clone(), position: c.position, end: None, identity: None, term: None },
        )
    };
    committed.iter().filter(|c| !(is_older(c) && is_dropped(c))).cloned().collect()
}

/// Whether an older marker than that of `held` only stays where the job has not committed since: at a split that it does
/// not read any more, or at an earlier place of the marker.
fn is_left(committed: &Committed, held: &Manifest, dropped: Dropped<'_>) -> bool {
    let is_older = Marker::parse(&committed.metadata).is_ok_and(|marker| marker.epoch < held.epoch);
    is_older
        && match &held.plan.marker {
            MarkerPlace::Splits => held.marked().all(|(name, s)| s.split != committed.split || dropped(Some(name), &s)),
            MarkerPlace::Fixed(place) => *place != committed.split,
            MarkerPlace::Nowhere => true,
        }
}

/// The log as if what was dropped had never been read. The digests stay those of the records.
fn without<'a>(log: &'a [(Manifest, Digest)], dropped: Dropped<'_>) -> Cow<'a, [(Manifest, Digest)]> {
    let has_dropped = |plan: &&Arc<PlanRecord>| plan.splits().any(|(name, split)| dropped(Some(name), &split));
    if !plans(log).iter().any(has_dropped) {
        return Cow::Borrowed(log);
    }
    let kept = |name: &SourceName, split: &SplitState| !dropped(Some(name), split);
    log.iter().map(|(manifest, digest)| (manifest.only(kept), digest.clone())).collect()
}

#[cfg(test)]
mod tests;
