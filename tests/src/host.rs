//! The program under test, as a user runs it: arguments in; exit code, output, log, API and signals out.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::process::{Process, exit_code};

/// What a program that has ended leaves.
#[derive(Debug)]
pub struct Ended {
    /// As a shell shows it.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error: log, progress, summary, error.
    pub stderr: String,
}

impl Ended {
    /// Fails unless it ended with `code`; the error shows what it said.
    pub fn expect(self, code: i32) -> Result<Self> {
        ensure!(self.code == code, "exit code {} instead of {code}; it said:\n{}", self.code, self.stderr);
        Ok(self)
    }

    /// Fails unless standard error holds each of `words`.
    pub fn says(self, words: &[&str]) -> Result<Self> {
        for word in words {
            ensure!(self.stderr.contains(word), "it does not say {word:?}, but:\n{}", self.stderr);
        }
        Ok(self)
    }
}

/// A running `host`.
#[derive(Debug)]
pub struct Host {
    process: Process,
    home: TempDir,
    args: Vec<String>,
}

/// The program: `WEIR_HOST`, or beside this test program.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("WEIR_HOST") {
        return Ok(path.into());
    }
    sibling("host").context("there is no program `host`: run `make build`, or name it in WEIR_HOST")
}

/// The program with crash points: `WEIR_CRASH_HOST`, or beside this test program.
pub fn crash_program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("WEIR_CRASH_HOST") {
        return Ok(path.into());
    }
    sibling("host-crash-points")
        .context("there is no such program: run `make crash-host`, or name it in WEIR_CRASH_HOST")
}

/// A program that cargo left beside this one.
pub fn sibling(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(2).map(|directory| directory.join(name)).find(|path| path.exists());
    found.with_context(|| format!("{name} is not beside {}", own.display()))
}

/// A plugin as `make build` leaves it: in `WEIR_PLUGINS`, or in `target/plugins` of this checkout.
pub fn plugin(name: &str) -> Result<String> {
    let directory = std::env::var_os("WEIR_PLUGINS").map_or_else(|| checkout().join("target/plugins"), PathBuf::from);
    let path = directory.join(format!("{name}.wasm"));
    ensure!(path.exists(), "{} does not exist: run `make build`", path.display());
    Ok(path.display().to_string())
}

/// The root of this checkout.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a folder of the checkout")
}

/// Runs `host` to its end, which must come within `patience`.
pub fn run<A: AsRef<OsStr>>(args: &[A], patience: Duration) -> Result<Ended> {
    run_with_input(args, b"", patience)
}

/// The same, with `input` on standard input.
pub fn run_with_input<A: AsRef<OsStr>>(args: &[A], input: &[u8], patience: Duration) -> Result<Ended> {
    let mut host = Host::start(args)?;
    drop(host.feed(input)?);
    host.wait(patience)
}

impl Host {
    /// Starts it in an empty directory of its own.
    pub fn start<A: AsRef<OsStr>>(args: &[A]) -> Result<Self> {
        Self::start_program(&program()?, args)
    }

    /// The same for any program that reads and writes like it.
    pub fn start_program<A: AsRef<OsStr>>(program: &Path, args: &[A]) -> Result<Self> {
        Self::start_program_with(program, args, &[])
    }

    /// The same with more environment variables.
    pub fn start_program_with<A: AsRef<OsStr>>(program: &Path, args: &[A], env: &[(&str, &str)]) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("weir-host-").tempdir()?;
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(home.path())
            .env("NO_COLOR", "1")
            .envs(env.iter().copied())
            .stdin(Stdio::piped());
        command.stdout(File::create(home.path().join("stdout"))?).stderr(File::create(home.path().join("stderr"))?);
        let process = Process::spawn(&mut command, Some(home.path()))?;
        let args = args.iter().map(|arg| arg.as_ref().display().to_string()).collect();
        Ok(Self { process, home, args })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Writes `input` to its standard input, once, on a thread. The input ends when what is returned is dropped and all of
    /// it is written.
    pub fn feed(&mut self, input: &[u8]) -> Result<JoinHandle<ChildStdin>> {
        let mut stdin = self.process.stdin().context("standard input is fed once")?;
        let input = input.to_vec();
        Ok(std::thread::spawn(move || {
            // A program that ends early closes the pipe: its exit code tells, not our write.
            drop(stdin.write_all(&input));
            stdin
        }))
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.home.path().join("stderr"))?).into_owned())
    }

    /// What it wrote to standard output so far.
    pub fn output(&self) -> Result<Vec<u8>> {
        Ok(std::fs::read(self.home.path().join("stdout"))?)
    }

    /// Waits for its end, which must come within `patience`.
    pub fn wait(mut self, patience: Duration) -> Result<Ended> {
        let Some(status) = self.process.wait(patience)? else {
            bail!("`host {}` still runs after {patience:?}; it said:\n{}", self.args.join(" "), self.log()?);
        };
        Ok(Ended { code: exit_code(status), stdout: self.output()?, stderr: self.log()? })
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> Result<bool> {
        Ok(self.process.ended()?.is_some())
    }

    /// Whether it is stopped (SIGSTOP): it is there and does nothing.
    pub fn is_stopped(&self) -> Result<bool> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let (_, fields) = stat.rsplit_once(')').context("/proc/ID/stat has a name in parentheses")?;
        Ok(fields.trim_start().starts_with('T'))
    }

    /// Waits until its log holds `text`.
    pub fn wait_for_log(&mut self, text: &str, patience: Duration) -> Result<()> {
        self.wait_until(&format!("its log to say {text:?}"), patience, |host| Ok(host.log()?.contains(text)))
    }

    /// Waits until the API answers for a job that holds `condition`. Needs the port given to `--api`.
    pub fn wait_for_job(
        &mut self,
        port: u16,
        patience: Duration,
        condition: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<()> {
        self.wait_until("its job at the API", patience, |_| Ok(job(port).is_ok_and(|job| condition(&job))))
    }

    /// Waits until `condition` holds, and not longer than it lives.
    pub fn wait_until(
        &mut self,
        what: &str,
        patience: Duration,
        mut condition: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !condition(self)? {
            if let Some(status) = self.process.ended()? {
                bail!("ended with {} while waiting for {what}; it said:\n{}", exit_code(status), self.log()?);
            }
            ensure!(Instant::now() < deadline, "waited {patience:?} for {what}; it said:\n{}", self.log()?);
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Kills with -9, and waits until it is gone.
    pub fn kill(mut self) -> Result<()> {
        Ok(self.process.kill()?)
    }

    /// Peak memory in bytes and CPU time so far.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.id())
    }
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Peak resident memory.
    pub rss_bytes: u64,
    /// User and system time of all its threads.
    pub cpu: Duration,
}

impl Usage {
    /// Of the process `id`, as the kernel counts it (in steps of 10 ms).
    pub fn of(id: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the process has no memory")?;
        let kilobytes: u64 = peak.trim().trim_end_matches("kB").trim().parse()?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name, in parentheses, may hold blanks; after it come the state and then field 4 on.
        let (_, fields) = stat.rsplit_once(')').context("/proc/ID/stat has a name in parentheses")?;
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse().unwrap_or(0_u64)).sum();
        Ok(Self { rss_bytes: kilobytes * 1024, cpu: Duration::from_millis(ticks * 10) })
    }
}

/// `/v1/job` of the API at `port`.
pub fn job(port: u16) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&get(port, "/v1/job")?)?)
}

/// The body that the API at `port` answers to `GET path`.
pub fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the API's answer is no HTTP")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "the API answered {head}");
    Ok(body.to_owned())
}
