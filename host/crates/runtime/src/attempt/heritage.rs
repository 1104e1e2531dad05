//! What a start goes on with of what was recorded: which epoch, which splits, which operators. Decided by `checkpoint`
//! before anybody is fenced, and again once all are: [`Glanced`] to [`Fenced`] to [`Decided`], in no other order (I4).

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::{debug, info, warn};
use weir_checkpoint::inherit::Note;
use weir_checkpoint::manifest::plans;
use weir_checkpoint::place::{self, Since, is_marked};
use weir_checkpoint::resolve::{Fate, Refusal};
use weir_checkpoint::sources::{GoneOn, Reader, Reading, Recorded, Unread};
use weir_checkpoint::{Course, Facts, Manifest, Start, survey};
use weir_core::ports::{Committed, MarkerRead};
use weir_core::{Digest, Fault, SplitId, SplitState, crash_point};

use super::restore::check_store;
use super::{LOOK, MarkerPlace, of_source};
use crate::error::{Error, chain};
use crate::job::{Job, OperatorSetup};
use crate::watch::{Late, Watch};

/// What a start found.
pub(super) struct Heritage<'a> {
    pub(super) job: &'a Job,
    /// The manifests of the log, oldest first.
    pub(super) log: &'a [(Manifest, Digest)],
    /// Every split that may carry a marker.
    marked: BTreeSet<SplitId>,
    /// For each source the splits that there are now, where that was asked.
    found: Vec<Option<Vec<SplitState>>>,
}

/// A start that has looked, and disturbed nobody: as far as it saw, this directory can serve.
pub(super) struct Glanced<'a>(Heritage<'a>);

/// A start after which no earlier attempt commits anything.
pub(super) struct Fenced<'a>(Heritage<'a>);

/// A start that knows for good what holds.
pub(super) struct Decided<'a> {
    pub(super) heritage: Heritage<'a>,
    pub(super) start: Start,
}

impl<'a> Glanced<'a> {
    /// A directory that can never serve must not disturb a healthy owner.
    pub(super) fn new(
        job: &'a Job,
        course: &Course,
        watch: Watch<'_>,
        log: &'a [(Manifest, Digest)],
    ) -> Result<Self, Error> {
        let mut heritage = Heritage::look(job, watch, log)?;
        let seen = heritage.glance(watch)?;
        heritage.decide(course, &seen)?;
        Ok(Self(heritage))
    }

    /// Fences every earlier attempt.
    pub(super) fn fence(self, watch: Watch<'_>) -> Result<Fenced<'a>, Error> {
        let job = self.0.job;
        let sink = Arc::clone(&job.sink);
        watch.port("fence earlier attempts", (job.options.bounds.fence, Late::End), move || sink.fence())?;
        Ok(Fenced(self.0))
    }
}

impl<'a> Fenced<'a> {
    /// Reads the marker for good, and decides by it.
    pub(super) fn decide(self, course: &Course, watch: Watch<'_>) -> Result<Decided<'a>, Error> {
        let committed = self.0.read_stable(watch)?;
        crash_point!("marker-read")?;
        let start = self.0.decide(course, &committed)?;
        Ok(Decided { heritage: self.0, start })
    }
}

impl<'a> Heritage<'a> {
    /// Looks at the sources: splits that may carry a marker are those of the log, and those that exist now.
    fn look(job: &'a Job, watch: Watch<'_>, log: &'a [(Manifest, Digest)]) -> Result<Self, Error> {
        let mut heritage = Self { job, log, marked: BTreeSet::new(), found: vec![None; job.sources.len()] };
        match &job.options.marker_place {
            MarkerPlace::Nowhere => {}
            MarkerPlace::Fixed(split) => drop(heritage.marked.insert(split.clone())),
            MarkerPlace::Splits => {
                heritage.marked = plans(log).iter().flat_map(|plan| plan.marked().cloned()).collect();
                let is_known = !heritage.marked.is_empty();
                for (source, found) in job.sources.iter().zip(&mut heritage.found).filter(|(source, _)| source.marked) {
                    match of_source(job, source, watch, LOOK, |source| source.discover()) {
                        Ok(splits) => {
                            heritage.marked.extend(splits.iter().map(|s| s.split.clone()));
                            *found = Some(splits);
                        }
                        // A topic that is gone: what the log knows is enough to say that it is the job's, and what to do.
                        Err(error) if error.fault() == Fault::Config && is_known => {
                            debug!(source = %source.name, error = %chain(&error), "the splits of the log have to do");
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(heritage)
    }

    /// What the group has committed for these splits, and wherever else a marker of this job stands: its place may have
    /// been another one.
    fn glance(&mut self, watch: Watch<'_>) -> Result<Vec<Committed>, Error> {
        let job = self.job;
        if job.options.marker_place == MarkerPlace::Nowhere || job.sink.marker_home().is_none() {
            return Ok(Vec::new());
        }
        let sink = Arc::clone(&job.sink);
        let bound = (job.options.bounds.call, Late::Abandon);
        let mut committed = watch.port("read the marker", bound, move || sink.committed())?;
        let (name, shard) = (&job.options.name, job.options.shard);
        committed.retain(|c| self.marked.contains(&c.split) || is_marked(c, name, shard));
        // A list leaves out what this user may not see; asked for by name, that is an error.
        let known: BTreeSet<&SplitId> = committed.iter().map(|c| &c.split).collect();
        let missing: Vec<SplitId> = self.recorded().filter(|s| !known.contains(s)).collect();
        if !missing.is_empty() {
            let sink = Arc::clone(&job.sink);
            let read = move || sink.read_marker(&missing, MarkerRead::Glance);
            committed.extend(watch.port("read the marker", bound, read)?);
        }
        self.marked.extend(committed.iter().map(|c| c.split.clone()));
        self.find(&committed);
        Ok(committed)
    }

    /// With a topic its offsets go. One that has offsets and was not found is only not seen yet: nobody drops it.
    fn find(&mut self, committed: &[Committed]) {
        let Some((last, _)) = self.log.last() else { return };
        let committed: BTreeSet<&SplitId> = committed.iter().map(|c| &c.split).collect();
        let found: BTreeSet<SplitId> = self.found.iter().flatten().flatten().map(|s| s.split.clone()).collect();
        for (name, split) in last.marked() {
            if committed.contains(&split.split) && !found.contains(&split.split) {
                let reader = self.read(|reading| reading.reader_of(Some(name), &split.split));
                if let Some(Some(found)) = reader.and_then(|(at, _)| self.found.get_mut(at)) {
                    found.push(split.clone());
                }
            }
        }
    }

    /// Where the last epoch of the log put its marker.
    fn recorded(&self) -> impl Iterator<Item = SplitId> {
        self.log.last().into_iter().flat_map(|(last, _)| last.plan.carriers().cloned())
    }

    /// The same for good: nothing of this job is pending any more.
    fn read_stable(&self, watch: Watch<'_>) -> Result<Vec<Committed>, Error> {
        if self.marked.is_empty() || self.job.sink.marker_home().is_none() {
            return Ok(Vec::new());
        }
        let (sink, splits) = (Arc::clone(&self.job.sink), self.marked.iter().cloned().collect::<Vec<_>>());
        let bound = (self.job.options.bounds.call, Late::Abandon);
        watch.port("read the marker", bound, move || sink.read_marker(&splits, MarkerRead::Stable))
    }

    /// Which epoch holds, and that this pipeline can go on from it.
    fn decide(&self, course: &Course, committed: &[Committed]) -> Result<Start, Error> {
        let (job, options) = (self.job, &self.job.options);
        let stateless = job.operators.iter().all(|o| o.factory.description().tables.is_empty())
            && job.sources.iter().all(|source| source.marked);
        let start = self.read(|reading| {
            let (name, shard, place, delivery) =
                (&options.name, options.shard, &options.marker_place, options.delivery);
            let facts = Facts { job: name, shard, log: self.log, committed, place, delivery, stateless };
            let certain = survey::certain(self.log, job.state.applied().as_ref()).is_some();
            place::start(facts, &Since { certain, dropped: &|source, split| reading.is_dropped(source, split) })
        });
        let start = start.or_else(|refusal| {
            // A source that the pipeline does not name is why nothing fits.
            if let Some((last, _)) = self.log.last().filter(|(last, _)| !last.first) {
                self.splits(&Recorded::all(last))?;
            }
            Err(Error::Refused { refusal: self.because(refusal), home: job.sink.marker_home() })
        })?;
        check_store(job.state.applied().as_ref(), self.log, &start)?;
        match &start {
            Start::First | Start::FirstAgain => {}
            Start::FromMarker { positions, .. } => {
                let at = |(split, position): &(SplitId, i64)| {
                    let (split, position) = (split.clone(), *position);
                    Recorded {
                        source: None,
                        split: SplitState { split, position, end: None, identity: None, term: None },
                    }
                };
                self.splits(&positions.iter().map(at).collect::<Vec<_>>())?;
            }
            Start::Resume { index, .. } => {
                if let Some((manifest, _)) = self.log.get(*index) {
                    self.splits(&Recorded::all(manifest))?;
                    course.check(manifest)?;
                }
            }
        }
        Ok(start)
    }

    /// A marker that is gone with what carried it is no matter of positions that somebody deleted. Where the look at a
    /// source failed, something that the pipeline names is not there.
    fn because(&self, refusal: Refusal) -> Refusal {
        let Refusal::MarkerGone { job, last, split, .. } = refusal else { return refusal };
        if self.job.options.marker_place != MarkerPlace::Splits {
            return Refusal::MarkerGone { job, last, split, is_itself: false };
        }
        let mut found = self.found.iter().flatten().flatten();
        let recorded =
            self.log.last().and_then(|(last, _)| last.marked().find(|(_, recorded)| recorded.split == split));
        let identity = recorded.and_then(|(_, recorded)| recorded.identity);
        let fate = match found.find(|found| found.split.stream == split.stream) {
            // Who does not know an identity cannot say that it is another one.
            Some(found) if found.identity.is_none() || identity.is_none() || found.identity == identity => {
                let is_itself = identity.is_some() && found.identity == identity;
                return Refusal::MarkerGone { job, last, split, is_itself };
            }
            Some(_) => Fate::Replaced,
            None => {
                let mut looked = self.job.sources.iter().zip(&self.found).filter(|(source, _)| source.marked);
                if looked.any(|(_, found)| found.is_none()) { Fate::Missed } else { Fate::Unmatched }
            }
        };
        Refusal::SourceGone { job, last, stream: split.stream.to_string(), fate }
    }

    /// The recorded splits that each source of this pipeline goes on reading.
    pub(super) fn splits(&self, recorded: &[Recorded]) -> Result<GoneOn, Unread> {
        self.read(|reading| reading.go_on(recorded))
    }

    fn read<T>(&self, ask: impl FnOnce(Reading<'_>) -> T) -> T {
        let sources = &self.job.sources;
        let recognise: Vec<_> =
            sources.iter().map(|source| |split: &SplitId| source.connector.recognise(split)).collect();
        let readers = sources.iter().zip(&recognise).zip(&self.found);
        let readers = readers
            .map(|((source, recognise), found)| Reader { name: &source.name, recognise, found: found.as_deref() })
            .collect();
        ask(Reading { readers, consent: &self.job.options.consent })
    }
}

/// Tells what was done with recorded state. A recovery in place does nothing that its start has not told.
pub(super) fn tell(notes: &[Note], watch: Watch<'_>) {
    if watch.handle.status().attempt.is_some() {
        return;
    }
    for note in notes {
        match note.is_loss() {
            true => warn!("{note}"),
            false => info!("{note}"),
        }
    }
}

/// Tells of operators that run something else than the process was started with.
pub(super) fn tell_taken_over(running: &[OperatorSetup], watch: Watch<'_>) {
    if watch.handle.status().attempt.is_some() {
        return;
    }
    for setup in running.iter().filter(|setup| setup.took_over.is_some()) {
        let (operator, plugin) = (&setup.name, setup.entry());
        let (version, digest) = (&plugin.version, &plugin.digest);
        info!(operator, version, %digest, "a version goes on that took over from the file of the command line");
    }
}
