//! The manifest: what an epoch commits besides state. It is the header of the epoch's log record, as JSON; its digest
//! stands in the marker, so that number, attempt and content are bound together.

use serde::{Deserialize, Serialize};
use weir_core::ports::{Delta, TableKind};
use weir_core::{
    AttemptId, Delivery, Digest, Epoch, JobName, KeySpec, OperatorId, ShardId, SourceName, SplitState, TableId,
};

use crate::resolve::MarkerPlace;

/// The manifest format written and read. 3: every split belongs to a source with a name.
pub const FORMAT: u32 = 3;

/// What an epoch commits besides state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// Format of this text.
    pub format: u32,
    /// The job.
    pub job: JobName,
    /// The shard whose epoch this is.
    pub shard: ShardId,
    /// How many shards the job has.
    pub shards: u16,
    /// The epoch.
    pub epoch: Epoch,
    /// The attempt that wrote it.
    pub attempt: AttemptId,
    /// True for the record that no commit of this job precedes: of a first start, or, where `previous` is set, of a
    /// fork (see [`Manifest::fork`]).
    pub first: bool,
    /// The mode that wrote it: decides what the record counts for after a crash.
    pub delivery: Delivery,
    /// Where the marker of this epoch stands, if its commit got that far.
    pub marker: MarkerPlace,
    /// Every source of the pipeline, with its splits.
    pub sources: Vec<SourceEntry>,
    /// Every operator of the pipeline.
    pub operators: Vec<OperatorEntry>,
    /// The number of the next new operator: those of operators that are gone are never given again.
    pub next_operator: u16,
    /// Digest of the manifest before it; none for the record of a first start.
    pub previous: Option<Digest>,
    /// CRC-32C over the deltas' bytes, in order.
    pub delta_crc32c: u32,
    /// How many changes the deltas hold.
    pub delta_entries: u64,
}

/// One source of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SourceEntry {
    /// Its name in the pipeline.
    pub name: SourceName,
    /// Whether the marker stands beside its positions; the positions of any other source are known here alone.
    pub marked: bool,
    /// Until a record is read: what the user asked to read, and from where. A start that asks otherwise begins there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Every split with its position, bound and identity.
    pub splits: Vec<SplitState>,
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
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not parse.
    #[error("failed to read a manifest of the epoch log")]
    Json(#[from] serde_json::Error),
    /// Another format.
    #[error("manifest has format {0}, this version knows format {FORMAT}")]
    Format(u32),
}

impl Manifest {
    /// The bytes for the log, and their digest.
    pub fn encode(&self) -> (Vec<u8>, Digest) {
        let bytes = serde_json::to_vec(self).expect("a manifest has only plain fields");
        let digest = Digest(blake3::hash(&bytes).to_hex().to_string());
        (bytes, digest)
    }

    /// The first record of another job that begins with what this epoch left: its positions, operators and tables, and
    /// the state as of it. It is an empty epoch of its own. `digest` is this record's own.
    #[must_use]
    pub fn fork(&self, digest: Digest, job: JobName, attempt: AttemptId) -> Self {
        let (previous, epoch, delta_crc32c) = (Some(digest), self.epoch.next(), delta_crc32c(&[]));
        let sources = self.sources.iter().map(|source| SourceEntry { start: None, ..source.clone() }).collect();
        Self { job, epoch, attempt, first: true, sources, previous, delta_crc32c, delta_entries: 0, ..self.clone() }
    }

    /// Every split, with the source that it belongs to.
    pub fn splits(&self) -> impl Iterator<Item = (&SourceName, &SplitState)> {
        self.sources.iter().flat_map(|source| source.splits.iter().map(|split| (&source.name, split)))
    }

    /// The splits that carry the marker, if it stands beside positions.
    pub fn marked(&self) -> impl Iterator<Item = (&SourceName, &SplitState)> {
        let marked = self.sources.iter().filter(|source| source.marked);
        marked.flat_map(|source| source.splits.iter().map(|split| (&source.name, split)))
    }

    /// Whether it is the first record of a job that began with the state of another.
    pub fn is_fork(&self) -> bool {
        self.first && self.previous.is_some()
    }

    /// Reads the bytes of a log record.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Digest), Error> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(Error::Format(format));
        }
        let digest = Digest(blake3::hash(bytes).to_hex().to_string());
        Ok((serde_json::from_slice(bytes)?, digest))
    }
}

/// CRC-32C over the bytes of `deltas`, in order.
pub fn delta_crc32c(deltas: &[Delta]) -> u32 {
    deltas.iter().fold(0, |crc, delta| crc32c::crc32c_append(crc, &delta.payload))
}

#[cfg(test)]
mod tests;
