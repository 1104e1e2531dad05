//! Looks at Kafka beside a job that runs: once at its settings, and tells in one line which work against what the job
//! promises; then at the topics that it writes.

use std::time::Duration;

use tracing::{debug, info, warn};
use weir_kafka::ClientOptions;
use weir_kafka::advice::{Needs, examine};
use weir_kafka::outputs::OutputIds;
use weir_runtime::{JobHandle, JobState};

/// How often the job is looked at until it runs.
const POLL: Duration = Duration::from_millis(200);
/// How often the topics are.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// On a thread that nobody waits for: neither the start nor the end of the job takes longer.
pub(super) fn give_when_it_runs(client: ClientOptions, needs: Needs, job: JobHandle) {
    let advise = move || {
        loop {
            match job.status().state {
                JobState::Starting | JobState::Recovering => weir_machine::sleep(POLL),
                JobState::Running => {
                    give(&client, &needs);
                    return watch(&client, needs.outputs, &job);
                }
                JobState::Stopping | JobState::Finished | JobState::Failed => return,
            }
        }
    };
    if let Err(error) = weir_machine::spawn("weir-advice", advise) {
        debug!(%error, "no thread to look at Kafka's settings on");
    }
}

fn give(client: &ClientOptions, needs: &Needs) {
    let findings = match examine(client, needs) {
        Ok(findings) => findings,
        Err(error) => return debug!(%error, "Kafka's settings could not be looked at"),
    };
    if !findings.unseen.is_empty() {
        debug!(
            unseen = findings.unseen.join(", "),
            "settings that this user may not see (DescribeConfigs) were not checked"
        );
    }
    if !findings.advice.is_empty() {
        let advice: Vec<String> = findings.advice.iter().map(ToString::to_string).collect();
        let advice = advice.join("; ");
        // Whoever has a single broker is trying things out, and knows.
        match findings.is_alone {
            true => info!("settings of Kafka weaken what the job promises: {advice}"),
            false => warn!("settings of Kafka weaken what the job promises: {advice}"),
        }
    }
}

/// Tells of a topic that was created again while the job writes it. Nothing is refused: no state was built from it, and
/// what it held was somebody's to delete.
fn watch(client: &ClientOptions, outputs: Vec<String>, job: &JobHandle) {
    let mut known: Option<OutputIds> = None;
    while !outputs.is_empty() && is_alive(job) {
        let looked = match &mut known {
            Some(known) => known.replaced(),
            None => OutputIds::look(client, outputs.clone()).map(|found| {
                known = Some(found);
                Vec::new()
            }),
        };
        match looked {
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
