//! A broker that hangs, is restarted, is not there, refuses: the job waits, recovers by itself, or says what is wrong.

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::broker::{Broker, USER, credentials};
use weir_tests::host::{Host, crash_program, plugin, run};
use weir_tests::machine;
use weir_tests::reader::Observer;

use crate::scene::{PATIENCE, Scene};

const LONG: Duration = Duration::from_secs(150);

#[test]
fn a_broker_stopped_for_20_seconds_costs_nothing() -> Result<()> {
    let _machine = machine::shared();
    let broker = Broker::start_own()?;
    let scene = Scene::on(&broker, "stopped")?;
    scene.fill(40_000, 1_000)?;
    let mut host = scene.start("count", &["--until", "latest", "--max-rate", "1000"])?;
    let output = Observer::new(&broker, &scene.output)?;
    host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 2_000))?;
    broker.pause()?;
    std::thread::sleep(Duration::from_secs(20));
    broker.resume()?;
    host.wait(LONG)?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_broker_that_is_killed_and_restarted_costs_nothing() -> Result<()> {
    let _machine = machine::shared();
    let mut broker = Broker::start_own()?;
    let (host, input, output) = {
        let scene = Scene::on(&broker, "restarted")?;
        scene.fill(40_000, 1_000)?;
        let mut host = scene.start("count", &["--until", "latest", "--max-rate", "1000"])?;
        let output = Observer::new(&broker, &scene.output)?;
        host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 2_000))?;
        // The state directory must outlive the scene, which borrows the broker.
        ((host, scene.state), scene.input, scene.output)
    };
    broker.kill()?;
    broker.restart()?;
    host.0.wait(LONG)?.expect(0)?;
    weir_tests::judge::judge_count(&broker, &input, &output)?.expect_exact()?;
    Ok(())
}

/// Kafka then ends the open transaction without telling the partitions: see `host/crates/kafka/src/sink/hung.rs`.
#[test]
fn a_broker_that_is_killed_and_away_for_longer_than_a_transaction_lasts_costs_nothing() -> Result<()> {
    let _machine = machine::shared();
    let mut broker = Broker::start_own()?;
    let (host, input, output) = {
        let scene = Scene::on(&broker, "hung")?;
        scene.fill(40_000, 1_000)?;
        let more = ["--until", "latest", "--max-rate", "1000", "--epoch-interval", "1s", "--transaction-timeout", "4s"];
        let mut host = scene.start("count", &more)?;
        let output = Observer::new(&broker, &scene.output)?;
        host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 2_000))?;
        host.wait_until("an open transaction", PATIENCE, |_| Ok(output.open_transactions()? > 0))?;
        ((host, scene.state), scene.input, scene.output)
    };
    broker.kill()?;
    std::thread::sleep(Duration::from_secs(6));
    broker.restart()?;
    host.0.wait(LONG)?.expect(0)?;
    weir_tests::judge::judge_count(&broker, &input, &output)?.expect_exact()?;
    Ok(())
}

/// The same, with the offsets of the transaction pending, too: whoever waits for stable ones would wait for ever.
#[test]
fn host_and_broker_killed_before_the_end_of_a_transaction_cost_nothing() -> Result<()> {
    let _machine = machine::shared();
    let mut broker = Broker::start_own()?;
    let (args, _state, input, output) = {
        let scene = Scene::on(&broker, "pending")?;
        scene.fill(20_000, 1_000)?;
        let more = ["--until", "latest", "--max-rate", "1000", "--transaction-timeout", "4s"];
        (scene.args("count", &more)?, scene.state, scene.input, scene.output)
    };
    let start = |points| Host::start_program_with(&crash_program()?, &args, &[("FAILPOINTS", points)]);
    start("offsets-sent=10*off->1*return(kill)")?.wait(PATIENCE)?.expect(137)?;
    broker.kill()?;
    std::thread::sleep(Duration::from_secs(6));
    broker.restart()?;
    start("")?.wait(LONG)?.expect(0)?.says(&["a transaction is open", "offsets are pending"])?;
    weir_tests::judge::judge_count(&broker, &input, &output)?.expect_exact()?;
    Ok(())
}

#[test]
fn a_broker_that_is_not_there_is_named() -> Result<()> {
    let _machine = machine::shared();
    let plugin = plugin("count")?;
    let args = ["run", "--plugin", &plugin, "--brokers", "127.0.0.1:1", "--from", "a", "--to", "b", "--api", "off"];
    run(&args, Duration::from_secs(45))?.expect(1)?.says(&["127.0.0.1:1"])?;
    Ok(())
}

#[test]
fn a_topic_that_is_missing_is_named_and_created_only_when_asked() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("missing")?;
    scene.fill(100, 10)?;
    let (input, output) = (scene.input.clone(), scene.output.clone());
    let scene = Scene { input: format!("{input}.no"), ..scene };
    let ended = scene.run("count", &[])?;
    ensure!([1, 2].contains(&ended.code), "exit code {}: {}", ended.code, ended.stderr);
    ended.says(&[&scene.input])?;
    let scene = Scene { input, output: format!("{output}.no"), ..scene };
    let ended = scene.run("count", &[])?;
    ensure!([1, 2].contains(&ended.code), "exit code {}: {}", ended.code, ended.stderr);
    ended.says(&[&scene.output, "--create-topics"])?;
    scene.run("count", &["--create-topics"])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_broker_that_refuses_is_named_and_the_documented_acls_suffice() -> Result<()> {
    let _machine = machine::shared();
    let broker = Broker::start_secured()?;
    let scene = Scene::on(&broker, "acl")?;
    scene.fill(1_000, 100)?;
    let login: Vec<String> = credentials(USER).iter().map(|(key, value)| format!("{key}={value}")).collect();
    let login: Vec<&str> = login.iter().flat_map(|property| ["--kafka", property]).collect();
    // A wrong password, then a right one without any right.
    let wrong = [&login[..], &["--kafka", "sasl.password=wrong"]].concat();
    scene.run("count", &wrong)?.expect(1)?.says(&[broker.bootstrap(), "uthentication"])?;
    let ended = scene.run("count", &login)?;
    ensure!([1, 2].contains(&ended.code), "exit code {}: {}", ended.code, ended.stderr);
    ended.says(&["uthoriz"])?;
    broker.allow(&["Read", "Describe"], "--topic", &scene.input)?;
    broker.allow(&["Write", "Describe", "DescribeConfigs"], "--topic", &scene.output)?;
    broker.allow(&["Read", "Describe"], "--group", &format!("weir-{}", scene.job))?;
    for slot in 0..2 {
        let id = format!("weir-{}-0-{slot}", scene.job);
        broker.allow(&["Write", "Describe"], "--transactional-id", &id)?;
    }
    scene.run("count", &login)?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}
