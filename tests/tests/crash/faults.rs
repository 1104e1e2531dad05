//! The four faults at each point of the matrix: the output is exact, whatever happened.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{Ended, Host};
use weir_tests::reader::Observer;

use crate::job::{Job, Length, PATIENCE, Pace, TRANSACTION_TIMEOUT, expect_restarts};
use crate::points::{Moment, Nature, Run, everywhere};

const KILLED: i32 = 137;
/// The broker looks for transactions that are too old once a second.
const BROKER_ABORTS_WITHIN: Duration = TRANSACTION_TIMEOUT.saturating_add(Duration::from_millis(1500));
/// What kills a run amid the stream, where another start is what matters.
const AMID: &str = "commit-acknowledged=8*off->1*return(kill)";
/// Where a recovery is killed, one after the other.
const RECOVERIES: [&str; 3] = ["fenced-one-id", "marker-read", "restored"];
/// Where one that has state is, too: the last is its first commit.
const RECOVERIES_WITH_STATE: [&str; 5] =
    ["mid-restore", "log-written", "log-synced", "offsets-sent", "commit-acknowledged"];

/// A job at the beginning of the run in which `moment` is.
fn job_before(moment: &Moment, fault: &str, length: Length) -> Result<Job> {
    let job = Job::new(&format!("{fault}-{}", moment.point), length)?;
    if moment.run == Run::Restart {
        job.start(AMID)?.wait(PATIENCE)?.expect(KILLED)?;
    }
    Ok(job)
}

fn kill_at(job: &Job, moment: &Moment) -> Result<Ended> {
    job.start(&moment.tell("kill"))?.wait(PATIENCE)?.expect(KILLED)?.says(&[&moment.says("kill")])
}

#[test]
fn killed_at_any_point_it_goes_on_exactly() -> Result<()> {
    everywhere(4, |moment| {
        let job = job_before(moment, "kill", Length::Short)?;
        kill_at(&job, moment)?;
        if moment.is_in_transaction() {
            let open = Observer::new(Broker::shared(), job.output())?.open_transactions()?;
            ensure!(open > 0, "the kill hit no open transaction");
        }
        job.finish()
    })
}

#[test]
fn killed_again_and_again_while_it_recovers_it_goes_on_exactly() -> Result<()> {
    everywhere(4, |moment| {
        let job = job_before(moment, "again", Length::Short)?;
        kill_at(&job, moment)?;
        let with_state = if moment.run == Run::FirstStart { &[][..] } else { &RECOVERIES_WITH_STATE };
        for point in RECOVERIES.iter().chain(with_state) {
            let ended = job.start(&format!("{point}=1*return(kill)"))?.wait(PATIENCE)?;
            // A store that was flushed just now has nothing to replay; the job then ran to its end.
            if *point == "mid-restore" && ended.code == 0 {
                continue;
            }
            ended.expect(KILLED).with_context(|| format!("killed again at {point}"))?;
        }
        job.finish()
    })
}

#[test]
fn a_step_that_fails_is_recovered_from_in_place_or_ends_the_process() -> Result<()> {
    everywhere(4, |moment| {
        let job = job_before(moment, "error", Length::Short)?;
        let ended = job.start(&moment.tell("error"))?.wait(PATIENCE)?.says(&[&moment.says("error")])?;
        match moment.nature {
            Nature::Passes => expect_restarts(&ended.expect(0)?, 1, 2)?,
            Nature::Disk => drop(ended.expect(1)?),
        }
        job.finish()
    })
}

#[test]
fn stopped_past_the_time_out_it_recovers_where_there_is_no_other() -> Result<()> {
    everywhere(13, |moment| {
        let job = job_before(moment, "stop", Length::Short)?;
        let mut host = job.start(&moment.tell("stop"))?;
        wait_until_stopped(&mut host, moment)?;
        std::thread::sleep(BROKER_ABORTS_WITHIN);
        host.signal(Signal::SIGCONT)?;
        let ended = host.wait(PATIENCE)?.expect(0)?;
        // It lost its transaction, if one was open.
        expect_restarts(&ended, u64::from(moment.is_in_transaction()), 2)?;
        job.judge()?.expect_exact()?;
        Ok(())
    })
}

#[test]
fn stopped_past_the_time_out_it_is_a_zombie_that_does_no_harm() -> Result<()> {
    everywhere(9, |moment| {
        let job = job_before(moment, "zombie", Length::Long)?;
        let mut zombie = job.start(&moment.tell("stop"))?;
        wait_until_stopped(&mut zombie, moment)?;
        let stopped = Instant::now();
        let copy = copy_of(job.state())?;
        let mut heir = job.start_on(&copy.path().join("state"), Pace::Slow, &[])?;
        std::thread::sleep(BROKER_ABORTS_WITHIN.saturating_sub(stopped.elapsed()));
        ensure!(!heir.is_over()?, "the second instance is through too early: {}", heir.log()?);
        zombie.signal(Signal::SIGCONT)?;
        zombie.wait(PATIENCE)?.expect(zombie_code(moment)).context("the zombie")?;
        let heir = heir.wait(PATIENCE)?.expect(0).context("the second instance")?;
        // A zombie that was amid fencing may fence the heir once.
        expect_restarts(&heir, 0, 2)?;
        job.judge()?.expect_exact()?;
        Ok(())
    })
}

/// Another instance owns the job; or, where the zombie reads the marker only now, its state is not what the marker says.
fn zombie_code(moment: &Moment) -> i32 {
    if moment.is_before_marker() { 4 } else { 3 }
}

fn wait_until_stopped(host: &mut Host, moment: &Moment) -> Result<()> {
    host.wait_until(&format!("the stop at {moment}"), PATIENCE, Host::is_stopped)?;
    ensure!(host.log()?.contains(&moment.says("stop")), "it was stopped by something else: {}", host.log()?);
    Ok(())
}

/// The directory as it is now, under the name `state`.
pub(crate) fn copy_of(state: &Path) -> Result<TempDir> {
    let copy = TempDir::new()?;
    let copied = Command::new("cp").arg("-r").arg(state).arg(copy.path().join("state")).status()?;
    ensure!(copied.success(), "cp -r {} failed", state.display());
    Ok(copy)
}
