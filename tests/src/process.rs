//! A child process that cannot outlive this one, not even if this one is killed with -9.

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Waits until its standard input closes, which happens when its parent is gone, however it went. Then it ends the
/// process that it guards and removes what that process would leave behind.
const WATCHDOG: &str = r#"trap '' INT TERM HUP; cat >/dev/null; kill -9 "$1" 2>/dev/null; [ -z "$2" ] || rm -rf "$2""#;

/// How long a process is looked at again for its end.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A running child in a process group of its own; killed and waited for when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    watchdog: Child,
}

impl Process {
    /// Starts `command`. If this process dies before the child, the child is killed and `litter` removed.
    pub fn spawn(command: &mut Command, litter: Option<&Path>) -> Result<Self> {
        let program = command.get_program().to_owned();
        let child =
            command.process_group(0).spawn().with_context(|| format!("failed to start {}", program.display()))?;
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, "watchdog", &child.id().to_string()]);
        watchdog.arg(litter.map(Path::as_os_str).unwrap_or_default());
        watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let watchdog = watchdog.spawn().context("failed to start sh as a watchdog")?;
        Ok(Self { child, watchdog })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; it is no error if the process is gone already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match kill(self.pid(), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("failed to send {signal} to process {}", self.id())),
        }
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end; `None` if the process still runs after `patience`.
    pub fn wait(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait()? {
                None if Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
                outcome => return Ok(outcome),
            }
        }
    }

    /// Kills with -9 and waits.
    pub fn kill(&mut self) -> io::Result<()> {
        // Continued first, so that a stopped one is waited for, too.
        let _gone = kill(self.pid(), Signal::SIGCONT);
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// The child's standard input, once.
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: it must not kill another process that got the same id. Errors mean it is over already.
        let _ended = self.watchdog.kill().and_then(|()| self.watchdog.wait());
        let _ended = self.kill();
    }
}

/// The exit code as a shell shows it: 128 and the number for a signal.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
