//! Looks at the cluster beside a job that runs: once at its settings, and tells in one line which work against what the job
//! promises; then at the targets that it writes.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};
use weir_connector::Lookout;
use weir_runtime::{JobHandle, JobState};

/// How often the job is looked at until it runs.
const POLL: Duration = Duration::from_millis(200);
/// How often the targets are.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// On a thread that nobody waits for: neither the start nor the end of the job takes longer.
pub(super) fn give_when_it_runs(lookout: Arc<dyn Lookout>, title: &'static str, job: JobHandle) {
    let advise = move || {
        loop {
            match job.status().state {
                JobState::Starting | JobState::Recovering => weir_machine::sleep(POLL),
                JobState::Running => {
                    give(&*lookout, title);
                    return watch(&*lookout, &job);
                }
                JobState::Stopping | JobState::Finished | JobState::Failed => return,
            }
        }
    };
    if let Err(error) = weir_machine::spawn("weir-advice", advise) {
        debug!(%error, "no thread to look at the settings of {title} on");
    }
}

fn give(lookout: &dyn Lookout, title: &str) {
    let findings = match lookout.examine() {
        Ok(findings) => findings,
        Err(error) => return debug!(%error, "the settings of {title} could not be looked at"),
    };
    if !findings.unseen.is_empty() {
        debug!(unseen = findings.unseen.join(", "), "settings of {title} that this user may not see were not checked");
    }
    if !findings.advice.is_empty() {
        let advice = findings.advice.join("; ");
        // Whoever has a single machine is trying things out, and knows.
        match findings.is_alone {
            true => info!("settings of {title} weaken what the job promises: {advice}"),
            false => warn!("settings of {title} weaken what the job promises: {advice}"),
        }
    }
}

/// Tells of a topic that was created again while the job writes it. Nothing is refused: no state was built from it, and
/// what it held was somebody's to delete.
fn watch(lookout: &dyn Lookout, job: &JobHandle) {
    while is_alive(job) {
        match lookout.replaced() {
            Ok(replaced) => replaced.iter().for_each(|topic| {
                warn!(%topic, "an output topic was deleted and created again: what this job wrote before went with the old one, and it writes on to the new one");
            }),
            Err(error) => debug!(%error, "the output topics could not be looked at"),
        }
        weir_machine::sleep(LOOK_EVERY);
    }
}

fn is_alive(job: &JobHandle) -> bool {
    !matches!(job.status().state, JobState::Stopping | JobState::Finished | JobState::Failed)
}
