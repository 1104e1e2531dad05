//! One process of the program under test, told by its environment where to crash, with its log in a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use weir_tests::process::{Process, exit_code};

/// More recoveries in place than this, in one life, are a loop.
const RECOVERIES_MAX: usize = 8;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A process, running or stopped.
pub(crate) struct Life {
    process: Process,
    log: PathBuf,
    /// Says where it crashes; empty if nowhere.
    pub(crate) failpoints: String,
    /// How it was judged to end: found out once.
    ended: Option<i32>,
}

impl Life {
    /// Starts `program`, which does at crash points what `failpoints` says.
    pub(crate) fn start(program: &Path, args: &[String], failpoints: String, log: PathBuf) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(args).env("NO_COLOR", "1").env("FAILPOINTS", &failpoints).stdin(Stdio::null());
        let out = File::create(&log)?;
        command.stdout(out.try_clone()?).stderr(out);
        Ok(Self { process: Process::spawn(&mut command, None)?, log, failpoints, ended: None })
    }

    /// Its exit code, if it has ended.
    pub(crate) fn code(&mut self) -> Result<Option<i32>> {
        if self.ended.is_none() {
            self.ended = self.process.ended()?.map(exit_code);
        }
        Ok(self.ended)
    }

    /// Whether it has stopped itself.
    pub(crate) fn is_stopped(&self) -> Result<bool> {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("{path}: it has ended"))?;
        // The name, in parentheses, may hold anything.
        Ok(stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T')))
    }

    /// Whether it said that it reached its crash point.
    pub(crate) fn has_struck(&self) -> Result<bool> {
        Ok(self.said()?.contains("crash point "))
    }

    /// How often it recovered in place. More often than is explained is an error: a loop must not hide a failure.
    pub(crate) fn recoveries(&self) -> Result<usize> {
        let count = self.said()?.matches("recovering in place").count();
        ensure!(count <= RECOVERIES_MAX, "{count} recoveries in place are a loop; {}", self.last_words());
        Ok(count)
    }

    /// Continues it after it has stopped.
    pub(crate) fn resume(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Kills it with -9. It must not have ended before by itself.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(code) = self.code()? {
            bail!("it ended with {code}; {}", self.last_words());
        }
        Ok(self.process.kill()?)
    }

    /// Stops it in good order.
    pub(crate) fn finish(&mut self, patience: Duration) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + patience;
        loop {
            match self.code()? {
                Some(0) => return Ok(()),
                Some(code) => bail!("it ended with {code} after SIGTERM; {}", self.last_words()),
                None => {
                    ensure!(Instant::now() < deadline, "it did not stop within {patience:?}; {}", self.last_words())
                }
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// The end of its log, for an error.
    pub(crate) fn last_words(&self) -> String {
        let said = self.said().unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(6).collect();
        let lines = lines.into_iter().rev().collect::<Vec<_>>().join("\n    ");
        format!("{} ends:\n    {lines}", self.log.display())
    }

    fn said(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned())
    }
}
