//! Making a job forget: its state directory, and what its group has committed.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use weir_checkpoint::resolve::MarkerPlace;
use weir_checkpoint::{Manifest, Marker, survey};
use weir_core::ports::Committed;
use weir_core::{Digest, Fault, JobName, PortError};
use weir_state::Reset;

use super::SHARD;
use super::cluster::{Brokers, Cluster};
use super::directory::{Records, manifests};

/// What is to be forgotten. The directory is locked as long as this lives.
pub struct Oblivion {
    job: JobName,
    directory: Option<Reset>,
    /// What the directory holds, as far as it can be read.
    records: Result<Records>,
    kafka: Option<(Cluster, Vec<Committed>)>,
    /// Records that a new start from the beginning would read again.
    rereads: Option<i64>,
}

impl Oblivion {
    /// Looks at what there is; takes the lock, changes nothing.
    pub fn of(job: &JobName, dir: &Path, brokers: Option<&Brokers>) -> Result<Self> {
        let directory = Reset::begin(dir, job, SHARD).map_err(PortError::from)?;
        let records = directory.as_ref().map_or(Ok(Records::new()), read);
        let cluster = brokers.map(|brokers| Cluster::new(brokers, job, SHARD)).transpose()?;
        // Of a directory that cannot be read nobody knows whether it had a marker.
        if cluster.is_none() && directory.is_some() && records.as_ref().map_or(true, |r| survey::has_marker(r)) {
            let text = format!("the marker of job {job} is in Kafka and has to go with its state: give --brokers");
            return Err(PortError::new(Fault::Config, text).into());
        }
        let kafka = cluster.map(|cluster| cluster.committed().map(|committed| (cluster, committed))).transpose()?;
        let known = records.as_ref().map_or(&[][..], Vec::as_slice);
        let rereads = kafka.as_ref().and_then(|(cluster, committed)| rereads(cluster, committed, known));
        Ok(Self { job: job.clone(), directory, records, kafka, rereads })
    }

    /// Whether there is nothing to forget.
    pub fn is_nothing(&self) -> bool {
        self.directory.is_none() && self.kafka.as_ref().is_none_or(|(_, committed)| committed.is_empty())
    }

    /// What it will cost, for people.
    pub fn costs(&self) -> String {
        let mut text = format!("reset of job {}\n", self.job);
        if self.is_nothing() {
            return text
                + match &self.kafka {
                    Some(_) => "  nothing to do: it has no state here, and has committed nothing\n",
                    None => "  nothing to do: it has no state here; with --brokers Kafka would be asked, too\n",
                };
        }
        let mut add = |what: &dyn std::fmt::Display| writeln!(text, "  {what}").expect("a string takes everything");
        match (&self.directory, &self.records) {
            (None, _) => add(&"state: none on this machine"),
            (Some(reset), Ok(records)) => {
                let last =
                    records.last().map_or_else(|| "no epoch".to_owned(), |(last, _)| format!("{} epochs", last.epoch));
                add(&format_args!("state: {} goes, with {last}", reset.path().display()));
            }
            (Some(reset), Err(error)) => {
                add(&format_args!("state: {} goes; it cannot be read: {error:#}", reset.path().display()));
            }
        }
        if let Some((cluster, committed)) = &self.kafka {
            let marker = committed.iter().find_map(|c| Marker::parse(&c.metadata).ok());
            let epoch = marker.map_or_else(|| "no marker".to_owned(), |m| format!("the marker of epoch {}", m.epoch));
            add(&format_args!("Kafka: group {} goes, with {} offsets and {epoch}", cluster.group(), committed.len()));
        }
        if let Some(rereads) = self.rereads {
            add(&format_args!(
                "a new start from the earliest record reads {rereads} records again; --start chooses another place"
            ));
        }
        add(&"what was written to outputs stays there: what is read again is written again, beside it");
        text
    }

    /// Forgets. Wherever it is cut short, a start is refused, and the same reset finishes it.
    pub fn carry_out(self) -> Result<()> {
        if let Some((cluster, before)) = &self.kafka {
            // First nobody may commit any more, or the group would come back.
            cluster.fence()?;
            if cluster.committed()? != *before {
                let text = format!(
                    "job {} has committed meanwhile: it runs somewhere else; stop it there, then run this reset again",
                    self.job
                );
                return Err(PortError::new(Fault::Fenced, text).into());
            }
            self.directory.as_ref().map_or(Ok(()), Reset::mark).map_err(PortError::from)?;
            cluster.delete_group()?;
        }
        if let Some(reset) = self.directory {
            reset.wipe().map_err(PortError::from)?;
        }
        Ok(())
    }
}

fn read(reset: &Reset) -> Result<Records> {
    let log = reset.log().map_err(PortError::from)?;
    log.map_or(Ok(Records::new()), |log| manifests(log.as_log()))
}

/// How much lies before the committed positions; `None` where they are none of a topic that is read, or Kafka does not
/// say.
fn rereads(cluster: &Cluster, committed: &[Committed], records: &[(Manifest, Digest)]) -> Option<i64> {
    let is_counter =
        |c: &Committed| Marker::parse(&c.metadata).is_ok_and(|m| i64::try_from(m.epoch.0) == Ok(c.position));
    let counts_epochs = records.is_empty() && matches!(committed, [only] if is_counter(only));
    if counts_epochs || survey::marker_place(records) != MarkerPlace::Splits {
        return None;
    }
    let splits: Vec<_> = committed.iter().map(|c| c.split.clone()).collect();
    let first = cluster.first_offsets(&splits).ok()?;
    Some(committed.iter().zip(first).map(|(c, first)| (c.position - first).max(0)).sum())
}
