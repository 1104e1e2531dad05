//! The input topic is deleted, created again and filled beyond the old positions while the process stands still at a
//! point: whatever the moment, not one record of the new topic is committed, and the job stops with exit 4.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{self, Host};
use weir_tests::machine;
use weir_tests::random::Random;
use weir_tests::reader::{Observer, read_all};
use weir_tests::topics::{self, Writer};

use crate::job::PATIENCE;
use crate::points::{MOMENTS, Moment, Run};

/// Records of the topic that the job begins with; the new one has more in each partition.
const OLD: u64 = 1_200;
const NEW: u64 = 4_000;
/// What keys of the new topic begin with.
const NEW_KEY: &str = "new-";
/// Moments at the same time; each stands still most of the time.
const AT_ONCE: usize = 4;

/// A counting job on an input of its own.
struct Scene {
    job: String,
    state: TempDir,
}

impl Scene {
    fn new() -> Result<Self> {
        let job = format!("recreated-{:08x}", Random::new().number() as u32);
        let scene = Self { job, state: TempDir::new()? };
        for topic in [scene.input(), scene.output()] {
            topics::create(Broker::shared(), &topic, 2, &[])?;
        }
        topics::fill(&Writer::new(Broker::shared())?, &scene.input(), OLD, 40, 30)?;
        Ok(scene)
    }

    fn input(&self) -> String {
        format!("{}.in", self.job)
    }

    fn output(&self) -> String {
        format!("{}.out", self.job)
    }

    fn start(&self, more: &[&str], env: &[(&str, &str)]) -> Result<Host> {
        let (plugin, state) = (host::plugin("count")?, self.state.path().display().to_string());
        let (input, output) = (self.input(), self.output());
        let mut args = vec!["run", "--plugin", &plugin, "--brokers", Broker::shared().bootstrap(), "--from", &input];
        args.extend(["--to", &output, "--job", &self.job, "--state-dir", &state, "--api", "off"]);
        args.extend(["--parallelism", "2", "--epoch-interval", "50ms"]);
        args.extend(more);
        Host::start_program_with(&host::crash_program()?, &args, env)
    }

    fn replace_input(&self) -> Result<()> {
        let input = self.input();
        topics::replace(Broker::shared(), &input, 2)?;
        let writer = Writer::new(Broker::shared())?;
        for number in 0..NEW {
            writer.write(&input, format!("{NEW_KEY}{:04}", number % 40).as_bytes(), b"of another topic")?;
        }
        writer.flush()
    }

    /// While `host` stands still: it finds the new topic full, not empty.
    fn replace_input_under(&self, host: &Host) -> Result<()> {
        host.signal(Signal::SIGSTOP)?;
        self.replace_input()?;
        host.signal(Signal::SIGCONT)
    }

    /// How many committed records of the output are of the new topic.
    fn foreign(&self) -> Result<usize> {
        let is_new = |key: &[u8]| key.starts_with(NEW_KEY.as_bytes());
        let records = read_all(Broker::shared(), &self.output())?;
        Ok(records.iter().filter(|r| r.key.as_deref().is_some_and(is_new)).count())
    }

    fn expect_refusal(&self, host: Host) -> Result<()> {
        host.wait(PATIENCE)?.expect(4)?.says(&[&self.input()])?;
        let foreign = self.foreign()?;
        ensure!(foreign == 0, "{foreign} records of the new topic are committed");
        Ok(())
    }
}

fn replaced_at(moment: &Moment, bounds: &[&str]) -> Result<()> {
    let scene = Scene::new()?;
    let slow = ["--max-rate", "200"];
    if moment.run == Run::Restart {
        let env = [("FAILPOINTS", "log-synced=8*off->1*return(kill)")];
        scene.start(&slow, &env)?.wait(PATIENCE)?.expect(137)?;
    }
    let mut host = scene.start(&[&slow, bounds].concat(), &[("FAILPOINTS", &moment.tell("stop"))])?;
    host.wait_until("its stop", PATIENCE, Host::is_stopped).with_context(|| moment.says("stop"))?;
    scene.replace_input()?;
    host.signal(Signal::SIGCONT)?;
    scene.expect_refusal(host)
}

/// A first start that has not looked at the topic yet begins with the new one, which is right; and what happens once in
/// minutes (to the store, to the log) has no moment of its own.
fn is_meant(moment: &Moment) -> bool {
    let is_rare = ["store-", "flush-", "log-trimming", "manifest-"].iter().any(|rare| moment.point.starts_with(rare));
    let is_early = moment.run == Run::FirstStart && ["fenced-one-id", "marker-read"].contains(&moment.point);
    !is_rare && !is_early
}

fn everywhere(bounds: &[&str]) -> Result<()> {
    let _machine = machine::shared();
    let meant: Vec<&Moment> = MOMENTS.iter().filter(|moment| is_meant(moment)).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(moment) = meant.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = replaced_at(moment, bounds) {
                failures.lock().expect("no thread panics").push(format!("{moment}: {error:#}"));
            }
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().expect("no thread panics");
    ensure!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), meant.len(), failures.join("\n\n"));
    Ok(())
}

#[test]
fn a_topic_created_again_at_any_point_is_never_committed() -> Result<()> {
    everywhere(&[])
}

#[test]
fn a_topic_created_again_at_any_point_of_a_bounded_run_is_never_committed() -> Result<()> {
    everywhere(&["--until", "latest"])
}

#[test]
fn at_least_once_commits_nothing_of_it_either() -> Result<()> {
    let _machine = machine::shared();
    for delivery in ["at-least-once", "none"] {
        let scene = Scene::new()?;
        let mut host = scene.start(&["--delivery", delivery], &[])?;
        let output = Observer::new(Broker::shared(), &scene.output())?;
        host.wait_until("all output", PATIENCE, |_| Ok(output.stable()? >= OLD as i64))?;
        scene.replace_input_under(&host)?;
        host.wait(PATIENCE)?.expect(4)?.says(&[&scene.input()])?;
        let ended = scene.start(&["--delivery", delivery], &[])?.wait(PATIENCE)?;
        ended.expect(4)?.says(&[&scene.input()])?;
    }
    Ok(())
}

/// The suite can see: without the question at the end of an epoch the new topic comes through.
#[test]
fn an_epoch_that_is_not_verified_is_seen() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new()?;
    let mut host = scene.start(&[], &[("WEIR_SABOTAGE", "unverified-source")])?;
    let output = Observer::new(Broker::shared(), &scene.output())?;
    host.wait_until("all output", PATIENCE, |_| Ok(output.stable()? > OLD as i64))?;
    scene.replace_input_under(&host)?;
    host.wait(PATIENCE)?.expect(4)?;
    let foreign = scene.foreign()?;
    ensure!(foreign > 0, "the broken rule is not seen");
    Ok(())
}
