//! A broker that hangs, is restarted, is not there, refuses: the job waits, recovers by itself, or says what is wrong.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use weir_tests::broker::{Broker, USER, credentials};
use weir_tests::host::{Host, crash_program, plugin, run};
use weir_tests::machine;
use weir_tests::reader::Observer;
use weir_tests::topics::{self, Writer};

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

/// The same, with the offsets of the transaction pending, too: whoever waits for stable ones would wait for ever. Whether
/// Kafka leaves them so depends on what it learns first when it is back: mostly it does, and it is asked until it has.
#[test]
fn host_and_broker_killed_before_the_end_of_a_transaction_cost_nothing() -> Result<()> {
    const TRIES: usize = 5;
    let _machine = machine::shared();
    let mut broker = Broker::start_own()?;
    for _ in 0..TRIES {
        if is_hanging_transaction_closed(&mut broker)? {
            return Ok(());
        }
    }
    bail!("in none of {TRIES} tries Kafka left a transaction hanging")
}

/// One try, exact in any case. False where Kafka had ended the transaction, or its offsets, before the job came back.
fn is_hanging_transaction_closed(broker: &mut Broker) -> Result<bool> {
    let (args, _state, input, output) = {
        let scene = Scene::on(broker, "pending")?;
        scene.fill(20_000, 1_000)?;
        let more = ["--until", "latest", "--max-rate", "1000", "--transaction-timeout", "4s"];
        (scene.args("count", &more)?, scene.state, scene.input, scene.output)
    };
    let start = |points| Host::start_program_with(&crash_program()?, &args, &[("FAILPOINTS", points)]);
    start("offsets-sent=10*off->1*return(kill)")?.wait(PATIENCE)?.expect(137)?;
    broker.kill()?;
    std::thread::sleep(Duration::from_secs(6));
    broker.restart()?;
    // The time-out was over when the broker came back: what is open after its coordinator's next look hangs for ever.
    std::thread::sleep(Duration::from_secs(2));
    let is_hanging = Observer::new(broker, &output)?.open_transactions()? > 0;
    let ended = start("")?.wait(LONG)?.expect(0)?;
    weir_tests::judge::judge_count(broker, &input, &output)?.expect_exact()?;
    let ended = if is_hanging { ended.says(&["a transaction is open"])? } else { ended };
    // The offsets hang or do not for themselves, and only the job looks at them.
    Ok(is_hanging && ended.stderr.contains("offsets are pending"))
}

#[test]
fn a_broker_that_is_not_there_is_named() -> Result<()> {
    let _machine = machine::shared();
    let plugin = plugin("count")?;
    let args = ["run", "--plugin", &plugin, "--brokers", "127.0.0.1:1", "--from", "a", "--to", "b", "--api", "off"];
    let mut host = Host::start(&args)?;
    host.wait_for_log("no connection to Kafka: 127.0.0.1:1", Duration::from_secs(3))?;
    let ended = host.wait(Duration::from_secs(45))?.expect(1)?.says(&[
        "127.0.0.1:1",
        "cannot start yet",
        "Connection refused",
    ])?;
    // One line at once, the cause once, then how long it is still tried, and the error itself.
    let warnings = ended.stderr.lines().filter(|line| line.contains("WARN")).count();
    ensure!(warnings <= 8 && ended.stderr.matches("cannot start yet").count() == 1, "{}", ended.stderr);
    Ok(())
}

/// Why there is no connection, which the client tells in its log alone.
#[test]
fn a_wrong_protocol_is_told_from_a_broker_that_is_down() -> Result<()> {
    let _machine = machine::shared();
    let broker = Broker::start_secured()?;
    let scene = Scene::on(&broker, "protocol")?;
    let plain = Broker::shared();
    let cases = [
        (broker.bootstrap(), "client.id=x", "see security.protocol"),
        (plain.bootstrap(), "security.protocol=ssl", "see security.protocol"),
    ];
    let plugin = plugin("count")?;
    for (brokers, property, word) in cases {
        let args = ["run", "--plugin", &plugin, "--brokers", brokers, "--from", &scene.input, "--to", &scene.output];
        let args = [&args[..], &["--api", "off", "--kafka", property]].concat();
        let ended = run(&args, Duration::from_secs(60))?.expect(1)?;
        let error = ended.stderr.split("error: ").last().unwrap_or_default();
        ensure!(error.contains(word), "{}", ended.stderr);
    }
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
    // Nor does a start that is refused leave anything else.
    let (misspelt, deep) = (format!("{output}.new"), scene.state_dir().join("deep"));
    let scene = Scene { output: misspelt, ..scene };
    let args = scene.args_in(&deep.join("er"), "count", &["--create-topics", "--until", "latest"])?;
    run(&args, PATIENCE)?.expect(2)?.says(&[&scene.input, "does not exist"])?;
    for topic in [&scene.input, &scene.output] {
        ensure!(topics::delete(scene.broker, topic).is_err(), "{topic} was created");
    }
    ensure!(!deep.exists(), "a state directory is left");
    let scene = Scene { input, output: format!("{output}.no"), ..scene };
    let ended = scene.run("count", &[])?;
    ensure!([1, 2].contains(&ended.code), "exit code {}: {}", ended.code, ended.stderr);
    ended.says(&[&format!("error: topic {:?} does not exist", scene.output), "--create-topics"])?;
    scene.run("count", &["--create-topics"])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    // What the broker says of a name that it does not like is not lost.
    let colliding = Scene { output: scene.output.replace('.', "_"), state: tempfile::TempDir::new()?, ..scene };
    let colliding = Scene { job: format!("{}-2", colliding.job), ..colliding };
    colliding
        .run("count", &["--create-topics"])?
        .expect(2)?
        .says(&[&format!("error: failed to create topic {:?}", colliding.output), "collides with existing topic"])?;
    Ok(())
}

/// Partitions, replication and settings as the pipeline file has them.
#[test]
fn a_topic_is_created_as_the_file_says() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("created")?;
    scene.fill(100, 10)?;
    let output = format!("{}.new", scene.job);
    let file = scene.state_dir().join("pipeline.toml");
    let text = format!(
        "version = 1\njob = {:?}\napi = \"off\"\n[kafka]\nbrokers = {:?}\ncreate-topics = true\n[sources.s]\n\
         kafka = {{ topic = {:?} }}\nuntil = \"latest\"\n[operators.o]\nplugin = {:?}\ninputs = [\"s\"]\n[sinks.k]\n\
         inputs = [\"o\"]\nkafka = {{ topic = {output:?}, partitions = 3, replication = 1, \
         config.max.message.bytes = 2000 }}\n[state]\ndir = \"state\"\n",
        scene.job,
        scene.broker.bootstrap(),
        scene.input,
        plugin("uppercase")?
    );
    std::fs::write(&file, text)?;
    run(&["run", &file.display().to_string()], PATIENCE)?.expect(0)?;
    ensure!(Observer::new(scene.broker, &output)?.highs()?.len() == 3, "not as many partitions as were asked for");
    let writer = Writer::new(scene.broker)?;
    writer.write(&scene.input, b"large", &[b'x'; 3_000])?;
    writer.flush()?;
    run(&["run", &file.display().to_string()], PATIENCE)?.expect(1)?.says(&["max.message.bytes = 2000"])?;
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
