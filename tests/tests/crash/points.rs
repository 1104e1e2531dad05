//! Every crash point, and when it acts: in which run of the job, and the how manieth time it is reached.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use weir_core::crash::POINTS;
use weir_tests::machine;

/// In which run a point acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// The first start, before anything is committed.
    FirstStart,
    /// The first run, amid the stream.
    Stream,
    /// A start after one that was killed amid the stream.
    Restart,
}

/// What an error at a point means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// The job recovers in place.
    Passes,
    /// A disk that refuses: the process ends with exit code 1.
    Disk,
}

/// A point at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) point: &'static str,
    pub(crate) run: Run,
    /// What the point does before it acts: nothing, so many times; perhaps more.
    before: &'static str,
    pub(crate) nature: Nature,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {:?})", self.point, self.run, self.before)
    }
}

impl Moment {
    /// What `FAILPOINTS` says: `act` (kill, stop, error) at this moment.
    pub(crate) fn tell(&self, act: &str) -> String {
        format!("{}={}1*return({act})", self.point, self.before)
    }

    /// Whether a transaction with output is open, and its records have reached the broker.
    pub(crate) fn is_in_transaction(&self) -> bool {
        let within = ["outputs-half-produced", "outputs-acknowledged", "offsets-sent"];
        self.run == Run::Stream && within.contains(&self.point)
    }

    /// Whether the process has not read the marker for good.
    pub(crate) fn is_before_marker(&self) -> bool {
        self.point == "fenced-one-id" || self.point.starts_with("manifest") && self.before.is_empty()
    }

    /// What the process says when it is there.
    pub(crate) fn says(&self, act: &str) -> String {
        format!("crash point {:?} reached: {act}", self.point)
    }
}

const fn at(point: &'static str, run: Run, before: &'static str, nature: Nature) -> Moment {
    Moment { point, run, before, nature }
}

/// The eighth epoch or so, each operator task sealing twice as often.
const EIGHTH: &str = "8*off->";
/// Long enough for the records of the epoch so far to reach the broker.
const HALF: &str = "20*off->1*sleep(50)->";

/// The matrix.
pub(crate) const MOMENTS: [Moment; 27] = {
    use Nature::{Disk, Passes};
    use Run::{FirstStart, Restart, Stream};
    [
        at("manifest-temp", FirstStart, "", Disk),
        at("manifest-renamed", FirstStart, "", Disk),
        at("fenced-one-id", FirstStart, "", Passes),
        at("marker-read", FirstStart, "", Passes),
        at("restored", FirstStart, "", Passes),
        // The first is FORMAT, the second the first log record.
        at("manifest-temp", FirstStart, "1*off->", Disk),
        at("manifest-renamed", FirstStart, "1*off->", Disk),
        at("offsets-sent", FirstStart, "", Passes),
        at("commit-acknowledged", FirstStart, "", Passes),
        at("source-verified", Stream, EIGHTH, Passes),
        at("barrier-injected", Stream, EIGHTH, Passes),
        at("operators-aligned", Stream, "16*off->", Passes),
        at("delta-serialised", Stream, EIGHTH, Passes),
        at("log-written", Stream, EIGHTH, Disk),
        at("log-synced", Stream, EIGHTH, Disk),
        at("outputs-half-produced", Stream, HALF, Passes),
        at("outputs-acknowledged", Stream, EIGHTH, Passes),
        at("offsets-sent", Stream, EIGHTH, Passes),
        at("commit-acknowledged", Stream, EIGHTH, Passes),
        at("store-half-applied", Stream, "", Disk),
        at("store-applied", Stream, "", Disk),
        at("flush-running", Stream, "", Disk),
        at("log-trimming", Stream, "", Disk),
        at("fenced-one-id", Restart, "", Passes),
        at("marker-read", Restart, "", Passes),
        at("mid-restore", Restart, "2*off->", Passes),
        at("restored", Restart, "", Passes),
    ]
};

/// Plays `scene` at every moment, `at_once` of them beside each other, and fails with all that failed.
#[expect(clippy::print_stdout, reason = "how long each took, for whoever asks with --nocapture")]
pub(crate) fn everywhere(at_once: usize, scene: impl Fn(&Moment) -> Result<()> + Sync) -> Result<()> {
    let _machine = machine::shared();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(moment) = MOMENTS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let began = Instant::now();
            let outcome = scene(moment);
            println!("{:5.1} s  {moment}", began.elapsed().as_secs_f64());
            if let Err(error) = outcome {
                failures.lock().expect("no thread panics").push(format!("{moment}: {error:#}"));
            }
        }
    };
    std::thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().expect("no thread panics");
    ensure!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), MOMENTS.len(), failures.join("\n\n"));
    Ok(())
}

#[test]
fn every_point_is_in_the_matrix() {
    for (point, _) in POINTS {
        assert!(MOMENTS.iter().any(|moment| moment.point == point), "{point} is never told to act");
    }
}
