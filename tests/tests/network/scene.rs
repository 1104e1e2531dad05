//! A counting job behind a proxy: two topics, a state directory, short transactions; and how it is watched.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{self, Ended, Host};
use weir_tests::judge::{Verdict, judge_count};
use weir_tests::proxy::{Proxy, Rule};
use weir_tests::random::Random;
use weir_tests::reader::Observer;
use weir_tests::topics::{self, Writer};

use crate::lane::Lane;

/// No wait of a test takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A name that no other run has used.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{:08x}", Random::new().number() as u32)
}

/// The scene of one test.
pub(crate) struct Scene {
    pub(crate) lane: Lane,
    pub(crate) job: String,
    pub(crate) input: String,
    pub(crate) output: String,
    state: TempDir,
}

impl Scene {
    /// With 8,000 records over 200 keys to count: 5 s of work at the rate of [`Scene::start`].
    pub(crate) fn new(name: &str) -> Result<Self> {
        Self::with_records(name, 8_000)
    }

    /// With so many.
    pub(crate) fn with_records(name: &str, records: u64) -> Result<Self> {
        let lane = Lane::take();
        let job = unique(name);
        let (input, output) = (format!("{job}.in"), format!("{job}.out"));
        for topic in [&input, &output] {
            topics::create(Lane::broker(), topic, 4, &[])?;
        }
        topics::fill(&Writer::new(Lane::broker())?, &input, records, 200, 100)?;
        Ok(Self { lane, job, input, output, state: TempDir::new()? })
    }

    pub(crate) fn broker(&self) -> &'static Broker {
        Lane::broker()
    }

    pub(crate) fn proxy(&self) -> &'static Proxy {
        self.lane.proxy()
    }

    /// One of the job's two transactional ids.
    pub(crate) fn id(&self, slot: u8) -> String {
        format!("weir-{}-0-{slot}", self.job)
    }

    /// `run` up to the end of the input, at 1,600 records a second, behind the proxy, then `more`.
    fn args(&self, more: &[&str]) -> Result<Vec<String>> {
        let (plugin, state, brokers) = (host::plugin("count")?, self.state.path().display(), self.lane.bootstrap());
        let own = format!(
            "run --brokers {brokers} --from {} --to {} --job {} --state-dir {state} --transaction-timeout 4s \
             --until latest --max-rate 400",
            self.input, self.output, self.job
        );
        let mut args: Vec<String> = own.split_whitespace().map(str::to_owned).collect();
        args.extend(["--plugin".to_owned(), plugin]);
        if !more.contains(&"--api") {
            args.extend(["--api".to_owned(), "off".to_owned()]);
        }
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        Ok(args)
    }

    /// Starts the program under test.
    pub(crate) fn start(&self, more: &[&str]) -> Result<Host> {
        Host::start(&self.args(more)?)
    }

    /// Starts the program in which rules can be broken, with `rule` broken.
    pub(crate) fn start_sabotaged(&self, rule: &str) -> Result<Host> {
        Host::start_program_with(&host::crash_program()?, &self.args(&[])?, &[("WEIR_SABOTAGE", rule)])
    }

    /// Sees the output without the proxy.
    pub(crate) fn observer(&self) -> Result<Observer> {
        Observer::new(self.broker(), &self.output)
    }

    /// Waits until `host` has committed something.
    pub(crate) fn wait_for_output(&self, host: &mut Host) -> Result<()> {
        let output = self.observer()?;
        host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 500))
    }

    /// Waits for the end, which must be a good one, and judges.
    pub(crate) fn finish(&self, host: Host) -> Result<Ended> {
        let ended = host.wait(PATIENCE)?.expect(0)?;
        self.judge()?.expect_exact()?;
        Ok(ended)
    }

    /// Runs it once more, with nothing in its way, up to the end of the input, and judges.
    pub(crate) fn run_to_the_end(&self) -> Result<()> {
        self.finish(self.start(&[])?).map(drop)
    }

    /// Fails unless the judge sees that something is wrong once the job has come to the end of the input, or refuses to.
    pub(crate) fn expect_harm(&self, host: Host) -> Result<()> {
        let ended = host.wait(PATIENCE)?;
        ensure!([0, 4].contains(&ended.code), "exit code {}; it said:\n{}", ended.code, ended.stderr);
        let verdict = self.judge()?;
        ensure!(!verdict.is_exact(), "a broken rule is not seen: {verdict}; it said:\n{}", ended.stderr);
        Ok(())
    }

    pub(crate) fn judge(&self) -> Result<Verdict> {
        judge_count(self.broker(), &self.input, &self.output)
    }
}

/// For how long nothing new was seen at most, while `host` ran to its end. `see` tells what is visible in all, where it
/// can just now. Begins with the first output.
pub(crate) fn longest_pause(host: &mut Host, see: impl Fn() -> Result<Option<i64>>) -> Result<Duration> {
    let (mut longest, mut seen, mut since) = (Duration::ZERO, 0, Instant::now());
    let began = Instant::now();
    while !host.is_over()? {
        ensure!(began.elapsed() < PATIENCE, "it still runs after {PATIENCE:?}: {}", host.log()?);
        if let Some(visible) = see()?.filter(|visible| *visible > seen) {
            if seen > 0 {
                longest = longest.max(since.elapsed());
            }
            (seen, since) = (visible, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(longest)
}

/// Says what was measured; seen with `--nocapture`.
#[expect(clippy::disallowed_methods, reason = "a test's own output")]
pub(crate) fn say(figures: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{figures}")?)
}

/// Runs all of `scenarios` at the same time, as far as there are lanes; they sleep most of the time. The error names
/// each that failed.
pub(crate) fn at_once<S: Sync>(scenarios: &[(&str, S)], run: impl Fn(&str, &S) -> Result<()> + Sync) -> Result<()> {
    let failures: Vec<String> = std::thread::scope(|scope| {
        let started: Vec<_> =
            scenarios.iter().map(|(name, scenario)| (name, scope.spawn(|| run(name, scenario)))).collect();
        let ended = started.into_iter().map(|(name, thread)| (name, thread.join()));
        let failed = ended.filter_map(|(name, outcome)| match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{name}: {error:#}")),
            Err(_) => Some(format!("{name}: it panicked")),
        });
        failed.collect()
    });
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// What befalls a running job, and what it is started with.
pub(crate) struct Trouble {
    pub(crate) rules: Vec<Rule>,
    pub(crate) more: &'static [&'static str],
}

impl Trouble {
    pub(crate) fn of(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self { rules: rules.into_iter().collect(), more: &[] }
    }
}

/// A job that has begun to write meets `trouble`, all of it; it goes on by itself to the end, and the output is exact.
pub(crate) fn survives(name: &str, trouble: &Trouble) -> Result<()> {
    let scene = Scene::new(name)?;
    let mut host = scene.start(trouble.more)?;
    scene.wait_for_output(&mut host)?;
    let watches: Vec<_> = trouble.rules.iter().map(|rule| scene.proxy().add(rule.clone())).collect();
    let ended = scene.finish(host)?;
    let recoveries = ended.stderr.matches("recovering in place").count();
    say(&format!("{name}: {recoveries} recoveries"))?;
    for watch in watches {
        ensure!(watch.picked() > 0, "{watch:?} picked nothing; it said:\n{}", ended.stderr);
    }
    Ok(())
}
