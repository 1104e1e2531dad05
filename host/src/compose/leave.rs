//! What becomes of a job that has ended, and of a state directory that was made for it alone.

use weir_runtime::{Error, Summary};

/// Lets go of `job` and then of the directory that its store is in, where that is `temporary`: or of neither, where that
/// could hang. `has_begun`: an attempt has been made.
pub(super) fn leave<J, D>(outcome: &Result<Summary, Error>, has_begun: bool, job: J, temporary: Option<D>) {
    match outcome {
        // The store is closed before its directory goes.
        Ok(Summary { flushed: true, .. }) => drop((job, temporary)),
        // The disk may hang: closing the store would, too, and nobody would read why. Dying at any moment is safe.
        Ok(_) | Err(Error::Stuck { .. } | Error::StopTimedOut(_) | Error::LeftBehind(..)) => {
            std::mem::forget((job, temporary));
        }
        // What is not flushed comes back from the log: no store need be closed but one whose directory goes, or may go.
        Err(_) if temporary.is_none() && has_begun => std::mem::forget(job),
        Err(_) => drop((job, temporary)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use weir_core::Epoch;

    use super::*;

    /// Tells when it goes.
    struct Held<'a>(&'static str, &'a RefCell<Vec<&'static str>>);

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }

    fn gone(outcome: &Result<Summary, Error>, has_begun: bool, is_temporary: bool) -> Vec<&'static str> {
        let gone = RefCell::new(Vec::new());
        let directory = is_temporary.then(|| Held("directory", &gone));
        leave(outcome, has_begun, Held("job", &gone), directory);
        gone.into_inner()
    }

    #[test]
    fn a_temporary_directory_goes_after_the_store_in_it_and_neither_where_the_disk_may_hang() {
        let done = |flushed| {
            let (epoch, records_read, records_written) = (Epoch(1), 0, 0);
            Ok(Summary { epoch, stopped: true, records_read, records_written, restarts: 0, flushed })
        };
        let what = "open the store";
        let stuck = Err(Error::Stuck { what, waited: Duration::ZERO });
        let failed = Err(Error::Hung { what, waited: Duration::ZERO });
        let both = vec!["job", "directory"];
        assert_eq!((gone(&done(true), true, true), gone(&done(true), true, false)), (both.clone(), vec!["job"]));
        for hangs in [done(false), stuck] {
            assert_eq!((gone(&hangs, true, true), gone(&hangs, true, false)), (vec![], vec![]), "{hangs:?}");
        }
        assert_eq!((gone(&failed, true, true), gone(&failed, false, true)), (both.clone(), both));
        // The directory that a refused first start leaves is removed by whoever ran it.
        assert_eq!((gone(&failed, true, false), gone(&failed, false, false)), (vec![], vec!["job"]));
    }
}
