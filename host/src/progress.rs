//! Progress bars on standard error, where somebody can see them: of bounded runs, and of copies of state.

use std::io::IsTerminal as _;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use weir_runtime::{JobHandle, JobStatus};

use crate::telemetry::Screen;

const REFRESH: Duration = Duration::from_millis(200);

/// Draws until it is dropped.
pub(crate) struct Progress {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// `None` where standard error is no terminal.
    pub(crate) fn start(screen: &Screen, job: JobHandle) -> Result<Option<Self>> {
        if !std::io::stderr().is_terminal() {
            return Ok(None);
        }
        let template = "{bar:40} {percent:>3} %  {human_pos} of {human_len}  {per_sec}  {eta} left";
        let style = ProgressStyle::with_template(template).context("the progress bar has no shape")?;
        let bar = screen.0.add(ProgressBar::no_length().with_style(style));
        let (stop, stopped) = sync_channel(1);
        let draw = move || {
            while stopped.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
                if let Some((done, total)) = share(&job.status()) {
                    bar.set_length(total);
                    bar.set_position(done);
                }
            }
            bar.finish_and_clear();
        };
        let thread = std::thread::Builder::new().name("weir-progress".to_owned()).spawn(draw);
        let thread = thread.context("failed to start the progress bar's thread")?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Progress {
    /// The bar is gone from the screen before anything else is said there.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The bar of a copy; gone when it is dropped.
pub(crate) struct Copying(Option<ProgressBar>);

impl Copying {
    /// Shows nothing where standard error is no terminal.
    pub(crate) fn start(screen: &Screen) -> Result<Self> {
        if !std::io::stderr().is_terminal() {
            return Ok(Self(None));
        }
        let template = "{bar:40} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
        let style = ProgressStyle::with_template(template).context("the progress bar has no shape")?;
        Ok(Self(Some(screen.0.add(ProgressBar::no_length().with_style(style)))))
    }

    /// `done` of `total` bytes.
    pub(crate) fn show(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
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
