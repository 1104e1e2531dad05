//! What an epoch commits besides state, in two parts. The plan is what epochs have in common: sources with their splits,
//! operators, tables; it is written when it changes. The epoch record is what each has of its own: how far every split
//! was read, and digests: of its plan, and of the record before it. Both are the header of the epoch's log record, as
//! JSON; the digest of the epoch record stands in the marker, so that number, attempt and content are bound together.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_core::ports::{Table, TableKind, TimeDomain};
use weir_core::{
    AttemptId, Delivery, Digest, Epoch, JobName, KeySpec, OperatorId, ShardId, SourceName, SplitId, SplitState, TableId,
};
use weir_plan::Graph;

use crate::inherit::Numbered;
use crate::resolve::MarkerPlace;
use crate::times::Times;

/// The format written and read, of both parts. 6: the epoch record has event time.
pub const FORMAT: u32 = 6;

/// What epochs have in common, until it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plan {
    /// Format of this text.
    pub format: u32,
    /// How many shards the job has.
    pub shards: u16,
    /// Where the marker stands, if the commit of an epoch got that far.
    pub marker: MarkerPlace,
    /// What ran: nodes and who reads whom.
    pub graph: Graph,
    /// Every source of the pipeline.
    pub sources: Vec<PlannedSource>,
    /// Every operator of the pipeline.
    pub operators: Vec<OperatorEntry>,
    /// The number of the next new operator: those of operators that are gone are never given again.
    pub next_operator: u16,
}

/// One source of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PlannedSource {
    /// Its name in the pipeline.
    pub name: SourceName,
    /// Whether the marker stands beside its positions; the positions of any other source are known here alone.
    pub marked: bool,
    /// Until a record is read: what the user asked to read, and from where. A start that asks otherwise begins there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Its splits, in the order in which an epoch record has their positions.
    pub splits: Vec<PlannedSplit>,
}

/// One split: what does not move while it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PlannedSplit {
    /// Which.
    pub split: SplitId,
    /// Where a bounded read ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// What makes it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// How far a split was read: [`SplitState::position`] and [`SplitState::term`], an array of both as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached(pub i64, pub Option<i32>);

/// A source as an epoch leaves it: both parts together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry {
    /// See [`PlannedSource::name`].
    pub name: SourceName,
    /// See [`PlannedSource::marked`].
    pub marked: bool,
    /// See [`PlannedSource::start`].
    pub start: Option<String>,
    /// Every split with its position, bound and identity.
    pub splits: Vec<SplitState>,
}

/// A plan with its bytes for the log, and their digest.
#[derive(Debug, PartialEq, Eq)]
pub struct PlanRecord {
    plan: Plan,
    /// The text.
    pub bytes: Bytes,
    /// Its digest.
    pub digest: Digest,
}

impl Deref for PlanRecord {
    type Target = Plan;
    fn deref(&self) -> &Plan {
        &self.plan
    }
}

/// An epoch record, and the plan that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The job.
    pub job: JobName,
    /// The shard whose epoch this is.
    pub shard: ShardId,
    /// The epoch.
    pub epoch: Epoch,
    /// The attempt that wrote it.
    pub attempt: AttemptId,
    /// True for the record that no commit of this job precedes: of a first start, or, where `previous` is set, of a
    /// fork (see [`Manifest::fork`]).
    pub first: bool,
    /// The mode that wrote it: decides what the record counts for after a crash.
    pub delivery: Delivery,
    /// What it has in common with others.
    pub plan: Arc<PlanRecord>,
    /// How far the splits of each source were read, in the plan's order.
    pub reached: Vec<Vec<Reached>>,
    /// How far event time has come.
    pub times: Times,
    /// Digest of the record before it; none for the record of a first start.
    pub previous: Option<Digest>,
    /// CRC-32C over the deltas' bytes, in order.
    pub delta_crc32c: u32,
    /// How many changes the deltas hold.
    pub delta_entries: u64,
}

/// The text of an epoch record.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct EpochText {
    format: u32,
    job: JobName,
    shard: ShardId,
    epoch: Epoch,
    attempt: AttemptId,
    first: bool,
    delivery: Delivery,
    plan: Digest,
    reached: Vec<Vec<Reached>>,
    #[serde(default, skip_serializing_if = "Times::is_empty")]
    times: Times,
    previous: Option<Digest>,
    delta_crc32c: u32,
    delta_entries: u64,
}

/// One operator of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OperatorEntry {
    /// Its name in the pipeline: state is found again by it.
    pub name: String,
    /// Its number in state keys.
    pub id: OperatorId,
    /// What its state is keyed by.
    pub key: KeySpec,
    /// The plugin it ran.
    pub plugin: PluginEntry,
    /// Its tables.
    pub tables: Vec<TableEntry>,
    /// The number of the next new table: those of tables that were dropped are never given again.
    pub next_table: u16,
}

impl OperatorEntry {
    /// Its table of this name, as calls know it: how long that keeps what it has is no matter of records.
    pub fn table(&self, name: &str) -> Option<Table> {
        let table = self.tables.iter().find(|table| table.name == name)?;
        Some(Table { id: table.id, kind: table.kind, ttl: None })
    }
}

/// A plugin, as an epoch ran it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PluginEntry {
    /// Name, as the plugin says.
    pub name: String,
    /// Version, as the plugin says.
    pub version: String,
    /// Digest of its file.
    pub digest: Digest,
    /// How it came to run, where no process was started with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_over: Option<TookOver>,
}

impl PluginEntry {
    /// Whether it is the same version: the same file with the same configuration, whatever it took over from.
    pub fn is(&self, other: &Self) -> bool {
        let config = |entry: &Self| entry.took_over.as_ref().and_then(|took_over| took_over.config.clone());
        self.digest == other.digest && config(self) == config(other)
    }
}

/// A version that took over while the job ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TookOver {
    /// Digest of the file that the process was started with. One that is started with the same file again goes on with what
    /// took over from it; one that is started with another file is asked for that.
    pub from: Digest,
    /// JSON for the plugin, where it is not what the process was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
}

/// One table of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TableEntry {
    /// Its name in the plugin.
    pub name: String,
    /// Its number in state keys.
    pub id: TableId,
    /// What it holds.
    pub kind: TableKind,
    /// Version or schema of its values, in the plugin's own words; left out where no plugin ever said any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// The time by which its values expire, which stands before each; left out where they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<TimeDomain>,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not parse.
    #[error("failed to read a manifest of the epoch log")]
    Json(#[from] serde_json::Error),
    /// Another format.
    #[error("manifest has format {0}, this version knows format {FORMAT}")]
    Format(u32),
    /// The plan is not the one that the epoch record names, or does not have its splits.
    #[error("the record of epoch {0} and its plan do not belong together")]
    Plan(Epoch),
}

impl Plan {
    /// The plan of epochs that run `graph` and have these sources and operators.
    pub fn of(
        graph: Graph,
        sources: &[SourceEntry],
        marker: MarkerPlace,
        (operators, next_operator): (Vec<OperatorEntry>, u16),
    ) -> Self {
        let split = |s: &SplitState| {
            let (split, identity) = (s.split.clone(), s.identity.clone());
            PlannedSplit { split, end: s.end, identity }
        };
        let source = |source: &SourceEntry| {
            let (name, start) = (source.name.clone(), source.start.clone());
            PlannedSource { name, marked: source.marked, start, splits: source.splits.iter().map(split).collect() }
        };
        let sources = sources.iter().map(source).collect();
        Self { format: FORMAT, shards: 1, marker, graph, sources, operators, next_operator }
    }

    /// The same with what is read now.
    #[must_use]
    pub fn with(&self, sources: &[SourceEntry]) -> Self {
        let operators = (self.operators.clone(), self.next_operator);
        Self::of(self.graph.clone(), sources, self.marker.clone(), operators)
    }

    /// The same with other versions of its operators.
    #[must_use]
    pub fn running(&self, Numbered { operators, next }: Numbered) -> Self {
        Self { operators, next_operator: next, ..self.clone() }
    }

    /// Whether it is still the plan of `sources`.
    pub fn fits(&self, sources: &[SourceEntry]) -> bool {
        let same = |(planned, now): (&PlannedSplit, &SplitState)| {
            planned.split == now.split && planned.end == now.end && planned.identity == now.identity
        };
        let mut both = self.sources.iter().zip(sources);
        self.sources.len() == sources.len()
            && both.all(|(planned, now)| {
                planned.start == now.start
                    && planned.splits.len() == now.splits.len()
                    && planned.splits.iter().zip(&now.splits).all(same)
            })
    }

    /// The splits that carry the marker, if it stands beside positions.
    pub fn marked(&self) -> impl Iterator<Item = &SplitId> {
        self.sources.iter().filter(|source| source.marked).flat_map(|source| source.splits.iter().map(|s| &s.split))
    }

    /// Where the marker stands of an epoch that has this plan.
    pub fn carriers(&self) -> impl Iterator<Item = &SplitId> {
        let (beside, fixed) = match &self.marker {
            MarkerPlace::Splits => (Some(self.marked()), None),
            MarkerPlace::Fixed(place) => (None, Some(place)),
            MarkerPlace::Nowhere => (None, None),
        };
        beside.into_iter().flatten().chain(fixed)
    }

    /// Every split, as if nothing of it had been read.
    pub fn splits(&self) -> impl Iterator<Item = (&SourceName, SplitState)> {
        self.sources
            .iter()
            .flat_map(|source| source.splits.iter().map(|split| (&source.name, split.at(Reached(0, None)))))
    }

    /// With its bytes for the log.
    pub fn encode(self) -> Arc<PlanRecord> {
        let bytes = Bytes::from(serde_json::to_vec(&self).expect("a plan has only plain fields"));
        let digest = digest_of(&bytes);
        Arc::new(PlanRecord { plan: self, bytes, digest })
    }
}

/// The plans of a log, each once for all records in a row that have it: there are few of them.
pub fn plans(log: &[(Manifest, Digest)]) -> Vec<&Arc<PlanRecord>> {
    let mut plans: Vec<_> = log.iter().map(|(manifest, _)| &manifest.plan).collect();
    plans.dedup_by(|one, other| Arc::ptr_eq(one, other));
    plans
}

/// How far each of `sources` was read.
pub fn reached(sources: &[SourceEntry]) -> Vec<Vec<Reached>> {
    let of = |source: &SourceEntry| source.splits.iter().map(|split| Reached(split.position, split.term)).collect();
    sources.iter().map(of).collect()
}

impl Manifest {
    /// The bytes of the epoch record for the log, and their digest.
    pub fn encode(&self) -> (Vec<u8>, Digest) {
        let Self { job, shard, epoch, attempt, first, delivery, times, previous, .. } = self.clone();
        let (reached, plan, delta_crc32c) = (self.reached.clone(), self.plan.digest.clone(), self.delta_crc32c);
        let (format, delta_entries) = (FORMAT, self.delta_entries);
        let text = EpochText {
            format,
            job,
            shard,
            epoch,
            attempt,
            first,
            delivery,
            plan,
            reached,
            times,
            previous,
            delta_crc32c,
            delta_entries,
        };
        let bytes = serde_json::to_vec(&text).expect("an epoch record has only plain fields");
        let digest = digest_of(&bytes);
        (bytes, digest)
    }

    /// The first record of another job that begins with what this epoch left: its positions, operators and tables, and
    /// the state as of it. It is an empty epoch of its own. `digest` is this record's own.
    #[must_use]
    pub fn fork(&self, digest: Digest, job: JobName, attempt: AttemptId) -> Self {
        let (previous, epoch, delta_crc32c) = (Some(digest), self.epoch.next(), 0);
        let mut plan = self.plan.plan.clone();
        plan.sources.iter_mut().for_each(|source| source.start = None);
        let plan = plan.encode();
        Self { job, epoch, attempt, first: true, plan, previous, delta_crc32c, delta_entries: 0, ..self.clone() }
    }

    /// Every split, with the source that it belongs to.
    pub fn splits(&self) -> impl Iterator<Item = (&SourceName, SplitState)> {
        self.of_sources(|_| true)
    }

    /// The splits that carry the marker, if it stands beside positions.
    pub fn marked(&self) -> impl Iterator<Item = (&SourceName, SplitState)> {
        self.of_sources(|source| source.marked)
    }

    fn of_sources(&self, wanted: impl Fn(&PlannedSource) -> bool) -> impl Iterator<Item = (&SourceName, SplitState)> {
        let sources = self.plan.sources.iter().zip(&self.reached).filter(move |(source, _)| wanted(source));
        sources.flat_map(|(source, reached)| {
            source.splits.iter().zip(reached).map(|(split, reached)| (&source.name, split.at(*reached)))
        })
    }

    /// Every source.
    pub fn sources(&self) -> Vec<SourceEntry> {
        let sources = self.plan.sources.iter().zip(&self.reached);
        let source = |(source, reached): (&PlannedSource, &Vec<Reached>)| {
            let splits = source.splits.iter().zip(reached).map(|(split, reached)| split.at(*reached)).collect();
            let (name, start) = (source.name.clone(), source.start.clone());
            SourceEntry { name, marked: source.marked, start, splits }
        };
        sources.map(source).collect()
    }

    /// The same epoch, had it never known the splits that are not `kept`.
    #[must_use]
    pub fn only(&self, kept: impl Fn(&SourceName, &SplitState) -> bool) -> Self {
        let mut sources = self.sources();
        for SourceEntry { name, splits, .. } in &mut sources {
            splits.retain(|split| kept(name, split));
        }
        let plan = self.plan.with(&sources).encode();
        let times = Times::after(self, &sources, self.times.operators.keys().copied());
        Self { plan, reached: reached(&sources), times, ..self.clone() }
    }

    /// Whether it is the first record of a job that began with the state of another.
    pub fn is_fork(&self) -> bool {
        self.first && self.previous.is_some()
    }

    /// Both parts, for people and tools.
    pub fn to_json(&self) -> serde_json::Value {
        let mut record: serde_json::Map<_, _> = serde_json::from_slice(&self.encode().0).unwrap_or_default();
        record.insert("plan-digest".to_owned(), self.plan.digest.0.as_str().into());
        record.insert("plan".to_owned(), serde_json::from_slice(&self.plan.bytes).unwrap_or_default());
        record.into()
    }
}

impl PlannedSplit {
    fn at(&self, Reached(position, term): Reached) -> SplitState {
        let (split, identity) = (self.split.clone(), self.identity.clone());
        SplitState { split, position, end: self.end, identity, term }
    }
}

/// Reads records of a log, one after the other, and each plan once.
#[derive(Debug, Default)]
pub struct Reader {
    plan: Option<Arc<PlanRecord>>,
}

impl Reader {
    /// Reads an epoch record; `plan` fetches the bytes of its plan, if that is another one than the last.
    pub fn read<E: From<Error>>(
        &mut self,
        manifest: &[u8],
        plan: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<(Manifest, Digest), E> {
        let text: EpochText = decode(manifest)?;
        let digest = digest_of(manifest);
        let known = self.plan.take().filter(|known| known.digest == text.plan);
        let plan = match known {
            Some(known) => known,
            None => read_plan(plan()?)?,
        };
        let EpochText { job, shard, epoch, attempt, first, delivery, reached, times, previous, .. } = text;
        let has_all = plan.sources.len() == reached.len()
            && plan.sources.iter().zip(&reached).all(|(source, reached)| source.splits.len() == reached.len())
            && times.fits(reached.iter().map(Vec::len));
        if plan.digest != text.plan || !has_all {
            return Err(Error::Plan(epoch).into());
        }
        self.plan = Some(Arc::clone(&plan));
        let (delta_crc32c, delta_entries) = (text.delta_crc32c, text.delta_entries);
        let manifest = Manifest {
            job,
            shard,
            epoch,
            attempt,
            first,
            delivery,
            plan,
            reached,
            times,
            previous,
            delta_crc32c,
            delta_entries,
        };
        Ok((manifest, digest))
    }
}

fn read_plan(bytes: Bytes) -> Result<Arc<PlanRecord>, Error> {
    let plan = decode(&bytes)?;
    let digest = digest_of(&bytes);
    Ok(Arc::new(PlanRecord { plan, bytes, digest }))
}

/// A text of this format.
fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let Head { format } = serde_json::from_slice(bytes)?;
    match format {
        FORMAT => Ok(serde_json::from_slice(bytes)?),
        other => Err(Error::Format(other)),
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest(blake3::hash(bytes).to_hex().to_string())
}

#[cfg(test)]
mod tests;
