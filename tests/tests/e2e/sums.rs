//! Numbers that are merged, without ever being read: exact, whoever is killed, and shown as numbers.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rdkafka::producer::BaseRecord;
use weir_tests::host::run;
use weir_tests::machine;
use weir_tests::random::Random;
use weir_tests::reader::Observer;
use weir_tests::topics::Writer;

use crate::scene::{PATIENCE, Scene};

const KEYS: i64 = 30;
/// Records of each key, a second apart.
const TICKS: i64 = 100;
/// The first moment of the records.
const BEGIN_MS: i64 = 1_760_000_000_000;
const KILLS: u32 = 3;

fn number(key: i64, tick: i64) -> i64 {
    (key * 1_000_003 + tick * 7_919) % 10_007 - 5_000
}

fn fill(scene: &Scene<'_>) -> Result<()> {
    let writer = Writer::new(scene.broker)?;
    for (tick, key) in (0..TICKS).flat_map(|tick| (0..KEYS).map(move |key| (tick, key))) {
        let (name, value) = (format!("key-{key}"), number(key, tick).to_string());
        let record = BaseRecord::to(&scene.input).key(name.as_bytes()).payload(value.as_bytes());
        writer.send(record.timestamp(BEGIN_MS + tick * 1_000))?;
    }
    writer.flush()
}

#[test]
fn sums_are_exact_and_what_expires_goes_whoever_is_killed() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("sums")?;
    fill(&scene)?;
    let (mut random, observer) = (Random::new(), Observer::new(scene.broker, &scene.output)?);
    for kill in 0..KILLS {
        let parallelism = (kill % 2 + 1).to_string();
        let more = ["--until", "latest", "--max-rate", "200", "--parallelism", &parallelism];
        let mut host = scene.start("ledger", &more)?;
        let before = observer.high()?;
        host.wait_until(&format!("output, before kill {kill}"), PATIENCE, |_| Ok(observer.high()? > before))?;
        std::thread::sleep(random.between(Duration::ZERO, Duration::from_millis(300)));
        ensure!(!host.is_over()?, "it was through before kill {kill}: {}", host.log()?);
        host.kill()?;
    }
    scene.run("ledger", &[])?.expect(0)?;
    judge(&scene).with_context(|| format!("WEIR_SEED={}", random.seed()))
}

/// The state shows the sums as the numbers that they are, and of what expires when that is.
fn judge(scene: &Scene<'_>) -> Result<()> {
    let state = scene.state_dir().display().to_string();
    let ended = run(&["inspect", &state, "--entries", "--brokers", scene.broker.bootstrap()], PATIENCE)?.expect(0)?;
    let text = String::from_utf8(ended.stdout)?;
    let lines: Vec<serde_json::Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for key in 0..KEYS {
        let of = |table: &str| lines.iter().find(|line| line["table"] == table && line["key"] == format!("key-{key}"));
        let numbers = || (0..TICKS).map(|tick| number(key, tick));
        let total = of("total").context("a sum")?;
        ensure!(total["value"].as_i64() == Some(numbers().sum()), "{total}");
        let least = of("least").context("a least number")?;
        ensure!(least["value"].as_f64() == numbers().min().map(|least| least as f64), "{least}");
        let last = of("last").context("a last number")?;
        ensure!(last["value"].as_i64() == Some(number(key, TICKS - 1)), "{last}");
        // It was written when event time had come so far, and not beyond its record.
        let expires_ms = last["expires"].as_i64().context("it expires")?;
        ensure!((BEGIN_MS..=BEGIN_MS + TICKS * 1_000 + 5_000).contains(&expires_ms), "{last}");
    }
    Ok(())
}
