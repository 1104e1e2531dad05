//! Looks at Kafka's settings once the job runs, beside it, and tells in one line which work against its promise.

use std::time::Duration;

use tracing::{debug, info, warn};
use weir_kafka::ClientOptions;
use weir_kafka::advice::{Needs, examine};
use weir_runtime::{JobHandle, JobState};

/// How often the job is looked at until it runs.
const POLL: Duration = Duration::from_millis(200);

/// On a thread that nobody waits for: neither the start nor the end of the job takes longer.
pub(super) fn give_when_it_runs(client: ClientOptions, needs: Needs, job: JobHandle) {
    let advise = move || {
        loop {
            match job.status().state {
                JobState::Starting | JobState::Recovering => std::thread::sleep(POLL),
                JobState::Running => return give(&client, &needs),
                JobState::Stopping | JobState::Finished | JobState::Failed => return,
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("weir-advice".into()).spawn(advise) {
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
