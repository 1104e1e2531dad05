//! `make demo`: on a real Kafka, counts a stream of clicks per user, is killed with -9 in the middle, is started again,
//! and lets an independent reader judge what came out. Nothing keeps running.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;
use weir_tests::broker::{Broker, free_port};
use weir_tests::host::{Host, job, plugin};
use weir_tests::judge::{Verdict, judge_count};
use weir_tests::random::Random;
use weir_tests::reader::Observer;
use weir_tests::topics::{self, Writer};

const CLICKS: u64 = 300_000;
const USERS: u64 = 5_000;
/// Per partition: slow enough that a kill comes in the middle.
const RATE: &str = "7500";
const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let started = Instant::now();
    say("starting Kafka")?;
    let broker = Broker::start()?;
    let run = format!("{:08x}", Random::new().number() as u32);
    let (clicks, counts) = (format!("clicks-{run}"), format!("counts-{run}"));
    topics::create(&broker, &clicks, PARTITIONS, &[])?;
    topics::create(&broker, &counts, PARTITIONS, &[])?;
    say(&format!("writing {CLICKS} clicks of {USERS} users to the topic {clicks}"))?;
    topics::fill(&Writer::new(&broker)?, &clicks, CLICKS, USERS, 100)?;

    let state = TempDir::new()?;
    let mut show = Show { broker: &broker, clicks, counts, state, port: free_port()? };
    let first = show.until_killed()?;
    let second = show.until_done()?;
    say("reading both topics with a reader of its own, read_committed")?;
    let verdict = judge_count(&broker, &show.clicks, &show.counts)?;
    table(&first, &second, &verdict, started.elapsed())?;
    drop(show);
    drop(broker);
    ensure!(verdict.is_exact(), "the output is not exact: {verdict}");
    Ok(())
}

/// What is running where.
struct Show<'a> {
    broker: &'a Broker,
    clicks: String,
    counts: String,
    state: TempDir,
    port: u16,
}

/// What one life of the job did, as Kafka shows it.
struct Life {
    ending: String,
    written: i64,
    committed: i64,
    read: String,
    took: Duration,
}

impl Show<'_> {
    fn start(&self) -> Result<Host> {
        let (plugin, state) = (plugin("count")?, self.state.path().display().to_string());
        let api = format!("127.0.0.1:{}", self.port);
        let args = [
            &["run", "--plugin", &plugin, "--brokers", self.broker.bootstrap(), "--from", &self.clicks][..],
            &["--to", &self.counts, "--state-dir", &state, "--until", "latest", "--max-rate", RATE, "--api", &api],
        ];
        say(&format!("$ host {}", args.concat().join(" ")))?;
        Host::start(&args.concat())
    }

    /// Lets it work, and kills it with -9 when about half is through.
    fn until_killed(&mut self) -> Result<Life> {
        let observer = Observer::new(self.broker, &self.counts)?;
        let began = Instant::now();
        let mut host = self.start()?;
        let half = i64::try_from(CLICKS / 2)?;
        // Right after a commit nothing is at stake: the kill comes while a transaction is open.
        host.wait_until("half of the output and an open transaction", PATIENCE, |_| {
            Ok(observer.stable()? > half && observer.open_transactions()? > 0)
        })?;
        let (id, read) = (host.id(), position(self.port)?);
        host.kill()?;
        let open = observer.open_transactions()?;
        say(&format!("$ kill -9 {id}     (a transaction is open in {open} of {PARTITIONS} partitions)"))?;
        self.life("killed with -9", &observer, read.to_string(), began)
    }

    /// Starts it again and waits until it is through.
    fn until_done(&mut self) -> Result<Life> {
        let observer = Observer::new(self.broker, &self.counts)?;
        let began = Instant::now();
        self.start()?.wait(PATIENCE)?.expect(0)?;
        self.life("done, exit 0", &observer, CLICKS.to_string(), began)
    }

    fn life(&self, ending: &str, observer: &Observer, read: String, began: Instant) -> Result<Life> {
        let (written, committed) = (observer.high()?, observer.stable()?);
        Ok(Life { ending: ending.to_owned(), written, committed, read, took: began.elapsed() })
    }
}

/// How many clicks the job says that it has read: the sum of its positions.
fn position(port: u16) -> Result<u64> {
    let job = job(port)?;
    let splits = job.get("splits").and_then(|splits| splits.as_array()).into_iter().flatten();
    Ok(splits.filter_map(|split| split.get("position")?.as_u64()).sum())
}

fn table(first: &Life, second: &Life, verdict: &Verdict, took: Duration) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{:24}{:>16}{:>16}", "", first.ending, second.ending)?;
    writeln!(out, "{:24}{:>16}{:>16}", "clicks read", first.read, second.read)?;
    writeln!(out, "{:24}{:>16}{:>16}", "offsets written", first.written, second.written)?;
    writeln!(out, "{:24}{:>16}{:>16}", "offsets committed", first.committed, second.committed)?;
    let seconds = |took: Duration| format!("{:.1} s", took.as_secs_f64());
    writeln!(out, "{:24}{:>16}{:>16}", "took", seconds(first.took), seconds(second.took))?;
    writeln!(out, "(offsets include those of transaction markers and of aborted records)\n")?;
    writeln!(out, "An independent read_committed reader found, for {} users:", verdict.keys)?;
    for (what, count) in [
        ("clicks", verdict.input),
        ("counts", verdict.output),
        ("lost", verdict.lost),
        ("duplicated", verdict.duplicated),
        ("out of order", verdict.disordered),
    ] {
        writeln!(out, "  {what:14}{count:>10}")?;
    }
    let word = if verdict.is_exact() { "exactly once" } else { "NOT EXACT" };
    writeln!(out, "  => {word}; all of it took {}", seconds(took))?;
    Ok(())
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
