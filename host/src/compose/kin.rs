//! Looks, beside a job that starts from nothing, for other jobs of Weir that read the same: whoever renamed a plugin, or
//! forgot a flag, has two jobs where one was meant, and all output twice.

use std::sync::Arc;

use tracing::{debug, warn};
use weir_checkpoint::Marker;
use weir_connector::Lookout;
use weir_core::ports::{Committed, SourceConnector};
use weir_core::{Epoch, JobName};

/// On a thread that nobody waits for: what cannot be found out is not told.
pub(super) fn warn_of(lookout: Arc<dyn Lookout>, job: JobName, sources: Vec<Arc<dyn SourceConnector>>) {
    let look = move || match lookout.others() {
        Ok(others) => {
            let is_read = |c: &Committed| sources.iter().any(|source| source.recognise(&c.split).is_some());
            for (kin, epoch) in others.iter().filter_map(|(name, committed)| kin(name, committed, is_read)) {
                warn!(
                    "job {kin} reads the same (epoch {epoch}), and job {job} starts from nothing: it writes again whatever \
                     that one has written; if it is meant to go on where that one is, stop it and give --job {kin} and the \
                     --state-dir of that job"
                );
            }
        }
        Err(error) => debug!(%error, "other jobs could not be looked for"),
    };
    if let Err(error) = weir_machine::spawn("weir-kin", look) {
        debug!(%error, "no thread to look for other jobs on");
    }
}

/// The job whose marker stands beside something that is read here. One that only writes there has its marker there, too.
fn kin(name: &str, committed: &[Committed], is_read: impl Fn(&Committed) -> bool) -> Option<(JobName, Epoch)> {
    let marked = committed.iter().filter(|c| is_read(c)).filter_map(|c| Some((c, Marker::parse(&c.metadata).ok()?)));
    let markers = marked.filter(|(c, marker)| !marker.is_apart(c.position)).map(|(_, marker)| marker);
    let own = markers.filter(|marker| marker.job.as_str() == name);
    own.map(|marker| (marker.job, marker.epoch)).max_by_key(|(_, epoch)| *epoch)
}

#[cfg(test)]
mod tests {
    use weir_core::{AttemptId, Digest, ShardId, SplitId};

    use super::*;

    #[test]
    fn a_job_that_reads_the_same_is_named() {
        let marker = |job: &str, epoch| {
            let job = JobName::new(job).unwrap();
            let (attempt, digest) = (AttemptId("a".into()), Digest("0".repeat(64)));
            Marker { job, shard: ShardId(0), epoch: Epoch(epoch), attempt, digest }.encode().into_bytes()
        };
        let at = |topic: &str, metadata| Committed { split: SplitId::new(topic, 0), position: 1, metadata };
        let found = |committed: &[Committed]| {
            kin("count", committed, |c| &*c.split.stream == "in").map(|(job, epoch)| (job.to_string(), epoch.0))
        };
        assert_eq!(found(&[at("in", marker("count", 7)), at("other", marker("count", 9))]), Some(("count".into(), 7)));
        assert_eq!(found(&[at("other", marker("count", 7))]), None, "it reads something else");
        assert_eq!(found(&[at("in", b"somebody's".to_vec())]), None, "it is not of Weir");
        assert_eq!(found(&[at("in", marker("sum", 7))]), None, "the marker is not its own");
        let apart = Committed { position: 7, ..at("in", marker("count", 7)) };
        assert_eq!(found(&[apart]), None, "it only writes there, and counts its epochs");
    }
}
