//! The suite can see: with one rule of exactly-once broken on purpose the judge finds loss or repetition, where the same
//! schedule is exact with every rule kept. `no-rotation` needs a network that delivers a request late, and is tested
//! where there is one.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use weir_tests::broker::Broker;
use weir_tests::host::Host;
use weir_tests::judge::Verdict;
use weir_tests::machine;
use weir_tests::reader::Observer;

use crate::faults::copy_of;
use crate::job::{Job, Length, PATIENCE, Pace};

/// Starts `job`, slowly, with `points` armed and `rule` broken, if there is one.
fn start(job: &Job, points: &str, rule: Option<&str>) -> Result<Host> {
    job.start_on(job.state(), Pace::Slow, &[("FAILPOINTS", points), ("WEIR_SABOTAGE", rule.unwrap_or_default())])
}

/// Runs `job` to the end of its input, or to its refusal to go on, and judges what is there.
fn finish(job: &Job) -> Result<Verdict> {
    let ended = job.start_on(job.state(), Pace::Full, &[])?.wait(PATIENCE)?;
    ensure!([0, 4].contains(&ended.code), "exit code {}; it said:\n{}", ended.code, ended.stderr);
    job.judge()
}

/// `schedule` is exact when every rule is kept, and is seen not to be when `rule` is broken.
fn is_seen(rule: &str, schedule: impl Fn(&Job, Option<&str>) -> Result<Verdict>) -> Result<()> {
    let _machine = machine::shared();
    let job = Job::new(&format!("kept-{rule}"), Length::Short)?;
    schedule(&job, None)?.expect_exact().context("with every rule kept")?;
    let verdict = schedule(&Job::new(rule, Length::Short)?, Some(rule))?;
    ensure!(!verdict.is_exact(), "{rule} is not seen: {verdict}");
    Ok(())
}

#[test]
fn a_commit_that_does_not_wait_for_the_durable_log_is_seen() -> Result<()> {
    is_seen("no-durable-log", |job, rule| {
        start(job, "commit-acknowledged=8*off->1*return(kill)", rule)?.wait(PATIENCE)?.expect(137)?;
        finish(job)
    })
}

#[test]
fn an_unknown_outcome_taken_as_success_is_seen() -> Result<()> {
    is_seen("unknown-is-success", |job, rule| {
        let ended = start(job, "offsets-sent=8*off->1*return(error)", rule)?.wait(PATIENCE)?;
        ended.says(&["crash point \"offsets-sent\" reached: error"])?;
        finish(job)
    })
}

#[test]
fn batches_that_survive_a_recovery_in_place_are_seen() -> Result<()> {
    is_seen("keep-batches", |job, rule| {
        let ended = start(job, "outputs-acknowledged=8*off->1*return(error)", rule)?.wait(PATIENCE)?;
        ended.expect(0)?.says(&["crash point \"outputs-acknowledged\" reached: error"])?;
        finish(job)
    })
}

/// The heir has read the marker and stops; its predecessor goes on and, unless it is fenced, commits.
#[test]
fn a_marker_that_is_read_before_fencing_is_seen() -> Result<()> {
    is_seen("marker-before-fence", |job, rule| {
        let mut predecessor = start(job, "outputs-acknowledged=8*off->1*return(stop)", None)?;
        predecessor.wait_until("its stop", PATIENCE, Host::is_stopped)?;
        let copy = copy_of(job.state())?;
        let env = [("FAILPOINTS", "marker-read=1*return(stop)"), ("WEIR_SABOTAGE", rule.unwrap_or_default())];
        let mut heir = job.start_on(&copy.path().join("state"), Pace::Full, &env)?;
        heir.wait_until("its stop", PATIENCE, Host::is_stopped)?;
        let output = Observer::new(Broker::shared(), job.output())?;
        let before = output.stable()?;
        predecessor.signal(Signal::SIGCONT)?;
        match rule {
            Some(_) => predecessor.wait_until("output", PATIENCE, |_| Ok(output.stable()? > before + 50))?,
            // Before it has waited its random time and tries again, which would fence the heir in turn.
            None => predecessor.wait_for_log("fenced", PATIENCE)?,
        }
        predecessor.kill()?;
        heir.signal(Signal::SIGCONT)?;
        heir.wait(PATIENCE)?.expect(0)?;
        job.judge()
    })
}
