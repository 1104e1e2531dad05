//! Whether what an epoch was read from still is what its splits say: asked after the last record of the epoch was fetched,
//! answered before the epoch is committed. See ADR 8.
//!
//! A topic that is created again under the same name has another id, and ids never come back. So where a broker that gave
//! out records says afterwards that the topic has the id that it should have, it had it when the records were given out;
//! where it has another one, not one of them counts. Each broker is asked for what it gave out itself, because another
//! may not have heard of the new topic yet. Until all have answered nothing holds; a broker that is gone cannot be asked
//! any more, and what it gave out is read again.

use std::sync::Arc;
use std::time::Duration;

use weir_core::Fault;
use weir_core::ports::Verified;
use weir_machine::channel::Receiver;

use super::handover::Handover;
use super::offsets::same_topic;
use super::served::Questions;
use crate::admin::{ASK_AGAIN_AFTER, Admin};
use crate::error::Error;

/// How long a broker may take at first; it gets twice as long each time.
const PATIENCE_MIN: Duration = Duration::from_secs(1);
const PATIENCE_MAX: Duration = Duration::from_secs(8);
/// Between two questions to brokers that do not answer.
const PAUSE: Duration = Duration::from_millis(100);

/// What is to be verified, and who wants to know.
pub(super) struct Question {
    pub(super) asked: Questions,
    pub(super) done: Verified,
}

/// See the module's head.
pub(super) struct Gate {
    pub(super) admin: Admin,
    pub(super) questions: Receiver<Question>,
    pub(super) handover: Arc<Handover>,
}

impl Gate {
    /// Answers until the reader is gone.
    pub(super) fn run(self) {
        for Question { asked, done } in &self.questions {
            match self.verify(&asked) {
                Some(verified) => done(verified.map_err(Into::into)),
                None => return,
            }
        }
    }

    /// Asks until there is an answer; `None` when nobody wants it any more. A failure of another thread of the source is no
    /// reason to stop: the reader may be waiting for this answer, and sees that failure only when it polls again.
    fn verify(&self, asked: &Questions) -> Option<Result<(), Error>> {
        let (mut patience, mut was_absent) = (PATIENCE_MIN, false);
        while !self.handover.is_left() {
            let error = match self.ask(asked, patience) {
                Ok(()) => return Some(Ok(())),
                Err(error) => error,
            };
            if error.is_absence() && !was_absent {
                // A broker may have heard of an older topic, and not yet of the one that another broker gave the job.
                was_absent = true;
                weir_machine::sleep(ASK_AGAIN_AFTER);
                continue;
            }
            if error.fault() != Fault::Transient {
                return Some(Err(error));
            }
            metrics::counter!("weir_kafka_discovery_failures_total").increment(1);
            tracing::debug!(%error, "what was read cannot be verified yet");
            if let Some(broker) = self.gone(asked, patience) {
                return Some(Err(Error::BrokerGone { broker }));
            }
            patience = (patience * 2).min(PATIENCE_MAX);
            weir_machine::sleep(PAUSE);
        }
        None
    }

    fn ask(&self, asked: &Questions, patience: Duration) -> Result<(), Error> {
        let named = |(broker, topics): (&Option<i32>, &_)| (*broker, names(topics));
        let questions: Vec<_> = asked.iter().map(named).collect();
        let answers = self.admin.topics_at(&questions, patience, || !self.handover.is_left())?;
        for (topics, found) in asked.values().zip(answers) {
            for (topic, expected) in topics {
                same_topic(topic, expected.as_deref(), found.iter().find(|t| t.name == *topic))?;
            }
        }
        Ok(())
    }

    /// A broker that is asked and not in the cluster any more. Nobody knows while no broker answers.
    fn gone(&self, asked: &Questions, patience: Duration) -> Option<i32> {
        let topic = asked.values().flat_map(|topics| topics.keys()).next()?;
        let present = self.admin.brokers(topic, patience).ok()?;
        asked.keys().flatten().copied().find(|broker| !present.contains(broker))
    }
}

fn names(topics: &std::collections::BTreeMap<String, Option<String>>) -> Vec<String> {
    topics.keys().cloned().collect()
}
