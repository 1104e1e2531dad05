//! A job between two topics: the input is shared by all jobs of one length, the output and the state are its own.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{self, Ended, Host};
use weir_tests::judge::{Verdict, judge_count};
use weir_tests::random::Random;
use weir_tests::topics::{self, Writer};

/// No run takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// The broker's time-out of transactions.
pub(crate) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(4);
/// Slow enough that what is to happen amid the stream does: records per second of the two partitions together.
const RATE: u64 = 400;
const KEYS: u64 = 40;

/// How many records there are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// For 3 s at the slow rate.
    Short,
    /// For 9 s: a job that is stopped for longer than a transaction may live finds the other one at work.
    Long,
}

/// How fast a run reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// An epoch is 50 ms and has a few records.
    Slow,
    /// As fast as it can.
    Full,
}

impl Length {
    fn records(self) -> u64 {
        match self {
            Self::Short => RATE * 3,
            Self::Long => RATE * 9,
        }
    }

    /// The input topic, filled by whoever comes first.
    fn input(self) -> Result<&'static str> {
        static SHORT: OnceLock<Result<String, String>> = OnceLock::new();
        static LONG: OnceLock<Result<String, String>> = OnceLock::new();
        let topic = match self {
            Self::Short => &SHORT,
            Self::Long => &LONG,
        };
        let made = topic.get_or_init(|| self.make_input().map_err(|error| format!("{error:#}")));
        made.as_deref().map_err(|error| anyhow::anyhow!("failed to fill an input: {error}"))
    }

    fn make_input(self) -> Result<String> {
        let broker = Broker::shared();
        let name = unique(&format!("{self:?}.in"));
        topics::create(broker, &name, 2, &[])?;
        topics::fill(&Writer::new(broker)?, &name, self.records(), KEYS, 30)?;
        Ok(name)
    }
}

/// A name that no other run has used, for a broker that outlives the tests.
pub(crate) fn unique(name: &str) -> String {
    format!("{}-{:08x}", name.to_lowercase(), Random::new().number() as u32)
}

/// A job with an output topic and a state directory of its own.
pub(crate) struct Job {
    name: String,
    input: &'static str,
    output: String,
    state: TempDir,
}

/// The broker makes its own topics for its first job, which has to wait for them and may recover meanwhile.
fn settle_broker() {
    static SETTLED: OnceLock<()> = OnceLock::new();
    SETTLED.get_or_init(|| {
        let first = Job::with_topics("first", Length::Short);
        let ended = first.and_then(|job| job.start_on(job.state(), Pace::Full, &[])?.wait(PATIENCE)?.expect(0));
        ended.map(drop).expect("a job without any fault works");
    });
}

impl Job {
    /// A job that has never run.
    pub(crate) fn new(name: &str, length: Length) -> Result<Self> {
        settle_broker();
        Self::with_topics(name, length)
    }

    fn with_topics(name: &str, length: Length) -> Result<Self> {
        let name = unique(name);
        let output = format!("{name}.out");
        topics::create(Broker::shared(), &output, 2, &[])?;
        Ok(Self { name, input: length.input()?, output, state: TempDir::new()? })
    }

    /// Where its state is.
    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }

    /// The topic that it writes.
    pub(crate) fn output(&self) -> &str {
        &self.output
    }

    /// Starts the program with crash points on `state`; `env` says what happens at which.
    pub(crate) fn start_on(&self, state: &Path, pace: Pace, env: &[(&str, &str)]) -> Result<Host> {
        let (plugin, state) = (host::plugin("count")?, state.display().to_string());
        let timeout = format!("{}s", TRANSACTION_TIMEOUT.as_secs());
        let rate = (RATE / 2).to_string();
        let mut args = vec!["run", "--plugin", &plugin, "--brokers", Broker::shared().bootstrap()];
        args.extend(["--from", self.input, "--to", &self.output, "--job", &self.name, "--state-dir", &state]);
        args.extend(["--api", "off", "--until", "latest", "--parallelism", "2", "--transaction-timeout", &timeout]);
        match pace {
            Pace::Slow => args.extend(["--epoch-interval", "50ms", "--max-rate", &rate]),
            Pace::Full => {}
        }
        Host::start_program_with(&host::crash_program()?, &args, env)
    }

    /// Starts on its own state, slowly, with `points` armed.
    pub(crate) fn start(&self, points: &str) -> Result<Host> {
        self.start_on(self.state(), Pace::Slow, &[("FAILPOINTS", points)])
    }

    /// Runs undisturbed to the end of the input, on its own state, and judges.
    pub(crate) fn finish(&self) -> Result<()> {
        let ended = self.start_on(self.state(), Pace::Full, &[])?.wait(PATIENCE)?.expect(0)?;
        // A loaded machine may let a transaction of 4 s time out.
        expect_restarts(&ended, 0, 1)?;
        self.judge()?.expect_exact()?;
        Ok(())
    }

    /// What the output says.
    pub(crate) fn judge(&self) -> Result<Verdict> {
        judge_count(Broker::shared(), self.input, &self.output)
    }
}

/// Fails unless the program that has ended well recovered `least` to `most` times in place: a loop hides nothing.
pub(crate) fn expect_restarts(ended: &Ended, least: u64, most: u64) -> Result<()> {
    let (_, count) = ended.stderr.rsplit_once("restarts=").context("its summary counts no restarts")?;
    let count: u64 = count.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse()?;
    ensure!(
        (least..=most).contains(&count),
        "{count} recoveries in place instead of {least}..={most}:\n{}",
        ended.stderr
    );
    Ok(())
}
