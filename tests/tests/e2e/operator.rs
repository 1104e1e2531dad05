//! The operator's commands on a real Kafka: inspect, savepoint, txn abort, reset.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use weir_tests::host::{self, Ended, Host};
use weir_tests::judge::judge_count;
use weir_tests::machine;
use weir_tests::random::Random;
use weir_tests::reader::Observer;

use crate::scene::{PATIENCE, Scene, unique};

const SLOW: [&str; 2] = ["--max-rate", "1000"];

/// `host` with these arguments, to its end.
fn run(args: &[&str]) -> Result<Ended> {
    host::run(args, PATIENCE)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Runs the job until it has written some thousand records; it goes on.
fn begun(scene: &Scene<'_>, more: &[&str]) -> Result<Host> {
    let mut host = scene.start("count", &[&SLOW[..], more].concat())?;
    let output = Observer::new(scene.broker, &scene.output)?;
    let before = output.stable()?;
    host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > before + 2_000))?;
    Ok(host)
}

fn stop(host: Host) -> Result<()> {
    host.signal(Signal::SIGTERM)?;
    host.wait(PATIENCE)?.expect(0)?;
    Ok(())
}

/// What `host inspect --json` says of `state`.
fn inspected(scene: &Scene<'_>, state: &Path, code: i32) -> Result<Value> {
    let state = text(state);
    let ended = run(&["inspect", &state, "--json", "--brokers", scene.broker.bootstrap()])?.expect(code)?;
    Ok(serde_json::from_slice(&ended.stdout)?)
}

/// The sum of all counts that `host inspect --entries` shows: how many records are in the state.
fn counted(scene: &Scene<'_>, state: &Path) -> Result<u64> {
    let ended = run(&["inspect", &text(state), "--entries", "--brokers", scene.broker.bootstrap()])?.expect(0)?;
    let mut sum = 0;
    for line in String::from_utf8(ended.stdout)?.lines() {
        let entry: &Value = &serde_json::from_str(line)?;
        ensure!(entry["operator"] == "operator" && entry["table"] == "count", "{line}");
        ensure!(entry["key"].as_str().is_some_and(|key| key.starts_with("key-")), "{line}");
        // A table of u64 says so: its values are numbers.
        sum += entry["value"].as_u64().with_context(|| line.to_owned())?;
    }
    Ok(sum)
}

/// The sum of the committed positions: the input has no control records, so that it is a number of records.
fn committed(seen: &Value) -> Result<u64> {
    let committed = seen["committed"].as_array().context("Kafka was asked")?;
    committed.iter().map(|c| c["position"].as_u64().context("a position")).sum()
}

#[test]
fn inspect_sees_a_job_at_work_and_one_that_was_killed_and_disturbs_neither() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("inspect")?;
    scene.fill(60_000, 500)?;
    let host = begun(&scene, &[])?;
    for _ in 0..3 {
        let seen = inspected(&scene, scene.state_dir(), 0)?;
        ensure!(seen["owner"] == host.id().to_string().as_str() && seen["start"]["decision"] == "resume", "{seen}");
        ensure!(seen["start"]["epoch"] == seen["marker"]["epoch"], "{seen}");
        let least = committed(&seen)?;
        let counted = counted(&scene, scene.state_dir())?;
        ensure!(counted >= least && least > 0, "{counted} counted after {least} were committed");
    }
    host.kill()?;
    let seen = inspected(&scene, scene.state_dir(), 0)?;
    ensure!(seen["owner"].is_null() && seen["log"]["manifest"]["job"] == scene.job.as_str(), "{seen}");
    let (counted, committed) = (counted(&scene, scene.state_dir())?, committed(&seen)?);
    ensure!(counted == committed, "{counted} in the state of the marked epoch, {committed} committed");
    let state = text(scene.state_dir());
    let alone = run(&["inspect", &state])?.expect(0)?;
    let said = String::from_utf8(alone.stdout)?;
    ensure!(said.contains("give --brokers to see") && said.contains("not asked for"), "{said}");
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    let empty = TempDir::new()?;
    run(&["inspect", &text(empty.path()), "--json"])?.expect(4)?.says(&["FORMAT"])?;
    run(&["inspect", &state, "--brokers", "127.0.0.1:1"])?.expect(1)?.says(&["127.0.0.1:1"])?;
    Ok(())
}

#[test]
fn a_savepoint_moves_a_job_to_another_machine() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("moves")?;
    scene.fill(30_000, 500)?;
    let home = TempDir::new()?;
    let (savepoint, there, late) = (home.path().join("savepoint"), home.path().join("there"), home.path().join("late"));
    let state = text(scene.state_dir());
    let save = ["savepoint", &state, &text(&savepoint)];
    let host = begun(&scene, &[])?;
    run(&save)?.expect(3)?.says(&[&host.id().to_string()])?;
    ensure!(!savepoint.exists(), "a job that runs has no savepoint");
    stop(host)?;
    run(&save)?.expect(0)?;
    run(&save)?.expect(2)?.says(&["exists already"])?;
    let from = ["--from-savepoint", &text(&savepoint)];
    let go_on = |dir: &Path, more: &[&str]| host::run(&scene.args_in(dir, "count", more)?, PATIENCE);
    // On the other machine, killed on the way, and started by the same command again.
    let args = scene.args_in(&there, "count", &[&from[..], &SLOW].concat())?;
    let output = Observer::new(scene.broker, &scene.output)?;
    let before = output.stable()?;
    let mut host = Host::start(&args)?;
    host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > before + 1_000))?;
    host.kill()?;
    go_on(&there, &[&from[..], &["--until", "latest"]].concat())?.expect(0)?.says(&["went on from this savepoint"])?;
    scene.judge()?.expect_exact()?;
    // The old machine, and the same savepoint once more: Kafka is ahead of both.
    scene.run("count", &[])?.expect(4)?.says(&["holds"])?;
    go_on(&late, &[&from[..], &["--until", "latest"]].concat())?.expect(4)?.says(&["the marker says epoch"])?;
    ensure!(!late.exists(), "what was restored for a start that was refused stays");
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn another_job_begins_with_a_savepoint_and_is_exact_from_there() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("forked")?;
    scene.fill(20_000, 500)?;
    let home = TempDir::new()?;
    let (unsure, sure, state) = (home.path().join("unsure"), home.path().join("sure"), home.path().join("state"));
    begun(&scene, &[])?.kill()?;
    // After kill -9 the directory alone does not know whether its last epoch was committed.
    let old = text(scene.state_dir());
    run(&["savepoint", &old, &text(&unsure)])?.expect(0)?.says(&["--brokers"])?;
    run(&["savepoint", &old, &text(&sure), "--brokers", scene.broker.bootstrap()])?.expect(0)?;
    let fork = Scene { job: unique("fork"), state: TempDir::new()?, ..scene };
    let begin = |savepoint: &Path| {
        let more = ["--from-savepoint", &text(savepoint), "--until", "latest"];
        host::run(&fork.args_in(&state, "count", &more)?, PATIENCE)
    };
    let may_be_certain = begin(&unsure)?;
    ensure!([0, 4].contains(&may_be_certain.code), "{}", may_be_certain.stderr);
    if may_be_certain.code == 4 {
        may_be_certain.says(&["--brokers"])?;
        begin(&sure)?.expect(0)?;
    }
    // What the old job wrote and what the new one wrote are exact together.
    judge_count(fork.broker, &fork.input, &fork.output)?.expect_exact()?;
    Ok(())
}

#[test]
fn txn_abort_frees_the_output_of_a_host_that_is_gone() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("abort")?;
    scene.fill(120_000, 500)?;
    let long = ["--transaction-timeout", "10min"];
    let output = Observer::new(scene.broker, &scene.output)?;
    let state = text(scene.state_dir());
    let abort = ["txn", "abort", "--job", &scene.job, "--brokers", scene.broker.bootstrap(), "--state-dir", &state];
    // A kill between two transactions leaves none open.
    for _ in 0..20 {
        begun(&scene, &long)?.kill()?;
        if output.open_transactions()? > 0 {
            break;
        }
    }
    ensure!(output.open_transactions()? > 0, "twenty kills, and never was a transaction open");
    let ended = run(&abort)?.expect(0)?;
    let said = String::from_utf8(ended.stdout)?;
    ensure!([0, 1].iter().all(|slot| said.contains(&format!("weir-{}-0-{slot}", scene.job))), "{said}");
    ensure!(output.open_transactions()? == 0, "the output is still blocked");
    let mut host = begun(&scene, &[])?;
    run(&abort)?.expect(3)?.says(&[&host.id().to_string(), "--force"])?;
    run(&[&abort[..], &["--force"]].concat())?.expect(0)?;
    host.wait_for_log("recovering in place", PATIENCE)?;
    let before = output.stable()?;
    host.wait_until("output again", PATIENCE, |_| Ok(output.stable()? > before + 500))?;
    stop(host)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    run(&["txn", "abort", "--job", &scene.job])?.expect(2)?.says(&["--brokers"])?;
    run(&["txn", "abort", "--job", &scene.job, "--brokers", "127.0.0.1:1"])?.expect(1)?.says(&["127.0.0.1:1"])?;
    Ok(())
}

/// The flags of `host reset` for this scene's job.
fn reset_args(scene: &Scene<'_>) -> Vec<String> {
    let state = text(scene.state_dir());
    let args = ["reset", "--job", &scene.job, "--brokers", scene.broker.bootstrap(), "--state-dir", &state, "--yes"];
    args.map(str::to_owned).to_vec()
}

#[test]
fn a_reset_job_starts_as_if_it_had_never_run() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("reset")?;
    scene.fill(20_000, 500)?;
    let reset = reset_args(&scene);
    let asked = &reset[..reset.len() - 1];
    let host = begun(&scene, &[])?;
    host::run(&reset, PATIENCE)?.expect(3)?.says(&[&host.id().to_string()])?;
    stop(host)?;
    host::run(asked, PATIENCE)?.expect(2)?.says(&["--yes"])?;
    let state = text(scene.state_dir());
    run(&["reset", "--job", &scene.job, "--state-dir", &state, "--yes"])?.expect(2)?.says(&["--brokers"])?;
    run(&["reset", "--job", "another", "--state-dir", &state, "--yes"])?.expect(4)?.says(&[&scene.job])?;
    let seen = inspected(&scene, scene.state_dir(), 0)?;
    let ended = host::run(&reset, PATIENCE)?.expect(0)?;
    let said = String::from_utf8(ended.stdout)?;
    let rereads = format!("{} records again", committed(&seen)?);
    ensure!(said.contains(&rereads) && said.contains("marker of epoch"), "no {rereads:?} in:\n{said}");
    let said = String::from_utf8(host::run(&reset, PATIENCE)?.expect(0)?.stdout)?;
    ensure!(said.contains("nothing to do"), "{said}");
    // Into a new topic, the whole input once.
    let again = Scene { output: format!("{}.again", scene.output), ..scene };
    again.run("count", &["--create-topics"])?.expect(0)?.says(&["first start"])?;
    again.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_reset_that_is_killed_leaves_all_or_nothing() -> Result<()> {
    let _machine = machine::shared();
    let mut random = Random::new();
    let mut scene = Scene::new("killed-reset")?;
    scene.fill(2_000, 100)?;
    for round in 0..5 {
        scene.run("count", &["--create-topics"])?.expect(0)?;
        scene.judge()?.expect_exact()?;
        let reset = Host::start(&reset_args(&scene))?;
        std::thread::sleep(random.between(Duration::from_millis(50), Duration::from_millis(1_200)));
        reset.kill()?;
        let ended = scene.run("count", &[])?;
        if ended.code != 0 {
            ended.expect(4)?.says(&["reset"])?;
        } else if !ended.stderr.contains("first start") {
            // Nothing had happened yet.
            scene.judge()?.expect_exact()?;
        }
        host::run(&reset_args(&scene), PATIENCE)?.expect(0)?;
        scene.output = format!("{}.{round}", scene.output);
    }
    Ok(())
}
