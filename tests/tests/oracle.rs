//! A short torture: twenty seeded runs over crash points and random moments, judged by the oracle. And the same with one
//! rule broken on purpose, which the oracle must see.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use weir_tests::host::{Host, sibling};
use weir_tests::machine;

const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn twenty_runs_of_torture_lose_duplicate_and_tear_apart_nothing() -> Result<()> {
    let _machine = machine::alone();
    let ended = Host::start_program(&sibling("torture")?, &["--runs", "20", "--seed", "1"])?.wait(PATIENCE)?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    ensure!(ended.code == 0, "exit code {}; it said:\n{said}{}", ended.code, ended.stderr);
    let last = said.lines().last().context("it said nothing")?;
    ensure!(last == "20 runs, 0 lost, 0 duplicated, 0 divergent", "it said:\n{said}");
    Ok(())
}

/// Runs 1 and 2 at `place` with `rule` broken: the torture must fail.
fn is_seen(rule: &str, place: &str) -> Result<()> {
    let _machine = machine::shared();
    // A torture that fails leaves logs and state, which nobody needs here.
    let home = TempDir::new()?;
    let litter = home.path().display().to_string();
    let env = [("WEIR_SABOTAGE", rule), ("TMPDIR", &litter)];
    let args = ["--runs", "2", "--seed", "1", "--only", place];
    let ended = Host::start_program_with(&sibling("torture")?, &args, &env)?.wait(PATIENCE)?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    ensure!(ended.code == 1, "{rule} is not seen; exit code {}; it said:\n{said}{}", ended.code, ended.stderr);
    ended.says(&["FAILED: ", "once more, all that was done to this job: make torture SEED="])?;
    Ok(())
}

#[test]
fn a_commit_that_does_not_wait_for_the_durable_log_is_seen() -> Result<()> {
    is_seen("no-durable-log", "commit-acknowledged")
}

#[test]
fn an_unknown_outcome_taken_as_success_is_seen() -> Result<()> {
    is_seen("unknown-is-success", "offsets-sent")
}

#[test]
fn a_marker_that_is_read_before_fencing_is_seen() -> Result<()> {
    is_seen("marker-before-fence", "marker-read")
}

#[test]
fn batches_that_survive_a_recovery_in_place_are_seen() -> Result<()> {
    is_seen("keep-batches", "outputs-acknowledged")
}

#[test]
fn a_seed_shows_the_schedule_that_it_repeats() -> Result<()> {
    let show = |args: &[&str]| -> Result<String> {
        let ended =
            Host::start_program(&sibling("torture")?, &[&["--show"], args].concat())?.wait(PATIENCE)?.expect(0)?;
        Ok(String::from_utf8(ended.stdout)?)
    };
    let many = show(&["--seed", "40", "--runs", "10"])?;
    let one = show(&["--seed", "47"])?;
    ensure!(many.lines().count() == 10 && one.lines().count() == 1, "{many}{one}");
    ensure!(many.lines().nth(7) == one.lines().next(), "run 7 of\n{many}is not\n{one}");
    Ok(())
}
