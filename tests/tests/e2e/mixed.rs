//! Kafka at one end, a generator or a file at the other: what is promised there holds under kill -9, too.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use weir_tests::host::{self, Host};
use weir_tests::machine;
use weir_tests::random::Random;
use weir_tests::reader::{Observer, read_all};

use crate::scene::{PATIENCE, Scene};

const KILLS: usize = 4;
const RECORDS: usize = 20_000;

/// Starts `args` again and again; each run is killed at a random moment after `progress` has grown.
fn kill_all(args: &[String], progress: impl Fn() -> Result<u64>) -> Result<()> {
    let mut random = Random::new();
    let seed = random.seed();
    kill_each(args, progress, &mut random).map_err(|error| error.context(format!("WEIR_SEED={seed}")))
}

fn kill_each(args: &[String], progress: impl Fn() -> Result<u64>, random: &mut Random) -> Result<()> {
    for kill in 0..KILLS {
        let mut host = Host::start(args)?;
        let before = progress()?;
        host.wait_until(&format!("output, before kill {kill}"), PATIENCE, |_| Ok(progress()? > before))?;
        std::thread::sleep(random.between(Duration::ZERO, Duration::from_millis(500)));
        ensure!(!host.is_over()?, "it was through before kill {kill} of {KILLS}: {}", host.log()?);
        host.kill()?;
    }
    Ok(())
}

#[test]
fn what_a_generator_makes_is_in_kafka_once_after_kill_9() -> Result<()> {
    let _machine = machine::shared();
    let input = format!("generate:sequence?count={RECORDS}&keys=50&rate=3000");
    let scene = Scene { input, ..Scene::new("generated")? };
    let args = scene.args("uppercase", &[])?;
    let output = Observer::new(scene.broker, &scene.output)?;
    kill_all(&args, || Ok(output.high()?.unsigned_abs()))?;
    host::run(&args, PATIENCE)?.expect(0)?;
    let mut numbers = Vec::new();
    for record in read_all(scene.broker, &scene.output)? {
        let value = String::from_utf8(record.value.context("a null value")?)?;
        numbers.push(value.parse::<usize>().with_context(|| value.clone())?);
    }
    numbers.sort_unstable();
    ensure!(numbers.len() == RECORDS, "{} of {RECORDS} records came out", numbers.len());
    ensure!(numbers.iter().copied().eq(0..RECORDS), "a record is lost and another one doubled");
    Ok(())
}

#[test]
fn what_kafka_holds_is_in_the_file_after_kill_9() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let path = home.path().join("out.txt");
    let scene = Scene { output: format!("file:{}", path.display()), ..Scene::new("filed")? };
    scene.fill(RECORDS as u64, 100)?;
    // 750 a second from each of 4 partitions.
    let args = scene.args("uppercase", &["--until", "latest", "--max-rate", "750"])?;
    // There is no file before the first run opens it.
    kill_all(&args, || Ok(fs::metadata(&path).map_or(0, |file| file.len())))?;
    scene.run("uppercase", &[])?.expect(0)?;
    let text = fs::read_to_string(&path)?;
    let values = |text: &str| text.lines().map(str::to_ascii_uppercase).collect::<BTreeSet<_>>();
    let written = values(&text);
    let mut expected = BTreeSet::new();
    for record in read_all(scene.broker, &scene.input)? {
        expected.append(&mut values(&String::from_utf8(record.value.context("a null value")?)?));
    }
    ensure!(expected.len() == RECORDS, "the input holds {} different values", expected.len());
    let lost = expected.difference(&written).count();
    ensure!(lost == 0, "{lost} of {RECORDS} records are not in the file");
    let made_up: Vec<_> = written.difference(&expected).take(3).collect();
    ensure!(made_up.is_empty(), "lines of no record: {made_up:?}");
    // Each kill may cost a replay, never more than what was under way.
    let lines = text.lines().count();
    ensure!(lines < RECORDS * 2, "{lines} lines for {RECORDS} records: positions were not kept");
    Ok(())
}
