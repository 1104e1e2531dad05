//! Progress bars on standard error, where somebody can see them: of bounded runs, and of copies of state.

use std::io::IsTerminal as _;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use weir_machine::channel::{RecvTimeoutError, Sender, bounded};
use weir_pipeline::Plan;
use weir_runtime::{JobHandle, JobStatus};

use crate::telemetry::{Bar, Counts, Screen, is_seen};

const REFRESH: Duration = Duration::from_millis(200);

/// Shows a bounded run until it is dropped.
pub(crate) struct Progress {
    screen: Screen,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// `None` for a read without end, where nobody sees standard error, and where the job's own lines go to a terminal.
    pub(crate) fn start(screen: &Screen, plan: &Plan, job: JobHandle) -> Result<Option<Self>> {
        if !plan.is_bounded() || !is_seen() || (plan.writes_to_stdout() && std::io::stdout().is_terminal()) {
            return Ok(None);
        }
        let (stop, stopped) = bounded(1);
        let shown = screen.clone();
        let watch = move || {
            while stopped.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
                if let Some((done, total)) = share(&job.status()) {
                    shown.show_bar(Some(Bar { counts: Counts::Records, done, total }));
                }
            }
        };
        let thread = weir_machine::spawn("weir-progress", watch);
        let thread = thread.context("failed to start the progress bar's thread")?;
        Ok(Some(Self { screen: screen.clone(), stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Progress {
    /// The bar is gone from the screen before anything else is said there. Its thread only looks at the job and never
    /// waits for the screen.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        self.screen.show_bar(None);
    }
}

/// The bar of a copy; gone when it is dropped.
pub(crate) struct Copying(Option<Screen>);

impl Copying {
    /// Shows nothing where nobody sees standard error.
    pub(crate) fn start(screen: &Screen) -> Self {
        Self(is_seen().then(|| screen.clone()))
    }

    /// `done` of `total` bytes.
    pub(crate) fn show(&mut self, done: u64, total: u64) {
        if let Some(screen) = &self.0 {
            screen.show_bar(Some(Bar { counts: Counts::Bytes, done, total }));
        }
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        if let Some(screen) = &self.0 {
            screen.show_bar(None);
        }
    }
}

/// What is done of what there is, over all splits; unknown while any end is.
fn share(status: &JobStatus) -> Option<(u64, u64)> {
    let mut sum = (0, 0);
    for split in &status.splits {
        let total = split.end?.saturating_sub(split.begin);
        let done = split.position.saturating_sub(split.begin);
        sum = (sum.0 + u64::try_from(done).unwrap_or(0), sum.1 + u64::try_from(total).unwrap_or(0));
    }
    (sum.1 > 0).then_some(sum)
}
