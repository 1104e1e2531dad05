//! A broker that hangs is seen, one that dies is endured as told, and who gives up says why. Settings of the cluster that
//! weaken the promise are told once.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use weir_tests::broker::{Broker, free_port};
use weir_tests::host::{Host, get, job};
use weir_tests::machine;
use weir_tests::reader::Observer;

use crate::scene::{PATIENCE, Scene};

#[test]
fn an_idle_job_sees_that_its_brokers_are_gone() -> Result<()> {
    let _machine = machine::shared();
    let mut broker = Broker::start_own()?;
    let scene = Scene::on(&broker, "idle")?;
    scene.fill(1_000, 10)?;
    let port = free_port()?;
    let mut host = scene.start("count", &["--api", &format!("127.0.0.1:{port}")])?;
    // All is read, and the epoch of it holds: the first is empty.
    let is_idle = |job: &serde_json::Value| {
        let is_read = job["splits"].as_array().is_some_and(|s| s.len() == 4 && s.iter().all(|split| split["lag"] == 0));
        is_read && job["epoch"].as_u64() > Some(1)
    };
    host.wait_for_job(port, PATIENCE, is_idle)?;
    // The state directory outlives the scene's hold on the broker.
    let Scene { job, input, output, state, .. } = scene;
    broker.stop()?;
    let what = expect_waiting(&mut host, port)?;
    ensure!(what == "for the source to answer", "it waits {what}: {}", host.log()?);
    broker.restart()?;
    host.wait_until("it to be healthy", PATIENCE, |_| Ok(is_healthy(port)))?;
    let scene = Scene { broker: &broker, job, input, output, state };
    scene.fill(1_000, 10)?;
    let seen = Observer::new(&broker, &scene.output)?;
    host.wait_until("output", PATIENCE, |_| Ok(seen.stable().is_ok_and(|stable| stable > 2_000)))?;
    host.signal(Signal::SIGTERM)?;
    host.wait(PATIENCE)?.expect(0)?;
    Ok(())
}

fn is_healthy(port: u16) -> bool {
    get(port, "/healthz").is_ok()
}

/// Waits until the job at `port` waits for something, unhealthy, and says for what.
fn expect_waiting(host: &mut Host, port: u16) -> Result<String> {
    host.wait_for_job(port, PATIENCE, |job| !job["waiting"].is_null())?;
    let job = job(port)?;
    let health = get(port, "/healthz").expect_err("a job that waits is not healthy").to_string();
    ensure!(health.contains("503"), "{health}");
    ensure!(get(port, "/metrics")?.contains("weir_job_slow_waits_total"), "no metric counts it");
    ensure!(host.log()?.contains("still waiting"), "{}", host.log()?);
    Ok(job.pointer("/waiting/what").and_then(|what| what.as_str()).unwrap_or_default().to_owned())
}

#[test]
fn a_broker_that_hangs_is_seen_at_the_start_and_later() -> Result<()> {
    let _machine = machine::shared();
    let broker = Broker::start_own()?;
    let scene = Scene::on(&broker, "seen")?;
    scene.fill(20_000, 100)?;
    let port = free_port()?;
    broker.pause()?;
    let more = ["--until", "latest", "--max-rate", "100", "--api", &format!("127.0.0.1:{port}")];
    let mut host = scene.start("count", &more)?;
    // The client's own time-outs may come first: a failed attempt is as visible.
    host.wait_until("it to be unhealthy", PATIENCE, |_| Ok(job(port).is_ok() && !is_healthy(port)))?;
    broker.resume()?;
    host.wait_until("it to be healthy", PATIENCE, |_| Ok(is_healthy(port)))?;
    let output = Observer::new(&broker, &scene.output)?;
    host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 500))?;
    let restarts = job(port)?["restarts"].as_u64();
    broker.pause()?;
    let what = expect_waiting(&mut host, port);
    broker.resume()?;
    let what = what?;
    ensure!(what.starts_with("for "), "it waits {what}");
    host.wait_until("it to be healthy", PATIENCE, |_| Ok(is_healthy(port) && job(port)?["waiting"].is_null()))?;
    ensure!(job(port)?["restarts"].as_u64() == restarts, "a pause within the time-out cost a recovery");
    ensure!(host.log()?.contains("no longer waiting"), "{}", host.log()?);
    host.signal(Signal::SIGTERM)?;
    host.wait(PATIENCE)?.expect(143)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_strategy_that_gives_up_says_why() -> Result<()> {
    let _machine = machine::shared();
    let mut broker = Broker::start_own()?;
    let port = free_port()?;
    let (mut host, _state) = {
        let scene = Scene::on(&broker, "given-up")?;
        scene.fill(20_000, 100)?;
        let api = format!("127.0.0.1:{port}");
        let restart = ["--restart", "fixed:attempts=1,delay=300ms", "--transaction-timeout", "4s"];
        let more = [&restart[..], &["--max-rate", "500", "--api", &api]].concat();
        let mut host = scene.start("count", &more)?;
        let output = Observer::new(&broker, &scene.output)?;
        host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 500))?;
        // The state directory must outlive the scene, which borrows the broker.
        (host, scene.state)
    };
    broker.kill()?;
    host.wait_for_job(port, PATIENCE, |job| job["restarts"] == 1 && job["last_error"].is_string())?;
    ensure!(get(port, "/metrics")?.contains("weir_job_restarts_total{"), "no metric counts it");
    let ended = host.wait(PATIENCE)?.expect(1)?;
    ended.says(&["gave up: it failed 2 times in a row, 1 are endured", "cause: ", broker.bootstrap(), "in_a_row=1"])?;
    Ok(())
}

#[test]
fn settings_that_weaken_the_promise_are_told_once_and_those_that_break_it_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("advice")?;
    scene.fill(100, 10)?;
    let long = scene.run("count", &["--transaction-timeout", "20min"])?.expect(2)?;
    long.says(&["1200s is above the broker's transaction.max.timeout.ms = 900000"])?;
    let mut host = scene.start("count", &[])?;
    host.wait_for_log("settings of Kafka weaken", PATIENCE)?;
    for topic in [&scene.output, "__consumer_offsets", "__transaction_state"] {
        host.wait_for_log(&format!("topic {topic:?} has 1 replicas"), PATIENCE)?;
    }
    host.signal(Signal::SIGTERM)?;
    let ended = host.wait(Duration::from_secs(11))?.expect(0)?;
    ensure!(ended.stderr.matches("settings of Kafka weaken").count() == 1, "{}", ended.stderr);
    Ok(())
}

#[test]
fn a_restart_strategy_that_cannot_be_is_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("strategy")?;
    scene.run("count", &["--restart", "exponental"])?.expect(2)?.says(&["did you mean \"exponential\""])?;
    scene.run("count", &["--restart", "fixed:attemps=1"])?.expect(2)?.says(&["did you mean \"attempts\""])?;
    Ok(())
}
