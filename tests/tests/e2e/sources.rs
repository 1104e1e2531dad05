//! Where a job starts, what it discovers, when it must stop rather than guess.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::BaseRecord;
use rdkafka::{Offset, TopicPartitionList};
use weir_tests::reader::{Observer, read_all, visit};
use weir_tests::topics::{self, Writer};
use weir_tests::{host, machine};

use crate::scene::{PATIENCE, Scene, unique};

#[test]
fn four_partitions_become_sixteen_under_load() -> Result<()> {
    let _machine = machine::alone();
    let scene = Scene::new("grown")?;
    let mut host = scene.start("count", &["--discovery-interval", "2s"])?;
    let writer = Writer::new(scene.broker)?;
    load(&writer, &scene.input, 4, 5_000)?;
    let output = Observer::new(scene.broker, &scene.output)?;
    host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 1_000))?;
    topics::grow(scene.broker, &scene.input, 16)?;
    let grown = Instant::now();
    // Written by a client that knows the new partitions, while the old ones go on.
    let informed = Writer::new(scene.broker)?;
    informed.send(BaseRecord::to(&scene.input).partition(15).key(&b"new"[..]).payload(&b"v"[..]))?;
    informed.flush()?;
    load(&writer, &scene.input, 4, 2_000)?;
    host.wait_until("the new partition", PATIENCE, |_| {
        let mut found = false;
        visit(scene.broker, &scene.output, |message| found |= message.key() == Some(b"new"))?;
        Ok(found)
    })?;
    let took = grown.elapsed();
    ensure!(took < Duration::from_secs(4), "the first record of a new partition was out after {took:?}");
    load(&informed, &scene.input, 16, 5_000)?;
    std::thread::sleep(Duration::from_secs(1));
    host.signal(Signal::SIGTERM)?;
    host.wait(PATIENCE)?.expect(0)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

/// Records over 100 keys, round robin over the first `partitions` partitions.
fn load(writer: &Writer, topic: &str, partitions: i32, count: i32) -> Result<()> {
    for number in 0..count {
        let key = format!("k{}", number % 100);
        writer.send(BaseRecord::to(topic).partition(number % partitions).key(key.as_bytes()).payload(&b"v"[..]))?;
    }
    writer.flush()
}

#[test]
fn a_job_starts_where_it_is_told() -> Result<()> {
    let _machine = machine::shared();
    let topic = Scene::new("start")?;
    let writer = Writer::new(topic.broker)?;
    for number in 0..100_i64 {
        let key = format!("{number}");
        let record = BaseRecord::to(&topic.input).partition(0).timestamp(1_700_000_000_000 + number * 1_000);
        writer.send(record.key(key.as_bytes()).payload(&b"v"[..]))?;
    }
    writer.flush()?;
    let group = unique("group");
    commit(&topic, &group, 90)?;
    let starts = [
        ("earliest", 100),
        ("offsets:0=60,1=0,2=0,3=0", 40),
        ("timestamp:1700000070000", 30),
        (&format!("committed:{group}"), 10),
    ];
    for (start, expected) in starts {
        let scene = Scene { input: topic.input.clone(), ..Scene::new("start")? };
        scene.run("count", &["--start", start])?.expect(0)?;
        let found = read_all(scene.broker, &scene.output)?.len();
        ensure!(found == expected, "--start {start}: {found} of {expected} records");
        // A job that has state goes on where it was, whatever it is told.
        scene.run("count", &["--start", "earliest"])?.expect(0)?;
        ensure!(read_all(scene.broker, &scene.output)?.len() == expected, "--start {start}: it started again");
    }
    Ok(())
}

/// Where partitions may have to wait, each has a queue of its own, and all together hold no more for it.
#[test]
fn two_hundred_partitions_that_wait_take_little_memory() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("lanes")?;
    let input = format!("{}.many", scene.job);
    topics::create(scene.broker, &input, 200, &[])?;
    let scene = Scene { input, ..scene };
    // More than a MiB in each, and hundreds of seconds of it.
    let (writer, value) = (Writer::new(scene.broker)?, vec![b'x'; 100_000]);
    for number in 0..2_400 {
        writer.send(BaseRecord::to(&scene.input).partition(number % 200).key(&b"k"[..]).payload(&value))?;
    }
    writer.flush()?;
    let mut host = scene.start("uppercase", &["--max-rate", "1"])?;
    let output = Observer::new(scene.broker, &scene.output)?;
    host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 200))?;
    std::thread::sleep(Duration::from_secs(3));
    let peak = host.usage()?.rss_bytes;
    ensure!(peak < 270 << 20, "{peak} bytes");
    Ok(())
}

/// Only what was read decides where a job goes on: until then the next start may say something else.
#[test]
fn a_run_that_read_nothing_does_not_fix_where_the_next_begins() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("nothing-read")?;
    scene.fill(1_000, 10)?;
    // Twice: the second goes on with the state of the first.
    for _ in 0..2 {
        scene.run("count", &["--start", "latest"])?.expect(0)?;
        let found = read_all(scene.broker, &scene.output)?.len();
        ensure!(found == 0, "{found} records came out of those before the start");
    }
    scene.run("count", &["--start", "earliest"])?.expect(0)?;
    let verdict = scene.judge()?.expect_exact()?;
    ensure!(verdict.input == 1_000, "{verdict}");
    Ok(())
}

/// Commits `offset` on partition 0 and the ends of the others, as any other tool would.
fn commit(scene: &Scene<'_>, group: &str, offset: i64) -> Result<()> {
    let consumer: BaseConsumer = scene.broker.client().set("group.id", group).create()?;
    let mut offsets = TopicPartitionList::new();
    for partition in 0..4 {
        let offset = if partition == 0 { offset } else { 0 };
        offsets.add_partition_offset(&scene.input, partition, Offset::Offset(offset))?;
    }
    consumer.commit(&offsets, CommitMode::Sync)?;
    Ok(())
}

#[test]
fn offsets_that_somebody_else_moved_are_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("moved")?;
    scene.fill(1_000, 10)?;
    scene.run("count", &[])?.expect(0)?;
    commit(&scene, &format!("weir-{}", scene.job), 1)?;
    scene.run("count", &[])?.expect(4)?;
    Ok(())
}

#[test]
fn a_topic_that_was_created_again_is_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("recreated")?;
    scene.fill(1_000, 10)?;
    scene.run("count", &[])?.expect(0)?;
    topics::replace(scene.broker, &scene.input, 4)?;
    scene.fill(2_000, 10)?;
    scene.run("count", &[])?.expect(4)?.says(&[&scene.input])?;
    Ok(())
}

#[test]
fn records_that_retention_took_are_counted_and_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("retention")?;
    load(&Writer::new(scene.broker)?, &scene.input, 4, 400)?;
    scene.run("count", &[])?.expect(0)?;
    // Of partition 0, the records 100 to 199 come and 100 to 149 go while the job is down.
    load(&Writer::new(scene.broker)?, &scene.input, 4, 400)?;
    topics::truncate(scene.broker, &scene.input, &[150])?;
    let before = Observer::new(scene.broker, &scene.output)?.high()?;
    let ended = scene.run("count", &[])?.expect(4)?;
    ended.says(&[&scene.input, "next offset is 100", "150 to 200", "50 records were removed by retention"])?;
    ensure!(Observer::new(scene.broker, &scene.output)?.high()? == before, "it wrote something all the same");
    Ok(())
}

#[test]
fn a_job_reads_up_to_a_timestamp() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("until")?;
    let writer = Writer::new(scene.broker)?;
    for number in 0..100_i64 {
        let record = BaseRecord::to(&scene.input).partition(0).timestamp(1_700_000_000_000 + number * 1_000);
        writer.send(record.key(&b"key"[..]).payload(&b"v"[..]))?;
    }
    writer.flush()?;
    let until = |until: &str| host::run(&scene.args("count", &["--until", until])?, PATIENCE)?.expect(0);
    until("timestamp:1700000070000")?;
    let found = read_all(scene.broker, &scene.output)?.len();
    ensure!(found == 70, "{found} of 70 records are older");
    until("timestamp:2023-11-14T22:14:45Z")?;
    let found = read_all(scene.broker, &scene.output)?.len();
    ensure!(found == 85, "{found} of 85 records are older");
    until("latest")?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_pattern_reads_all_topics_that_match() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("pattern")?;
    let prefix = unique("many");
    let writer = Writer::new(scene.broker)?;
    for number in 0..3 {
        let topic = format!("{prefix}-{number}");
        topics::create(scene.broker, &topic, 2, &[])?;
        topics::fill(&writer, &topic, 100, 10, 20)?;
    }
    let scene = Scene { input: format!("kafka:/{prefix}-[0-9]/"), ..scene };
    scene.run("count", &[])?.expect(0)?;
    let found = read_all(scene.broker, &scene.output)?.len();
    ensure!(found == 300, "{found} of 300 records");
    Ok(())
}
