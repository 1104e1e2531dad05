//! One job under torture: its topics, its directories, its generator and its watchers; and its trial at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use weir_tests::broker::Broker;
use weir_tests::host::plugin;
use weir_tests::oracle::{Facts, Generator, Load, Markers, Verdict, Watcher, collect, judge, state};
use weir_tests::reader::Observer;
use weir_tests::topics;

use crate::RECOVER_WITHIN;
use crate::life::Life;

const PARTITIONS: i32 = 4;
const KEYS: u64 = 500;
/// Records a second.
const RATE: u64 = 400;
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A job and all that watches it.
pub(crate) struct Job<'a> {
    broker: &'a Broker,
    program: &'a Path,
    name: String,
    /// Logs and state directories.
    pub(crate) home: PathBuf,
    /// The directory of the instance that owns the job now.
    pub(crate) state: PathBuf,
    directories: u32,
    logs: u32,
    generator: Generator,
    pub(crate) watcher: Watcher,
    markers: Markers,
    observer: Observer,
}

impl<'a> Job<'a> {
    /// Makes topics and starts to write and to watch; nothing runs yet.
    pub(crate) fn new(broker: &'a Broker, program: &'a Path, name: String, home: PathBuf, seed: u64) -> Result<Self> {
        std::fs::create_dir_all(&home)?;
        let (input, output) = (format!("{name}.in"), format!("{name}.out"));
        topics::create(broker, &input, PARTITIONS, &[])?;
        topics::create(broker, &output, PARTITIONS, &[])?;
        let observer = Observer::new(broker, &output)?;
        // A new topic is not known at once, least of all to a broker that has much to do.
        wait("the topics to be known", || {
            Ok(observer.highs().is_ok() && Observer::new(broker, &input)?.highs().is_ok())
        })?;
        let load = Load { topic: input.clone(), seed, keys: KEYS, rate: RATE };
        Ok(Self {
            generator: Generator::start(broker, load)?,
            watcher: Watcher::start(broker, &output, PARTITIONS)?,
            markers: Markers::start(broker, &name, &input, PARTITIONS)?,
            observer,
            state: home.join("state-0"),
            broker,
            program,
            name,
            home,
            directories: 1,
            logs: 0,
        })
    }

    /// Starts an instance on the directory that owns the job.
    pub(crate) fn start(&mut self, failpoints: String) -> Result<Life> {
        let state = self.state.display().to_string();
        let (input, output, plugin) = (self.input(), self.output(), plugin("oracle")?);
        let args = [
            &["run", "--plugin", &plugin, "--brokers", self.broker.bootstrap(), "--from", &input, "--to", &output][..],
            &["--job", &self.name, "--state-dir", &state, "--api", "off"],
            &["--epoch-interval", "50ms", "--transaction-timeout", "4s", "--state-memory", "16MiB"],
        ];
        let args: Vec<String> = args.concat().into_iter().map(str::to_owned).collect();
        let log = self.home.join(format!("life-{:04}.log", self.logs));
        self.logs += 1;
        Life::start(self.program, &args, failpoints, log)
    }

    /// Copies the directory that owns the job; from now on the copy does.
    pub(crate) fn move_to_copy(&mut self) -> Result<PathBuf> {
        let copy = self.home.join(format!("state-{}", self.directories));
        self.directories += 1;
        let copied = Command::new("cp").arg("-r").arg(&self.state).arg(&copy).status()?;
        ensure!(copied.success(), "cp -r {} failed", self.state.display());
        Ok(std::mem::replace(&mut self.state, copy))
    }

    /// Where each output partition ends: a record of a later instance stands there or beyond.
    pub(crate) fn ends(&self) -> Result<BTreeMap<i32, i64>> {
        self.observer.highs()
    }

    /// Stops the input, lets `life` finish it, stops that, and judges all that is known then.
    pub(crate) fn judge(self, mut life: Life) -> Result<Verdict> {
        let (input, output) = (self.input(), self.output());
        let written = self.generator.stop()?;
        let (input_records, ends) = collect::input(self.broker, &input)?;
        ensure!(input_records.len() as u64 == written, "{} of {written} records are in the input", input_records.len());
        wait("the job to reach the end of its input", || {
            ensure!(life.code()?.is_none(), "it has ended; {}", life.last_words());
            let last = self.markers.last().unwrap_or_default();
            Ok(ends.iter().all(|(partition, end)| last.get(partition).is_some_and(|at| at.position == *end)))
        })
        .with_context(|| life.last_words())?;
        life.finish(PATIENCE)?;
        let output_records = collect::output(self.broker, &output)?;
        // A reader that stays behind would hide what it has not seen.
        wait("the concurrent reader to catch up", || Ok(self.watcher.count() >= output_records.len()))?;
        let (seen, longest_pause) = self.watcher.stop()?;
        let facts = Facts {
            input: input_records,
            ends,
            output: output_records,
            seen,
            markers: self.markers.stop()?,
            state: state::export(self.program, &self.state)?,
            longest_pause,
        };
        topics::delete(self.broker, &input)?;
        topics::delete(self.broker, &output)?;
        Ok(judge(&facts, RECOVER_WITHIN))
    }

    fn input(&self) -> String {
        format!("{}.in", self.name)
    }

    fn output(&self) -> String {
        format!("{}.out", self.name)
    }
}

fn wait(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition()? {
        ensure!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}
