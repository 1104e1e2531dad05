//! One lane: one job after the other, one instance of it after the other, each struck by the faults of the schedules.
//!
//! A process is told at its start where to crash, so the one that recovers from a fault is the one that the next fault
//! strikes. That is why a run ends with its last fault: the next run, or the trial, sees the job recover from it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::job::Job;
use crate::life::Life;
use crate::pending::{Pending, Zombie};
use crate::schedule::{Fault, Place, Point, Schedule, Step, When};
use crate::stage::Stage;
use crate::{RECOVER_WITHIN, STOPPED_FOR};

/// A point that is not reached for so long is no part of the protocol.
const STRIKE_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// The store is flushed about once a second: a start that finds nothing to replay is rare.
const MISSES_MAX: u32 = 5;
/// The exit code after SIGKILL.
const KILLED: i32 = 128 + 9;

/// What happens on one lane.
pub(crate) struct Lane<'a> {
    stage: &'a Stage,
    name: String,
    jobs: u32,
    job: Option<Job<'a>>,
    /// The instance that owns the job, if one is there.
    life: Option<Life>,
    /// The fault that the job has not recovered from yet.
    pending: Option<Pending>,
    zombies: Vec<Zombie>,
    /// Whether this job has committed output: before, a start has nothing to restore.
    has_run: bool,
    /// How many starts in a row had nothing to replay.
    misses: u32,
    /// The runs of this job.
    seeds: Vec<u64>,
}

impl<'a> Lane<'a> {
    /// A lane without a job.
    pub(crate) fn new(stage: &'a Stage, number: usize) -> Self {
        Self {
            stage,
            name: format!("lane-{number}"),
            jobs: 0,
            job: None,
            life: None,
            pending: None,
            zombies: Vec::new(),
            has_run: false,
            misses: 0,
            seeds: Vec::new(),
        }
    }

    /// Carries out one run.
    pub(crate) fn play(&mut self, schedule: &Schedule) -> Result<()> {
        if schedule.is_first_start || self.job.is_none() {
            self.close()?;
            self.open(schedule)?;
        }
        self.seeds.push(schedule.seed);
        schedule.steps.iter().try_for_each(|step| self.strike(step).with_context(|| step.to_string()))
    }

    /// The runs of this job so far, and where its logs are.
    pub(crate) fn whereabouts(&self) -> (Vec<u64>, Option<PathBuf>) {
        (self.seeds.clone(), self.job.as_ref().map(|job| job.home.clone()))
    }

    fn open(&mut self, schedule: &Schedule) -> Result<()> {
        let name = format!("{}-job-{}", self.name, self.jobs);
        self.jobs += 1;
        self.has_run = false;
        self.seeds.clear();
        let home = self.stage.home.join(&name);
        self.job =
            Some(Job::new(&self.stage.broker, &self.stage.program, (schedule.shape, name), home, schedule.seed)?);
        Ok(())
    }

    /// Lets the job recover and finish, and judges it.
    pub(crate) fn close(&mut self) -> Result<()> {
        if self.job.is_none() {
            return Ok(());
        }
        self.settle()?;
        self.wait("the zombies to give way", STOPPED_FOR + RECOVER_WITHIN, |lane| Ok(lane.zombies.is_empty()))?;
        let (Some(job), Some(life)) = (self.job.take(), self.life.take()) else { bail!("the job has no instance") };
        let home = job.home.clone();
        self.stage.board().in_place += life.recoveries()? as u64;
        let verdict = job.judge(life).with_context(|| format!("logs and state: {}", home.display()))?;
        let mut board = self.stage.board();
        board.judged(&verdict);
        drop(board);
        verdict.expect_exact().with_context(|| format!("logs and state: {}", home.display()))?;
        Ok(std::fs::remove_dir_all(home)?)
    }

    fn strike(&mut self, step: &Step) -> Result<()> {
        match step.place {
            Place::Point(point) => self.strike_at(point, step),
            Place::Moment => {
                self.settle()?;
                self.rest(step.time)?;
                self.kill(step)
            }
            Place::Broker => {
                self.settle()?;
                self.stage.pause(step.time)?;
                self.note(step.place, step.fault)
            }
        }
    }

    /// A new instance recovers from the fault before, and is struck at `point`.
    fn strike_at(&mut self, point: &'static Point, step: &Step) -> Result<()> {
        if [When::Start, When::Replay].contains(&point.when) && !self.has_run {
            self.settle()?;
        }
        if self.life.is_some() {
            // It cannot be told any more where to crash.
            self.settle()?;
            let anywhere = Step { place: Place::Moment, fault: Fault::Kill, ..*step };
            self.kill(&anywhere)?;
        }
        let action = match step.fault {
            Fault::Kill | Fault::KillTwice => "kill",
            Fault::Zombie | Fault::TimeOut => "stop",
            Fault::Error | Fault::Pause => "error",
        };
        let pass = if step.skip > 0 { format!("{}*off->", step.skip) } else { String::new() };
        self.start(format!("{}={pass}1*return({action})", point.name))?;
        if point.when == When::Replay {
            self.wait("the start", STRIKE_WITHIN, |lane| Ok(lane.pending.is_none() || lane.running()?.has_struck()?))?;
            if self.pending.is_none() {
                self.misses += 1;
                ensure!(self.misses < MISSES_MAX, "{} starts had nothing to replay", self.misses);
                return self.strike_at(point, step);
            }
            self.misses = 0;
        }
        match step.fault {
            Fault::Zombie | Fault::TimeOut => {
                self.wait("the process to stop itself", STRIKE_WITHIN, |lane| lane.running()?.is_stopped())?;
                self.stopped(step)
            }
            Fault::Error | Fault::Pause => {
                self.wait("the step to fail", STRIKE_WITHIN, |lane| lane.running()?.has_struck())?;
                if point.is_disk {
                    self.ends_with(1)?;
                }
                self.note(step.place, step.fault)
            }
            Fault::Kill | Fault::KillTwice => {
                self.ends_with(KILLED)?;
                self.killed(step)
            }
        }
    }

    /// Kills the running instance.
    fn kill(&mut self, step: &Step) -> Result<()> {
        self.running()?.kill()?;
        self.ends_with(KILLED)?;
        self.killed(step)
    }

    /// The instance is gone; if the step says so, the one that recovers is killed, too.
    fn killed(&mut self, step: &Step) -> Result<()> {
        if step.fault == Fault::KillTwice {
            self.pending = None;
            self.start(String::new())?;
            self.rest(step.time)?;
            self.running()?.kill()?;
            self.ends_with(KILLED)?;
        }
        self.note(step.place, step.fault)
    }

    /// The process has stopped itself: it becomes a zombie, or goes on alone when its transaction has timed out.
    fn stopped(&mut self, step: &Step) -> Result<()> {
        let since = Instant::now();
        if step.fault == Fault::TimeOut {
            self.rest(STOPPED_FOR)?;
            self.running()?.resume()?;
            return self.note(step.place, step.fault);
        }
        let job = self.job.as_mut().context("there is a job")?;
        let directory = job.move_to_copy()?;
        let floors = job.ends()?;
        let life = self.life.take().context("it has stopped")?;
        self.zombies.push(Zombie { life, directory, since, floors, resumed: None });
        self.note(step.place, step.fault)
    }

    /// The job must recover from `fault`, from now on.
    fn note(&mut self, place: Place, fault: Fault) -> Result<()> {
        self.stage.board().struck(place, fault);
        self.expect_output(Some((place, fault)))
    }

    fn expect_output(&mut self, fault: Option<(Place, Fault)>) -> Result<()> {
        let (since, pauses) = (Instant::now(), self.stage.pauses());
        let floors = self.job.as_ref().context("there is a job")?.ends()?;
        self.pending = Some(Pending { fault, since, floors, pauses });
        Ok(())
    }

    fn start(&mut self, failpoints: String) -> Result<()> {
        ensure!(self.life.is_none(), "one instance owns the job at a time");
        self.life = Some(self.job.as_mut().context("there is a job")?.start(failpoints)?);
        self.stage.board().starts += 1;
        Ok(())
    }

    fn running(&mut self) -> Result<&mut Life> {
        self.life.as_mut().context("an instance is there")
    }

    /// Waits for the end of the instance, which must be this one.
    fn ends_with(&mut self, expected: i32) -> Result<()> {
        self.wait("the process to end", STRIKE_WITHIN, |lane| Ok(lane.running()?.code()?.is_some()))?;
        let life = self.running()?;
        let code = life.code()?;
        ensure!(code == Some(expected), "exit code {code:?} instead of {expected}; {}", life.last_words());
        let recoveries = life.recoveries()?;
        self.stage.board().in_place += recoveries as u64;
        self.life = None;
        Ok(())
    }

    /// Waits until the job has recovered; starts an instance if none is there.
    fn settle(&mut self) -> Result<()> {
        if self.life.is_none() {
            self.start(String::new())?;
        }
        if self.pending.is_none() && !self.has_run {
            self.expect_output(None)?;
        }
        self.wait("the job to recover", RECOVER_WITHIN, |lane| Ok(lane.pending.is_none()))
    }

    fn rest(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        self.wait("a while", time + STRIKE_WITHIN, |_| Ok(Instant::now() >= until))
    }

    /// Waits, and sees to everything else meanwhile.
    fn wait(
        &mut self,
        what: &str,
        patience: Duration,
        mut condition: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            self.tend()?;
            if condition(self)? {
                return Ok(());
            }
            let said = || self.life.as_ref().map_or_else(String::new, Life::last_words);
            ensure!(Instant::now() < deadline, "waited {patience:?} for {what}; {}", said());
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Looks at what goes on beside the step under way.
    fn tend(&mut self) -> Result<()> {
        let Some(job) = &self.job else { return Ok(()) };
        job.watcher.expect_unbroken()?;
        if let Some(pending) = &self.pending {
            if let Some(moment) = job.watcher.reached(&pending.floors) {
                pending.settled(moment, self.stage);
                (self.pending, self.has_run) = (None, true);
            } else {
                let silent = pending.since.elapsed();
                ensure!(silent < RECOVER_WITHIN, "no new output for {silent:?} after {}", pending.name());
            }
        }
        if let Some(life) = self.life.as_mut().filter(|life| life.failpoints.is_empty())
            && let Some(code) = life.code()?
            && code != KILLED
        {
            bail!("it ended with {code}; {}", life.last_words());
        }
        let mut left = Vec::new();
        for mut zombie in std::mem::take(&mut self.zombies) {
            if zombie.gives_way(&job.watcher)? {
                self.stage.board().in_place += zombie.life.recoveries()? as u64;
            } else {
                left.push(zombie);
            }
        }
        self.zombies = left;
        Ok(())
    }
}
