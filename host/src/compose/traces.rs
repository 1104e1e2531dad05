//! What a start that is refused leaves on the disk: nothing that was not there before it.

use std::fs;
use std::path::PathBuf;

use weir_core::{Fault, JobName};
use weir_pipeline::plan::{Plan, StateDir};
use weir_state::Reset;

use super::SHARD;

/// What was there before a start, and what it did since.
pub struct Traces {
    job: JobName,
    /// The state directory, if it is kept.
    dir: Option<PathBuf>,
    /// It and those above it that were not there, the deepest first.
    made: Vec<PathBuf>,
    /// Whether this start restored a savepoint to it.
    pub has_restored: bool,
    /// Whether an attempt has written its first record there: from here on it is the job's.
    pub has_begun: bool,
}

impl Traces {
    /// Before anything is made.
    pub fn before(plan: &Plan) -> Self {
        let dir = match &plan.state.dir {
            StateDir::Kept(path) => Some(path.clone()),
            StateDir::Temporary { .. } => None,
        };
        let is_missing = |path: &&std::path::Path| !path.as_os_str().is_empty() && !path.exists();
        let made = dir.iter().flat_map(|dir| dir.ancestors().take_while(is_missing)).map(PathBuf::from).collect();
        Self { job: plan.job.clone(), dir, made, has_restored: false, has_begun: false }
    }

    /// Takes away what a start made that ended with `fault` before it began. Somebody else may have taken the directory
    /// meanwhile: it stays, then, as after any other failure here. Why the start was refused is what counts.
    pub fn remove(&self, fault: Fault) {
        let is_refusal = matches!(fault, Fault::Config | Fault::Denied | Fault::Corrupt);
        let Some(dir) = self.dir.as_ref().filter(|_| is_refusal && !self.has_begun) else { return };
        let is_new = !self.made.is_empty();
        if !is_new && !self.has_restored {
            return;
        }
        let removed = Reset::begin(dir, &self.job, SHARD).and_then(|found| match found {
            Some(reset) if is_new => reset.remove(),
            Some(reset) => reset.wipe(),
            None => Ok(()),
        });
        if let Err(error) = removed {
            tracing::debug!(%error, "what the refused start left stays");
            return;
        }
        // Not one that holds something else by now.
        for parent in self.made.iter().skip(1) {
            if fs::remove_dir(parent).is_err() {
                return;
            }
        }
    }
}
