//! A job's state directory, looked at from outside: what it holds, what Kafka says of it, and what would come of a start.

use std::path::Path;

use anyhow::{Context as _, Result};
use weir_checkpoint::inherit::Numbered;
use weir_checkpoint::{Manifest, Marker, OperatorEntry, Start, TableEntry, manifest, survey};
use weir_core::ports::{Committed, EpochLog, TableKind, expires_and_value};
use weir_core::{Digest, Fault, OperatorId, PortError, RecordId, TableId};
use weir_state::{LogView, Snapshot, StateEntry, StateView, StoreView};

use super::cluster::{Brokers, Cluster};
use crate::exit;

/// The manifests of an epoch log, oldest first, with their digests.
pub type Records = Vec<(Manifest, Digest)>;

/// All that can be known of a state directory. Nothing was written, nobody was disturbed.
pub struct Survey {
    /// The directory.
    pub view: StateView,
    /// The process that owns it now.
    pub owner: Option<String>,
    /// As of its last flush.
    pub store: Result<StoreView>,
    /// What the group has committed; `None`: nobody was asked.
    pub committed: Option<Vec<Committed>>,
    /// Read after the two above: it goes at least as far.
    pub log: Result<(LogView, Records)>,
    /// What would come of a start.
    pub verdict: Verdict,
}

/// What would come of a start.
pub enum Verdict {
    /// It would start so.
    Starts(Start),
    /// It would be refused.
    Refused(PortError),
    /// Only Kafka can tell.
    AskKafka,
}

impl Survey {
    /// Looks at `path`, and at Kafka if `brokers` are given.
    pub fn of(path: &Path, brokers: Option<&Brokers>) -> Result<Self> {
        let view = StateView::open(path).map_err(PortError::from)?;
        let cluster = brokers.map(|brokers| Cluster::new(brokers, view.job(), view.shard())).transpose()?;
        let owner = view.owner().map_err(PortError::from)?;
        let store = view.store().map_err(|error| PortError::from(error).into());
        let committed = cluster.as_ref().map(Cluster::committed).transpose()?;
        let log = read_log(&view);
        let verdict = judge(&view, &store, &log, committed.as_deref(), cluster.as_ref());
        Ok(Self { view, owner, store, committed, log, verdict })
    }

    /// The marker, where the group has one.
    pub fn marker(&self) -> Option<Marker> {
        self.committed.iter().flatten().find_map(|c| Marker::parse(&c.metadata).ok())
    }
}

/// An error that is shown here and judged there.
fn flat(error: &anyhow::Error) -> PortError {
    PortError::new(exit::fault(error), format!("{error:#}"))
}

/// The process that owns the state directory `path` now; nobody where there is none.
pub fn owner(path: &Path) -> Result<Option<String>> {
    let owner = if path.is_dir() { StateView::open(path).and_then(|view| view.owner()) } else { Ok(None) };
    Ok(owner.map_err(PortError::from)?)
}

fn read_log(view: &StateView) -> Result<(LogView, Records)> {
    let log = view.log().map_err(PortError::from)?;
    let records = manifests(log.as_log())?;
    Ok((log, records))
}

/// The manifests of a log; one that cannot be read is of another Weir.
pub(super) fn manifests(log: &dyn EpochLog) -> Result<Records> {
    let mut reader = manifest::Reader::default();
    let read = |(at, record): (usize, &RecordId)| {
        let read = log.manifest(at).map_err(weir_runtime::Error::from);
        let read = read.and_then(|bytes| reader.read(&bytes, || Ok::<_, weir_runtime::Error>(log.plan(at)?)));
        read.with_context(|| format!("epoch {} of the log cannot be used", record.epoch))
    };
    log.records().iter().enumerate().map(read).collect()
}

fn judge(
    view: &StateView,
    store: &Result<StoreView>,
    log: &Result<(LogView, Records)>,
    committed: Option<&[Committed]>,
    cluster: Option<&Cluster>,
) -> Verdict {
    let (store, records) = match (store, log) {
        (Ok(store), Ok((_, records))) => (store, records),
        (Err(error), _) | (_, Err(error)) => return Verdict::Refused(flat(error)),
    };
    if committed.is_none() && (records.is_empty() || survey::has_marker(records)) {
        return Verdict::AskKafka;
    }
    let committed = committed.unwrap_or_default();
    let start = match survey::start(view.job(), view.shard(), records, committed, store.applied()) {
        Ok(start) => start,
        Err(refusal) => {
            return Verdict::Refused(flat(&weir_runtime::Error::Refused { refusal, home: None }.into()));
        }
    };
    match checked(store, records, &start, cluster) {
        Ok(()) => Verdict::Starts(start),
        Err(error) => Verdict::Refused(flat(&error)),
    }
}

/// What a start checks besides: that the store holds nothing but what holds, and that the topics are what they were.
fn checked(store: &StoreView, records: &Records, start: &Start, cluster: Option<&Cluster>) -> Result<()> {
    weir_runtime::check_store(store.applied(), records, start)?;
    let Start::Resume { index, .. } = start else { return Ok(()) };
    let Some((manifest, _)) = records.get(*index) else { return Ok(()) };
    let splits: Vec<_> = manifest.splits().map(|(_, split)| split).filter(|s| s.identity.is_some()).collect();
    cluster.filter(|_| !splits.is_empty()).map_or(Ok(()), |cluster| cluster.verify(&splits))
}

/// One value of the keyed state, with names.
#[derive(Debug, Clone, Copy)]
pub struct NamedEntry<'a> {
    /// Whose it is.
    pub operator: &'a str,
    /// In which table.
    pub table: &'a str,
    /// What its values are, in the plugin's own words.
    pub schema: &'a str,
    /// What the table holds for each key.
    pub kind: TableKind,
    /// As the user wrote it.
    pub key: &'a [u8],
    /// Which of the values under that key, in a list or a map.
    pub entry: Option<&'a [u8]>,
    /// When it expires, where it does: milliseconds since 1970, by the time of its table.
    pub expires_ms: Option<i64>,
    /// As the plugin wrote it.
    pub value: &'a [u8],
}

/// Shows the keyed state of the epoch that holds: the one that would be restored, or the last one of the log where
/// `brokers` are not given.
pub fn entries(
    path: &Path,
    brokers: Option<&Brokers>,
    mut show: impl FnMut(NamedEntry<'_>) -> Result<()>,
) -> Result<()> {
    let view = StateView::open(path).map_err(PortError::from)?;
    let Some((snapshot, operators)) = view.settled(|| snapshot(path, brokers))? else { return Ok(()) };
    snapshot.each(|stored: StateEntry<'_>| match named(&operators, stored.operator, stored.table)? {
        Some((operator, TableEntry { name: table, schema, kind, expires, .. })) => {
            let (key, entry) = stored.key(*kind).map_err(PortError::from)?;
            let (operator, kind) = (&operator.name, *kind);
            let (expires_ms, value) = match expires.and_then(|_| expires_and_value(stored.value)) {
                Some((expires_ms, value)) => (Some(expires_ms), value),
                None => (None, stored.value),
            };
            show(NamedEntry { operator, table, schema, kind, key, entry, expires_ms, value })
        }
        None => Ok(()),
    })
}

/// Whose value it is; `None`: it was dropped, and is only not yet gone from the disk.
fn named(
    Numbered { operators, next }: &Numbered,
    operator: OperatorId,
    table: TableId,
) -> Result<Option<(&OperatorEntry, &TableEntry)>, PortError> {
    let unknown =
        || PortError::new(Fault::Corrupt, format!("the manifest knows no table {table} of operator {operator}"));
    let Some(entry) = operators.iter().find(|entry| entry.id == operator) else {
        return if operator.0 < *next { Ok(None) } else { Err(unknown()) };
    };
    match entry.tables.iter().find(|entry| entry.id == table) {
        Some(found) => Ok(Some((entry, found))),
        None if table.0 < entry.next_table => Ok(None),
        None => Err(unknown()),
    }
}

/// `None`: nothing holds yet.
fn snapshot(path: &Path, brokers: Option<&Brokers>) -> Result<Option<(Snapshot, Numbered)>> {
    let Survey { store, log, verdict, .. } = Survey::of(path, brokers)?;
    let (log, records) = log?;
    let index = match verdict {
        Verdict::Starts(Start::Resume { index, .. }) => Some(index),
        Verdict::Starts(_) => None,
        Verdict::AskKafka => records.len().checked_sub(1),
        Verdict::Refused(error) => return Err(error.into()),
    };
    let Some((index, (manifest, _))) = index.and_then(|index| Some((index, records.get(index)?))) else {
        return Ok(None);
    };
    Ok(Some((store?.as_of(&log, index)?, Numbered::of(&manifest.plan))))
}
