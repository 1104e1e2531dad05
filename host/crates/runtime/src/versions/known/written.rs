//! How the history of versions is written down.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use weir_checkpoint::Turn;
use weir_machine::channel::{Receiver, RecvTimeoutError, bounded};

use super::Versions;

impl Versions {
    pub(super) fn publish(&self) {
        if !self.lock().news.is_empty() {
            self.0.has_news.store(true, Ordering::Release);
        }
    }

    /// Writes down what is not, if there is anything.
    pub(crate) fn write_news(&self) {
        if self.0.has_news.swap(false, Ordering::AcqRel) {
            drop(self.write_all());
        }
    }

    /// Writes down all that is not, and waits for it so long. What is not written by then the next start finds out for itself,
    /// or does without.
    pub(crate) fn write_rest(&self, within: Duration) {
        if self.write_all().recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the history of versions is not written: the disk does not answer");
        }
    }

    /// Writes down what is not, on a thread of its own: a disk that hangs hangs nobody. Ends when all of it is, also what
    /// others have begun to write.
    fn write_all(&self) -> Receiver<()> {
        let (done, is_done) = bounded(1);
        let versions = self.clone();
        let write = move || {
            let order = versions.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(turn) = versions.next_news() {
                versions.0.shelf.note(&turn);
            }
            drop((order, done));
        };
        if let Err(error) = weir_machine::spawn("weir-history", write) {
            tracing::warn!(%error, "failed to start a thread: the history of versions is not written");
        }
        is_done
    }

    fn next_news(&self) -> Option<Turn> {
        self.lock().news.pop_front()
    }
}
