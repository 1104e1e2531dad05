//! What others do to the topics and the group of a job, while it runs and while it is stopped: it comes out exact, or it
//! stops with exit 4 and says what happened. It never guesses and never loops.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::BaseRecord;
use rdkafka::{Offset, TopicPartitionList};
use weir_tests::broker::{Broker, USER, credentials, free_port};
use weir_tests::host::{self, Host, get, job};
use weir_tests::machine;
use weir_tests::reader::{Observer, read_all};
use weir_tests::topics::{self, Writer};

use crate::scene::{PATIENCE, Scene, unique};

/// What a question to Kafka and a busy machine add to how often something is looked at.
const SLACK: Duration = Duration::from_secs(3);

/// Records that are committed in the output.
fn written(scene: &Scene<'_>) -> Result<usize> {
    Ok(read_all(scene.broker, &scene.output)?.len())
}

/// Waits until `count` records are committed.
fn wait_for_output(scene: &Scene<'_>, host: &mut Host, count: usize) -> Result<()> {
    host.wait_until("the output", PATIENCE, |_| Ok(written(scene)? >= count))
}

#[test]
fn a_topic_created_again_under_a_running_job_stops_it() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("recreated-live")?;
    scene.fill(2_000, 10)?;
    let mut host = scene.start("count", &[])?;
    wait_for_output(&scene, &mut host, 2_000)?;
    topics::replace(scene.broker, &scene.input, 4)?;
    // More than the old topic had: the old positions exist in it.
    scene.fill(6_000, 10)?;
    host.wait(PATIENCE)?.expect(4)?.says(&[&scene.input])?;
    let found = written(&scene)?;
    ensure!(found == 2_000, "{} records of the new topic came through", found - 2_000);
    // It does not get better by starting again.
    scene.run("count", &[])?.expect(4)?.says(&[&scene.input])?;
    Ok(())
}

#[test]
fn a_deleted_topic_of_a_pattern_stops_the_job_running_and_stopped() -> Result<()> {
    let _machine = machine::shared();
    let prefix = unique("some");
    let scene = Scene::new("pattern-deleted")?;
    let scene = Scene { input: format!("kafka:/{prefix}-[0-9]/"), ..scene };
    let writer = Writer::new(scene.broker)?;
    let gone = format!("{prefix}-1");
    for topic in [&format!("{prefix}-0"), &gone] {
        topics::create(scene.broker, topic, 2, &[])?;
        topics::fill(&writer, topic, 100, 10, 20)?;
    }
    let mut host = scene.start("count", &[])?;
    wait_for_output(&scene, &mut host, 200)?;
    topics::delete(scene.broker, &gone)?;
    host.wait(PATIENCE)?.expect(4)?.says(&[&gone])?;
    for _ in 0..2 {
        scene.run("count", &[])?.expect(4)?.says(&[&format!("--drop-source {gone}")])?;
    }
    ensure!(written(&scene)? == 200, "it wrote something all the same");
    Ok(())
}

#[test]
fn a_deleted_topic_of_a_stopped_job_is_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("deleted")?;
    scene.fill(100, 10)?;
    scene.run("count", &[])?.expect(0)?;
    topics::delete(scene.broker, &scene.input)?;
    let started = Instant::now();
    let flag = format!("--drop-source {}", scene.input);
    scene.run("count", &[])?.expect(4)?.says(&[&flag, "create it again", "host reset"])?;
    ensure!(started.elapsed() < Duration::from_secs(20), "it took {:?} to refuse", started.elapsed());
    Ok(())
}

/// Whatever is promised, it is told within the 5 s of ADR 25, and what is written later is in the new topic.
#[test]
fn an_output_topic_that_is_created_again_is_told_and_written_on() -> Result<()> {
    let _machine = machine::shared();
    for delivery in ["exactly-once", "at-least-once"] {
        created_again(delivery).context(delivery)?;
    }
    Ok(())
}

fn created_again(delivery: &str) -> Result<()> {
    let scene = Scene::new("output-anew")?;
    scene.fill(100, 10)?;
    let mut host = scene.start("count", &["--delivery", delivery])?;
    wait_for_output(&scene, &mut host, 100)?;
    // The first time may come before the job has looked at all; the second cannot.
    let mut is_told = false;
    for _ in 0..2 {
        topics::replace(scene.broker, &scene.output, 4)?;
        let within = Instant::now() + Duration::from_secs(5) + SLACK;
        while !is_told && Instant::now() < within {
            std::thread::sleep(Duration::from_millis(50));
            is_told = host.log()?.contains("created again");
        }
        if is_told {
            break;
        }
    }
    ensure!(is_told && !host.is_over()?, "nothing is told: {}", host.log()?);
    scene.fill(50, 10)?;
    wait_for_output(&scene, &mut host, 50)?;
    Ok(())
}

#[test]
fn records_expired_under_the_reader_are_counted_and_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("expired")?;
    let writer = Writer::new(scene.broker)?;
    // Ten times what the client fetches ahead.
    let value = vec![b'v'; 1_000];
    for _ in 0..10_000 {
        writer.send(BaseRecord::to(&scene.input).partition(0).key(&b"k"[..]).payload(&value))?;
    }
    writer.flush()?;
    let mut host = scene.start("count", &["--max-rate", "200"])?;
    wait_for_output(&scene, &mut host, 100)?;
    topics::truncate(scene.broker, &scene.input, &[9_990])?;
    let ended = host.wait(PATIENCE)?.expect(4)?;
    ended.says(&[&scene.input, "9990 to 10000", "records were removed by retention"])?;
    // What it had read before is committed or not, but nothing after the gap is.
    let found = written(&scene)?;
    ensure!(found < 9_000, "{found} records came through");
    scene.run("count", &[])?.expect(4)?.says(&["records were removed by retention"])?;
    Ok(())
}

#[test]
fn a_group_that_expired_or_was_deleted_is_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("group-gone")?;
    scene.fill(1_000, 10)?;
    scene.run("count", &[])?.expect(0)?;
    topics::delete_groups(scene.broker, &[&format!("weir-{}", scene.job)])?;
    for _ in 0..2 {
        let said = scene.run("count", &[])?.expect(4)?.says(&["it was deleted, or has expired", &scene.job])?.stderr;
        ensure!(!said.contains("another cluster"), "the topic is the very one, and so is the cluster: {said}");
    }
    ensure!(written(&scene)? == 1_000, "it wrote something all the same");
    Ok(())
}

#[test]
fn a_marker_that_went_with_its_topic_is_refused_with_all_that_it_may_be() -> Result<()> {
    let _machine = machine::shared();
    // Beside the positions of the source: here as on another cluster, a topic of that name is another one.
    let scene = Scene::new("source-anew")?;
    scene.fill(100, 10)?;
    scene.run("count", &[])?.expect(0)?;
    topics::replace(scene.broker, &scene.input, 4)?;
    scene.fill(50, 10)?;
    let flag = format!("--drop-source {}", scene.input);
    scene.run("count", &[])?.expect(4)?.says(&[
        "deleted and created again",
        "another cluster",
        scene.broker.bootstrap(),
        &flag,
    ])?;
    ensure!(written(&scene)? == 100, "it wrote something all the same");
    scene.run("count", &["--drop-source", &scene.input])?.expect(0)?;
    ensure!(written(&scene)? == 150, "the new topic is read from its beginning");

    // Beside a position of the output.
    let scene = Scene { input: "generate:sequence?count=100".into(), ..Scene::new("output-anew-marker")? };
    let run = || host::run(&scene.args("uppercase", &[])?, PATIENCE);
    run()?.expect(0)?;
    topics::replace(scene.broker, &scene.output, 4)?;
    let causes = ["deleted and created again", "what was committed was deleted", "another cluster"];
    run()?.expect(4)?.says(&causes)?.says(&[&format!("{:?}", scene.output), "host reset"])?;
    ensure!(written(&scene)? == 0, "it wrote something all the same");
    Ok(())
}

/// Commits `offset` with `metadata` on every partition into the group of the job, as any other tool could.
fn commit_into(scene: &Scene<'_>, offset: i64, metadata: &str) -> Result<()> {
    let group = format!("weir-{}", scene.job);
    let consumer: BaseConsumer = scene.broker.client().set("group.id", &group).create()?;
    let mut offsets = TopicPartitionList::new();
    for partition in 0..4 {
        let mut entry = offsets.add_partition(&scene.input, partition);
        entry.set_offset(Offset::Offset(offset))?;
        entry.set_metadata(metadata);
    }
    Ok(consumer.commit(&offsets, CommitMode::Sync)?)
}

#[test]
fn a_foreign_commit_under_a_running_job_is_overwritten_by_its_next_one() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("foreign-live")?;
    scene.fill(8_000, 100)?;
    let mut host = scene.start("count", &["--max-rate", "500"])?;
    wait_for_output(&scene, &mut host, 500)?;
    for offset in [0, 1, 7] {
        commit_into(&scene, offset, "somebody else")?;
        std::thread::sleep(Duration::from_millis(300));
    }
    ensure!(!host.is_over()?, "{}", host.log()?);
    host.signal(Signal::SIGTERM)?;
    host.wait(PATIENCE)?.expect(0)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn foreign_metadata_is_refused_and_is_no_crash_loop() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("foreign")?;
    scene.fill(1_000, 10)?;
    scene.run("count", &[])?.expect(0)?;
    // The broker keeps texts: what is no UTF-8 is one of U+FFFD by the time that anybody reads it. Raw bytes are tested
    // where markers are parsed.
    let long = "x".repeat(4_000);
    let job = scene.job.clone();
    for metadata in ["\u{fffd}\u{0}\u{fffd}", "weir;1", "weir;99;future", &long, "", &format!("weir;1;{job};0;1;a;b")] {
        commit_into(&scene, 100, metadata)?;
        for _ in 0..2 {
            let ended = scene.run("count", &[])?.expect(4).with_context(|| format!("{metadata:.30?}"))?;
            ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        }
    }
    ensure!(written(&scene)? == 1_000, "it wrote something all the same");
    Ok(())
}

#[test]
fn compacted_input_has_gaps_and_ends_all_the_same() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("compacted")?;
    let input = format!("{}.compact", scene.job);
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
    ];
    topics::create(scene.broker, &input, 1, &settings)?;
    let scene = Scene { input, ..scene };
    let writer = Writer::new(scene.broker)?;
    let began = Instant::now();
    let mut wrote = 0;
    // Each round in a segment of its own; the cleaner takes all but the newest value of a key.
    loop {
        topics::fill(&writer, &scene.input, 100, 10, 20)?;
        wrote += 100;
        std::thread::sleep(Duration::from_millis(500));
        if read_all(scene.broker, &scene.input)?.len() < wrote / 2 {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "the broker does not compact");
    }
    let before = read_all(scene.broker, &scene.input)?.len();
    scene.run("count", &[])?.expect(0)?;
    let (after, found) = (read_all(scene.broker, &scene.input)?.len(), written(&scene)?);
    // The cleaner may have gone on meanwhile.
    ensure!((after..=before).contains(&found), "{found} records came out of {before}, later {after}");
    let again = scene.run("count", &[])?.expect(0)?;
    ensure!(written(&scene)? == found, "it read something twice: {}", again.stderr);
    Ok(())
}

#[test]
fn control_records_at_the_tail_are_no_lag() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("tail")?;
    let writer = Writer::transactional(scene.broker, &scene.job)?;
    writer.begin()?;
    topics::fill(&writer, &scene.input, 1_000, 50, 30)?;
    writer.commit()?;
    let port = free_port()?;
    let mut host = scene.start("count", &["--api", &format!("127.0.0.1:{port}")])?;
    let is_done = |job: &serde_json::Value| {
        job["splits"].as_array().is_some_and(|splits| splits.len() == 4 && splits.iter().all(|split| split["lag"] == 0))
    };
    wait_for_output(&scene, &mut host, 1_000)?;
    host.wait_for_job(port, PATIENCE, is_done)?;
    // Now a tail of nothing but aborted records and their markers.
    for _ in 0..3 {
        writer.begin()?;
        topics::fill(&writer, &scene.input, 100, 50, 30)?;
        writer.abort()?;
    }
    std::thread::sleep(Duration::from_secs(2));
    host.wait_for_job(port, PATIENCE, is_done)?;
    host.signal(Signal::SIGTERM)?;
    host.wait(PATIENCE)?.expect(0)?;
    scene.run("count", &[])?.expect(0)?;
    let verdict = scene.judge()?.expect_exact()?;
    ensure!(verdict.input == 1_000, "{verdict}");
    Ok(())
}

#[test]
fn acl_taken_away_is_waited_for_and_costs_nothing() -> Result<()> {
    let _machine = machine::shared();
    let broker = Broker::start_secured()?;
    let scene = Scene::on(&broker, "acl-taken")?;
    scene.fill(60_000, 100)?;
    broker.allow(&["Read", "Describe"], "--topic", &scene.input)?;
    broker.allow(&["Write", "Describe", "DescribeConfigs"], "--topic", &scene.output)?;
    broker.allow(&["Read", "Describe"], "--group", &format!("weir-{}", scene.job))?;
    let ids = [0, 1].map(|slot| format!("weir-{}-0-{slot}", scene.job));
    for id in &ids {
        broker.allow(&["Write", "Describe"], "--transactional-id", id)?;
    }
    let login: Vec<String> = credentials(USER).iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut more: Vec<&str> = login.iter().flat_map(|property| ["--kafka", property]).collect();
    let port = free_port()?;
    let api = format!("127.0.0.1:{port}");
    more.extend(["--api", &api, "--until", "latest", "--max-rate", "150", "--restart", "exponential:max-delay=1s"]);
    let mut host = scene.start("count", &more)?;
    let output = Observer::new(&broker, &scene.output)?;
    host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 500))?;
    let rights: [(&[&str], &str, &str); 2] =
        [(&["Read"], "--topic", &scene.input), (&["Write"], "--transactional-id", &ids[0])];
    for (operations, kind, name) in rights {
        broker.disallow(operations, kind, name)?;
        host.wait_for_job(port, PATIENCE, |job| {
            job["state"] == "recovering" && job["last_error"].as_str().is_some_and(|error| error.contains("uthoriz"))
        })
        .with_context(|| format!("{kind} {name}"))?;
        ensure!(get(port, "/healthz").is_err(), "it is healthy without its rights");
        broker.allow(operations, kind, name)?;
        let before = output.stable()?;
        host.wait_until("it to go on", PATIENCE, |_| Ok(output.stable()? > before + 500))?;
        ensure!(job(port)?["state"] == "running", "{}", job(port)?);
    }
    let metrics = get(port, "/metrics")?;
    let counted = metrics.lines().find(|line| line.contains("weir_job_restarts_total") && line.contains("denied"));
    let counted = counted.and_then(|line| line.rsplit(' ').next()).context("no counter for denied")?;
    ensure!(counted.parse::<f64>()? >= 2.0, "{counted} recoveries are counted as denied");
    host.signal(Signal::SIGTERM)?;
    host.wait(PATIENCE)?.expect(143)?;
    let more: Vec<&str> = login.iter().flat_map(|property| ["--kafka", property]).collect();
    scene.run("count", &more)?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}
