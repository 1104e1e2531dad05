//! Whoever reads the log may be slow, stuck or gone: lines are lost then, and nothing else. And what is said last is said
//! in the format that was asked for.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _, pipe};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use tempfile::TempDir;
use weir_tests::broker::free_port;
use weir_tests::host::{Host, get, plugin, program, run};
use weir_tests::machine;
use weir_tests::process::{Process, exit_code};

use crate::scene::Scene;

const PATIENCE: Duration = Duration::from_secs(30);
/// A stop has nothing to do here but one commit to a file; how long a process waits for a log that nobody reads is
/// bounded.
const STOPS_WITHIN: Duration = Duration::from_secs(5);
/// What a pipe holds.
const PIPE_BYTES: usize = 64 << 10;

/// A job from a generator to a file, whose log goes to `log`.
struct Job {
    home: TempDir,
    process: Process,
}

impl Job {
    fn start(generator: &str, more: &[&str], log: impl Into<Stdio>) -> Result<Self> {
        let home = TempDir::new()?;
        let out = format!("file:{}", home.path().join("out").display());
        let mut command = Command::new(program()?);
        command.args(["run", "--plugin", &plugin("uppercase")?, "--from", generator, "--to", &out]).args(more);
        if !more.contains(&"--api") {
            command.args(["--api", "off"]);
        }
        command.current_dir(home.path()).env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = Process::spawn(&mut command, Some(home.path()))?;
        Ok(Self { home, process })
    }

    fn lines(&self) -> usize {
        std::fs::read_to_string(self.home.path().join("out")).map_or(0, |out| out.lines().count())
    }

    fn wait_for_lines(&mut self, lines: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.lines() < lines {
            ensure!(self.process.ended()?.is_none(), "it has ended with {} lines", self.lines());
            ensure!(Instant::now() < deadline, "{} lines after {PATIENCE:?}", self.lines());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn ends(&mut self, code: i32, patience: Duration) -> Result<()> {
        let status = self.process.wait(patience)?.with_context(|| format!("it still runs after {patience:?}"))?;
        ensure!(exit_code(status) == code, "exit code {} instead of {code}", exit_code(status));
        Ok(())
    }
}

/// A log that nobody reads.
struct Unread {
    why: &'static str,
    log: Stdio,
    /// Open, so that the pipe is, and not read from.
    _reader: Option<PipeReader>,
}

fn unread() -> Result<[Unread; 3]> {
    let (reader, gone) = pipe()?;
    drop(reader);
    let (reader, mut full) = pipe()?;
    full.write_all(&vec![b'x'; PIPE_BYTES])?;
    let disk = OpenOptions::new().write(true).open("/dev/full")?;
    Ok([
        Unread { why: "its reader is gone", log: gone.into(), _reader: None },
        Unread { why: "its reader does not read", log: full.into(), _reader: Some(reader) },
        Unread { why: "its disk is full", log: disk.into(), _reader: None },
    ])
}

#[test]
fn a_job_whose_log_nobody_reads_does_its_work() -> Result<()> {
    let _machine = machine::shared();
    for Unread { why, log, _reader } in unread()? {
        let mut job = Job::start("generate:sequence?count=1000", &[], log)?;
        job.ends(0, PATIENCE).context(why)?;
        ensure!(job.lines() == 1_000, "{why}: {} lines", job.lines());
    }
    Ok(())
}

#[test]
fn a_job_whose_log_nobody_reads_obeys_a_signal() -> Result<()> {
    let _machine = machine::shared();
    for Unread { why, log, _reader } in unread()? {
        let mut job = Job::start("generate:sequence?rate=100", &[], log)?;
        job.wait_for_lines(10)?;
        job.process.signal(Signal::SIGTERM)?;
        job.ends(0, STOPS_WITHIN).context(why)?;
    }
    // As `host run 2>/dev/tty` does when its terminal goes away.
    let (reader, log) = pipe()?;
    let mut job = Job::start("generate:sequence?rate=100", &[], log)?;
    job.wait_for_lines(10)?;
    drop(reader);
    job.process.signal(Signal::SIGHUP)?;
    job.ends(0, STOPS_WITHIN).context("its reader goes away while it runs")
}

#[test]
fn a_failure_that_nobody_reads_has_its_code_all_the_same() -> Result<()> {
    let _machine = machine::shared();
    for Unread { why, log, _reader } in unread()? {
        let mut job = Job::start("file:/nowhere", &[], log)?;
        job.ends(2, PATIENCE).context(why)?;
    }
    Ok(())
}

#[test]
fn lost_lines_are_counted_and_told_of() -> Result<()> {
    let _machine = machine::shared();
    let port = free_port()?;
    let log = OpenOptions::new().write(true).open("/dev/full")?;
    let mut job = Job::start("generate:sequence?rate=100", &["--api", &format!("127.0.0.1:{port}")], log)?;
    job.wait_for_lines(10)?;
    let metrics = get(port, "/metrics")?;
    let lost = metrics.lines().find_map(|line| line.strip_prefix("weir_log_lines_lost_total "));
    ensure!(lost.is_some_and(|lost| lost.parse().is_ok_and(|lost: u64| lost >= 3)), "{metrics}");
    job.process.signal(Signal::SIGTERM)?;
    job.ends(0, STOPS_WITHIN)
}

/// More than waits for a reader: it reads again at the end, and finds the last line.
#[test]
fn a_reader_that_comes_back_finds_the_last_line() -> Result<()> {
    let _machine = machine::shared();
    let (mut reader, mut log) = pipe()?;
    log.write_all(&vec![b'\n'; PIPE_BYTES])?;
    let mut job = Job::start("generate:sequence?rate=100", &[], log)?;
    job.wait_for_lines(10)?;
    job.process.signal(Signal::SIGTERM)?;
    let mut said = String::new();
    reader.read_to_string(&mut said)?;
    job.ends(0, STOPS_WITHIN)?;
    ensure!(
        said.contains("starting") && said.trim_end().lines().last().is_some_and(|l| l.contains("stopped")),
        "{said}"
    );
    Ok(())
}

#[test]
fn only_the_reader_of_stdout_may_go_away() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let plugin = plugin("uppercase")?;
    let start = |to: &str, stdout: Stdio| -> Result<Process> {
        let mut command = Command::new(program()?);
        command.args(["run", "--api", "off", "--plugin", &plugin, "--from", "generate:sequence?rate=200", "--to", to]);
        command.current_dir(home.path()).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null());
        Process::spawn(&mut command, None)
    };
    let (reader, stdout) = pipe()?;
    let mut to_stdout = start("-", stdout.into())?;
    first_line(reader)?;
    let status = to_stdout.wait(PATIENCE)?.context("it writes to nobody")?;
    ensure!(exit_code(status) == 0, "exit code {} for a closed stdout", exit_code(status));

    let fifo = home.path().join("stdout");
    mkfifo(&fifo, Mode::S_IRWXU)?;
    let mut to_fifo = start("file:stdout", Stdio::null())?;
    first_line(File::open(&fifo)?)?;
    let status = to_fifo.wait(PATIENCE)?.context("it writes to nobody")?;
    ensure!(exit_code(status) == 1, "exit code {} for a FIFO that nobody reads", exit_code(status));
    Ok(())
}

#[test]
fn a_reader_of_stdout_may_take_its_time_and_is_seen_to() -> Result<()> {
    let _machine = machine::shared();
    let (home, port, plugin) = (TempDir::new()?, free_port()?, plugin("uppercase")?);
    let (mut reader, stdout) = pipe()?;
    let mut command = Command::new(program()?);
    let api = format!("127.0.0.1:{port}");
    command.args(["run", "--api", &api, "--plugin", &plugin, "--from", "generate:sequence?count=50000&bytes=100"]);
    let log = File::create(home.path().join("stderr"))?;
    command.current_dir(home.path()).stdin(Stdio::null()).stdout(stdout).stderr(log);
    let mut job = Process::spawn(&mut command, None)?;
    // Else the pipe would never end.
    drop(command);
    let deadline = Instant::now() + PATIENCE;
    let waiting = loop {
        let shown =
            get(port, "/v1/job").and_then(|shown| Ok(serde_json::from_str::<Value>(&shown)?)).unwrap_or_default();
        if !shown["waiting"].is_null() {
            break shown["waiting"].clone();
        }
        ensure!(Instant::now() < deadline, "nothing is waited for: {shown}");
        std::thread::sleep(Duration::from_millis(50));
    };
    ensure!(waiting["patient"] == true && waiting["what"].to_string().contains("standard output"), "{waiting}");
    let health = get(port, "/healthz")?;
    ensure!(health.starts_with("ok, waiting for ") && health.contains("standard output"), "{health}");
    let mut lines = String::new();
    reader.read_to_string(&mut lines)?;
    // Each once, whole and in order, however often the writer had to wait.
    let wrong = lines.lines().zip(0..).find(|(line, offset)| **line != format!("{offset:0100}"));
    ensure!(wrong.is_none() && lines.lines().count() == 50_000, "{} lines, {wrong:?}", lines.lines().count());
    let code = job.wait(PATIENCE)?.map(exit_code);
    ensure!(code == Some(0), "exit code {code:?}");
    let log = std::fs::read_to_string(home.path().join("stderr"))?;
    ensure!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    ensure!(log.contains("read=50000") && log.contains("written=50000") && log.contains("restarts=0"), "{log}");
    Ok(())
}

/// Reads one line, and goes away.
fn first_line(from: impl std::io::Read) -> Result<()> {
    let mut line = String::new();
    ensure!(BufReader::new(from).read_line(&mut line)? > 0, "nothing was written");
    Ok(())
}

fn json_lines(text: &str) -> Result<Vec<Value>> {
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

#[test]
fn a_json_log_is_json_to_its_last_line() -> Result<()> {
    let _machine = machine::shared();
    let plugin = plugin("uppercase")?;
    for (args, code, message) in [
        (&["run", "--plugin", "nowhere.wasm", "--log-format", "json"][..], 2, "failed to read plugin nowhere.wasm"),
        (&["run", "--log-format", "json"], 2, "--plugin is missing"),
        (&["run", "--log-format=json", "--plugn", "x"], 2, "unexpected argument '--plugn'"),
        (&["run", "--plugin", &plugin, "--log-format", "json", "--from", "file:/nowhere"], 2, "/nowhere"),
    ] {
        let ended = run(&[args, &["--api", "off"]].concat(), PATIENCE)?.expect(code)?;
        let lines = json_lines(&ended.stderr)?;
        let last = lines.last().context("nothing was said")?;
        ensure!(last["level"] == "ERROR" && last["exit_code"] == code, "{last}");
        ensure!(last.to_string().contains(message), "{last}");
    }
    let job =
        ["run", "--plugin", &plugin, "--log-format", "json", "--from", "generate:sequence?count=10", "--job", "j"];
    let ended = run(&job, PATIENCE)?.expect(0)?;
    let lines = json_lines(&ended.stderr)?;
    let line = |message: &str| lines.iter().find(|line| line["message"] == message).context("a line is missing");
    ensure!(line("running")?["epoch"].is_u64() && line("running")?["took_ms"].is_u64(), "{lines:?}");
    ensure!(line("done")?["seconds"].is_number(), "{lines:?}");
    Ok(())
}

/// librdkafka warns about properties when a client is made, before anybody listens: on stderr itself, if it may.
#[test]
fn no_line_of_the_kafka_client_goes_past_the_log() -> Result<()> {
    let scene = Scene::new("past-the-log")?;
    scene.fill(100, 10)?;
    let odd = ["--kafka", "linger.ms=7", "--kafka", "sasl.mechanism=hunter2", "--log-format", "json"];
    let ended = scene.run("uppercase", &odd)?.expect(0)?;
    json_lines(&ended.stderr)?;
    ensure!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn a_start_says_in_one_line_who_it_is() -> Result<()> {
    let _machine = machine::shared();
    let from = "generate:sequence?rate=10";
    let args = ["run", "--plugin", &plugin("uppercase")?, "--from", from, "--job", "orders", "--api", "127.0.0.1:0"];
    let mut host = Host::start(&args)?;
    host.wait_for_log("running", PATIENCE)?;
    let log = host.log()?;
    let line = log.lines().find(|line| line.contains("starting")).context("no line says what starts")?;
    for word in ["job=orders", ".weir/orders", "from=\"generate sequence\"", "to=\"stdout\"", "delivery=at-least-once"]
    {
        ensure!(line.contains(word), "no {word} in {line}");
    }
    // Any free port was asked for: the line says which one it is.
    let address = line.split("api=").nth(1).context("no API")?.trim_matches('"');
    let port: u16 = address.rsplit(':').next().unwrap_or_default().trim_matches('"').parse()?;
    ensure!(port != 0, "{address}");
    host.wait_until("its health at that port", PATIENCE, |_| Ok(get(port, "/healthz").is_ok()))?;
    host.signal(Signal::SIGTERM)?;
    host.wait(STOPS_WITHIN)?.expect(0)?;
    Ok(())
}

#[test]
fn a_thousand_silent_connections_keep_no_probe_out() -> Result<()> {
    let _machine = machine::shared();
    let port = free_port()?;
    let log = File::create("/dev/null")?;
    let mut job = Job::start("generate:sequence?rate=100", &["--api", &format!("127.0.0.1:{port}")], log)?;
    job.wait_for_lines(1)?;
    let descriptors = || Ok::<_, anyhow::Error>(std::fs::read_dir(format!("/proc/{}/fd", job.process.id()))?.count());
    let before = descriptors()?;
    // This process holds them all.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard)?;
    let crowd: Vec<_> = (0..1_000).map(|_| TcpStream::connect(("127.0.0.1", port))).collect::<Result<_, _>>()?;
    ensure!(get(port, "/healthz")? == "ok\n");
    ensure!(descriptors()? <= before + 70, "{} descriptors, {before} before", descriptors()?);
    drop(crowd);
    job.process.signal(Signal::SIGTERM)?;
    job.ends(0, STOPS_WITHIN)
}

/// The program, started by a shell that has done `first`.
fn start_after(first: &str, args: &[&str]) -> Result<Host> {
    let program = program()?.canonicalize()?.display().to_string();
    let script = format!("{first}; exec \"$0\" \"$@\"");
    Host::start_program(Path::new("sh"), &[&["-c", &script, &program], args].concat())
}

#[test]
fn a_hang_up_that_was_ignored_before_is_ignored() -> Result<()> {
    let _machine = machine::shared();
    let plugin = plugin("uppercase")?;
    let args = ["run", "--api", "off", "--plugin", &plugin, "--from", "generate:sequence?rate=100"];
    let mut host = start_after("trap '' HUP", &args)?;
    let lines = |host: &Host| host.output().map(|out| out.iter().filter(|byte| **byte == b'\n').count());
    host.wait_until("output", PATIENCE, |host| Ok(lines(host)? > 10))?;
    host.signal(Signal::SIGHUP)?;
    let before = lines(&host)?;
    host.wait_until("more output", PATIENCE, |host| Ok(lines(host)? > before + 50))?;
    host.signal(Signal::SIGTERM)?;
    host.wait(STOPS_WITHIN)?.expect(0)?;
    Ok(())
}

#[test]
fn a_file_beyond_the_limit_of_the_process_is_a_failure_that_is_said() -> Result<()> {
    let _machine = machine::shared();
    let plugin = plugin("uppercase")?;
    let from = "generate:sequence?count=300000";
    let args = ["run", "--api", "off", "--plugin", &plugin, "--from", from, "--to", "file:out"];
    start_after("ulimit -f 200", &args)?.wait(PATIENCE)?.expect(1)?.says(&["failed to write out", "File too large"])?;
    Ok(())
}

#[test]
fn a_signal_before_the_job_begins_ends_it_at_once() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let slow = home.path().join("slow.wasm");
    mkfifo(&slow, Mode::S_IRWXU)?;
    for (from, code) in [("-", 143), ("generate:sequence?rate=10", 0)] {
        let mut host = Host::start(&["run", "--api", "off", "--plugin", &slow.display().to_string(), "--from", from])?;
        host.wait_for_log("starting", PATIENCE)?;
        host.signal(Signal::SIGTERM)?;
        host.wait(STOPS_WITHIN)?.expect(code)?.says(&["stopped before the job began"])?;
    }
    Ok(())
}

#[test]
fn an_output_that_cannot_be_written_to_is_a_failure() -> Result<()> {
    let _machine = machine::shared();
    let plugin = plugin("uppercase")?;
    let run = ["run", "--api", "off", "--plugin", &plugin, "--from", "generate:sequence?count=10"];
    for args in [&run[..], &["inspect", &plugin], &["validate", "--plugin", &plugin], &["--help"], &["--version"]] {
        for unwritable in ["exec 1</dev/null", "exec 1>/dev/full"] {
            start_after(unwritable, args)?.wait(PATIENCE)?.expect(1)?.says(&["failed to write stdout"])?;
        }
        start_after("exec 1>&-", args)?.wait(PATIENCE)?.expect(2)?.says(&["stdout was closed before"])?;
    }
    Ok(())
}

#[test]
fn a_standard_stream_that_was_closed_is_not_used() -> Result<()> {
    let _machine = machine::shared();
    let (plugin, home) = (plugin("uppercase")?, TempDir::new()?);
    let path = |name: &str| home.path().join(name).display().to_string();
    let (out, state, savepoint) = (format!("file:{}", path("out")), path("state"), path("savepoint"));
    let run = |first: &str, args: &[&str]| {
        let all = [&["run", "--api", "off", "--plugin", &plugin][..], args].concat();
        start_after(first, &all)?.wait(PATIENCE)
    };
    let kept = ["--from", "generate:sequence?count=3", "--job", "a", "--state-dir", &state];
    for to in ["-", "-?format=json", "file:/dev/stdout", "file:/dev/fd/1"] {
        run("exec 1>&-", &[&kept[..], &["--to", to]].concat())?.expect(2)?.says(&["stdout was closed before"])?;
    }
    ensure!(!home.path().join("state").exists(), "something was begun");
    run("exec 0<&-", &["--to", &out])?.expect(2)?.says(&["stdin was closed before"])?;
    // What was opened as the runtime does it, as Python's DEVNULL is, was meant; what is not used may be closed.
    run("exec 0<>/dev/null 1<>/dev/null", &[])?.expect(0)?;
    run("exec 0<&- 1>&-", &[&kept[..], &["--to", &out]].concat())?.expect(0)?;
    start_after("exec 0<&-", &["validate", "--plugin", &plugin])?.wait(PATIENCE)?.expect(0)?;
    // Nothing is made that nobody can be told of.
    start_after("exec 1>&-", &["savepoint", &state, &savepoint])?.wait(PATIENCE)?.expect(2)?;
    ensure!(!home.path().join("savepoint").exists(), "a savepoint was written");
    Ok(())
}
