//! A short torture: twenty seeded runs over crash points and random moments, judged by the oracle.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use weir_tests::host::{Host, sibling};

const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn twenty_runs_of_torture_lose_duplicate_and_tear_apart_nothing() -> Result<()> {
    let ended = Host::start_program(&sibling("torture")?, &["--runs", "20", "--seed", "1"])?.wait(PATIENCE)?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    ensure!(ended.code == 0, "exit code {}; it said:\n{said}{}", ended.code, ended.stderr);
    let last = said.lines().last().context("it said nothing")?;
    ensure!(last == "20 runs, 0 lost, 0 duplicated, 0 divergent", "it said:\n{said}");
    Ok(())
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
