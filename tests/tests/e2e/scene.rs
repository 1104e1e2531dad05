//! Where a test runs: two topics of its own, a state directory, the arguments for `host run`.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{self, Ended, Host};
use weir_tests::judge::{Verdict, judge_count};
use weir_tests::random::Random;
use weir_tests::topics::{self, Writer};

/// No run of a test takes longer, unless it says so.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Whether the sizes of the promise are asked for.
pub(crate) fn is_full() -> bool {
    std::env::var_os("WEIR_FULL").is_some_and(|value| !value.is_empty())
}

/// A name that no other run has used, for a broker that outlives the tests.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{:08x}", Random::new().number() as u32)
}

/// Two topics, a job, a state directory.
pub(crate) struct Scene<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) job: String,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) state: TempDir,
}

impl Scene<'static> {
    /// On the shared broker, with 4 partitions on both sides.
    pub(crate) fn new(name: &str) -> Result<Self> {
        Scene::on(Broker::shared(), name)
    }
}

impl<'a> Scene<'a> {
    /// On `broker`, with 4 partitions on both sides.
    pub(crate) fn on(broker: &'a Broker, name: &str) -> Result<Self> {
        let job = unique(name);
        let (input, output) = (format!("{job}.in"), format!("{job}.out"));
        topics::create(broker, &input, 4, &[])?;
        topics::create(broker, &output, 4, &[])?;
        Ok(Self { broker, job, input, output, state: TempDir::new()? })
    }

    /// Writes `count` records over `keys` keys to the input.
    pub(crate) fn fill(&self, count: u64, keys: u64) -> Result<()> {
        topics::fill(&Writer::new(self.broker)?, &self.input, count, keys, 100)
    }

    /// Where the state is.
    pub(crate) fn state_dir(&self) -> &Path {
        self.state.path()
    }

    /// `run` with this scene's plugin, topics, job and state directory, then `more`.
    pub(crate) fn args(&self, plugin: &str, more: &[&str]) -> Result<Vec<String>> {
        self.args_in(self.state_dir(), plugin, more)
    }

    /// The same with another state directory.
    pub(crate) fn args_in(&self, state: &Path, plugin: &str, more: &[&str]) -> Result<Vec<String>> {
        let (plugin, state) = (host::plugin(plugin)?, state.display().to_string());
        let mut args = vec!["run", "--plugin", &plugin, "--brokers", self.broker.bootstrap()];
        args.extend(["--from", &self.input, "--to", &self.output, "--job", &self.job, "--state-dir", &state]);
        if !more.contains(&"--api") {
            args.extend(["--api", "off"]);
        }
        args.extend(more);
        Ok(args.into_iter().map(str::to_owned).collect())
    }

    /// Runs up to the end of the input.
    pub(crate) fn run(&self, plugin: &str, more: &[&str]) -> Result<Ended> {
        host::run(&self.args(plugin, &[more, &["--until", "latest"]].concat())?, PATIENCE)
    }

    /// Starts and goes on.
    pub(crate) fn start(&self, plugin: &str, more: &[&str]) -> Result<Host> {
        Host::start(&self.args(plugin, more)?)
    }

    /// Judges what `count` did here.
    pub(crate) fn judge(&self) -> Result<Verdict> {
        judge_count(self.broker, &self.input, &self.output)
    }
}
