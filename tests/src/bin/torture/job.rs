//! One job under torture: its topics, its directories, its generator and its watchers; and its trial at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use weir_tests::broker::Broker;
use weir_tests::host::plugin;
use weir_tests::oracle::{Facts, Generator, Input, Load, Markers, Verdict, Watcher, collect, judge, state};
use weir_tests::reader::Observer;
use weir_tests::topics;

use crate::RECOVER_WITHIN;
use crate::life::Life;
use crate::shape::Shape;

/// Of each topic.
const PARTITIONS: i32 = 4;
const KEYS: u64 = 500;
/// Records a second.
const RATE: u64 = 400;
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How far keys and sequence numbers of two inputs are apart.
const APART: u64 = 1_000_000_000_000;

/// A job and all that watches it.
pub(crate) struct Job<'a> {
    broker: &'a Broker,
    program: &'a Path,
    shape: Shape,
    name: String,
    /// Logs and state directories.
    pub(crate) home: PathBuf,
    /// The directory of the instance that owns the job now.
    pub(crate) state: PathBuf,
    directories: u32,
    logs: u32,
    generators: Vec<Generator>,
    pub(crate) watcher: Watcher,
    markers: Markers,
    observer: Observer,
}

impl<'a> Job<'a> {
    /// Makes topics and starts to write and to watch; nothing runs yet.
    pub(crate) fn new(
        broker: &'a Broker,
        program: &'a Path,
        (shape, name): (Shape, String),
        home: PathBuf,
        seed: u64,
    ) -> Result<Self> {
        std::fs::create_dir_all(&home)?;
        let (inputs, outputs) = (shape.inputs(&name), shape.outputs(&name));
        for topic in inputs.iter().chain(&outputs) {
            topics::create(broker, topic, PARTITIONS, &[])?;
        }
        let output = outputs.first().context("a job has an output")?;
        let observer = Observer::new(broker, output)?;
        // A new topic is not known at once, least of all to a broker that has much to do.
        for input in &inputs {
            wait("the topics to be known", || {
                Ok(observer.highs().is_ok() && Observer::new(broker, input)?.highs().is_ok())
            })?;
        }
        let rate = RATE / inputs.len() as u64;
        let load =
            |(at, topic): (u64, &String)| Load { topic: topic.clone(), seed, first: at * APART, keys: KEYS, rate };
        let loads = (0..).zip(&inputs).map(load);
        Ok(Self {
            generators: loads.map(|load| Generator::start(broker, load)).collect::<Result<_>>()?,
            watcher: Watcher::start(broker, output, PARTITIONS)?,
            markers: Markers::start(broker, &name, &inputs, PARTITIONS)?,
            observer,
            shape,
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
        let pipeline = self.home.join("pipeline.toml");
        let text = self.shape.pipeline(&self.name, &plugin("oracle")?, &plugin("uppercase")?);
        std::fs::write(&pipeline, text)?;
        let (pipeline, state) = (pipeline.display().to_string(), self.state.display().to_string());
        let args = [
            &["run", &pipeline, "--brokers", self.broker.bootstrap(), "--job", &self.name, "--state-dir", &state][..],
            &["--api", "off", "--epoch-interval", "50ms", "--transaction-timeout", "4s", "--state-memory", "16MiB"],
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
        let (inputs, outputs) = (self.shape.inputs(&self.name), self.shape.outputs(&self.name));
        let written = self.generators.into_iter().map(Generator::stop).sum::<Result<u64>>()?;
        let (mut input_records, mut ends) = (Vec::new(), BTreeMap::new());
        for (first, input) in (0..).step_by(PARTITIONS as usize).zip(&inputs) {
            // Numbered through, as the markers are.
            let (records, of_topic) = collect::input(self.broker, input)?;
            input_records.extend(records.into_iter().map(|r| Input { partition: first + r.partition, ..r }));
            ends.extend(of_topic.into_iter().map(|(partition, end)| (first + partition, end)));
        }
        ensure!(input_records.len() as u64 == written, "{} of {written} records are in the input", input_records.len());
        wait("the job to reach the end of its input", || {
            ensure!(life.code()?.is_none(), "it has ended; {}", life.last_words());
            let last = self.markers.last().unwrap_or_default();
            Ok(ends.iter().all(|(partition, end)| last.get(partition).is_some_and(|at| at.position == *end)))
        })
        .with_context(|| life.last_words())?;
        life.finish(PATIENCE)?;
        let mut collected = outputs.iter().map(|output| collect::output(self.broker, output));
        let output_records = collected.next().context("a job has an output")??;
        let side = collected.next().transpose()?;
        // A reader that stays behind would hide what it has not seen.
        wait("the concurrent reader to catch up", || Ok(self.watcher.count() >= output_records.len()))?;
        let (seen, longest_pause) = self.watcher.stop()?;
        let facts = Facts {
            input: input_records,
            ends,
            output: output_records,
            side,
            seen,
            markers: self.markers.stop()?,
            state: state::export(self.program, &self.state)?,
            longest_pause,
        };
        inputs.iter().chain(&outputs).try_for_each(|topic| topics::delete(self.broker, topic))?;
        Ok(judge(&facts, RECOVER_WITHIN))
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
