//! What a lane waits for beside the step under way: that the job recovers, and that zombies give way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use weir_tests::oracle::Watcher;

use crate::life::Life;
use crate::schedule::{Fault, Place};
use crate::stage::Stage;
use crate::{RECOVER_WITHIN, STOPPED_FOR};

/// A fault that the job has not recovered from yet.
pub(crate) struct Pending {
    /// None: the first start of a job, which is not measured.
    pub(crate) fault: Option<(Place, Fault)>,
    pub(crate) since: Instant,
    /// Where the output ended then. What stands there or beyond and is committed was written later: a transaction is
    /// ended only when all of it is acknowledged.
    pub(crate) floors: BTreeMap<i32, i64>,
    /// Tells whether the broker was stopped meanwhile.
    pub(crate) pauses: u64,
}

impl Pending {
    /// What settled it came at `moment`. A time in which another lane stopped the broker is not the job's.
    pub(crate) fn settled(&self, moment: Instant, stage: &Stage) {
        let undisturbed = self.pauses.is_multiple_of(2) && stage.pauses() == self.pauses;
        if let Some((place, fault)) = self.fault.filter(|_| undisturbed) {
            stage.board().recovered(place, fault, moment.saturating_duration_since(self.since));
        }
    }

    /// For an error.
    pub(crate) fn name(&self) -> String {
        self.fault.map_or_else(
            || "the first start".to_owned(),
            |(place, fault)| format!("{} × {}", place.name(), fault.name()),
        )
    }
}

/// An instance that was stopped, and whose place another one took.
pub(crate) struct Zombie {
    pub(crate) life: Life,
    pub(crate) directory: PathBuf,
    pub(crate) since: Instant,
    /// As of a [`Pending`].
    pub(crate) floors: BTreeMap<i32, i64>,
    pub(crate) resumed: Option<Instant>,
}

impl Zombie {
    /// Continues it when its transaction has timed out and its rival has committed; whether it has given way since.
    pub(crate) fn gives_way(&mut self, watcher: &Watcher) -> Result<bool> {
        let Some(resumed) = self.resumed else {
            if self.since.elapsed() > STOPPED_FOR && watcher.reached(&self.floors).is_some() {
                self.life.resume()?;
                self.resumed = Some(Instant::now());
            }
            return Ok(false);
        };
        match self.life.code()? {
            None => {
                let waited = resumed.elapsed();
                ensure!(waited < RECOVER_WITHIN, "a zombie works for {waited:?}; {}", self.life.last_words());
                Ok(false)
            }
            Some(code) => {
                // Another instance owns the job; or, to one that was still starting, the state and Kafka disagree.
                ensure!([3, 4].contains(&code), "a zombie ended with {code}; {}", self.life.last_words());
                std::fs::remove_dir_all(&self.directory)?;
                Ok(true)
            }
        }
    }
}
