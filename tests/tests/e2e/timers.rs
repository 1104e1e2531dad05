//! Timers, as a user has them: fired once and in order, killed with -9 at random moments; and in processing time when it is
//! time, whether records come or not.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use rdkafka::producer::BaseRecord;
use weir_tests::host::{plugin, run, run_with_input};
use weir_tests::machine;
use weir_tests::random::Random;
use weir_tests::reader::{Observer, read_all};
use weir_tests::topics::Writer;

use crate::scene::{PATIENCE, Scene};

/// A line that the plugin `alarm` obeys.
fn line(key: &str, at: i64, value: &str) -> String {
    format!("{{\"key\":\"{key}\",\"value\":\"{value}\",\"timestamp\":{at}}}\n")
}

/// What `plugin` makes of `input` on a terminal, and how it ended with this exit code.
fn made(plugin_name: &str, more: &[&str], input: &str, code: i32) -> Result<(String, String)> {
    let plugin = plugin(plugin_name)?;
    let base = ["run", "--plugin", &plugin, "--from", "-?format=json", "--to", "-?format=json", "--api", "off"];
    let ended = run_with_input(&[&base, more].concat(), input.as_bytes(), PATIENCE)?.expect(code)?;
    Ok((String::from_utf8(ended.stdout)?, ended.stderr))
}

#[test]
fn timers_fire_in_order_of_time_and_what_they_send_has_their_time() -> Result<()> {
    let _machine = machine::shared();
    let says = [("a", "set 40000"), ("b", "set 20000"), ("a", "set 30000"), ("b", "cancel 20000"), ("b", "set 35000")];
    let input: String = says.iter().map(|(key, what)| line(key, 10_000, what)).collect();
    let (seen, _) = made("alarm", &[], &input, 0)?;
    let wanted = [line("a", 30_000, "due"), line("b", 35_000, "due"), line("a", 40_000, "due")].concat();
    ensure!(seen == wanted, "{seen}");
    let (seen, _) =
        made("dedupe", &["--config", "within-ms=1000"], &["x", "y"].map(|v| line("a", 5_000, v)).concat(), 0)?;
    ensure!(seen == line("a", 5_000, "x"), "{seen}");
    Ok(())
}

#[test]
fn a_timer_that_fails_is_named_and_a_storm_has_a_name_of_its_own() -> Result<()> {
    let _machine = machine::shared();
    for (words, wanted) in [("fail", "plugin returned failure 100: told to fail"), ("boom", "told to panic")] {
        let says = [
            line("bad", 1_000, &format!("then {words}")),
            line("bad", 1_000, "set 2000"),
            line("a", 1_000, "set 1500"),
        ];
        let (seen, stderr) = made("alarm", &[], &says.concat(), 1)?;
        let place = "operator \"operator\" failed on the timer of key \"bad\" at 2000 ms";
        ensure!(stderr.contains(place) && stderr.contains(wanted), "{stderr}");
        ensure!(seen.is_empty() || seen == line("a", 1_500, "due"), "{seen}");
        let (seen, stderr) = made("alarm", &["--on-error", "skip"], &says.concat(), 0)?;
        ensure!(seen == line("a", 1_500, "due"), "{seen}");
        ensure!(stderr.contains("record skipped"), "{stderr}");
    }
    let says = [line("a", 1_000, "every 1"), line("a", 1_000, "set 2000")];
    for more in [&[][..], &["--timer-rounds", "20"]] {
        let (_, stderr) = made("alarm", more, &says.concat(), 1)?;
        let rounds = if more.is_empty() { 100_001 } else { 21 };
        let storm = format!("timers have set each other {rounds} times in a row");
        ensure!(stderr.contains(&storm) && stderr.contains("a timer storm"), "{stderr}");
        ensure!(stderr.contains("limits.timer-rounds (--timer-rounds)"), "{stderr}");
    }
    Ok(())
}

/// The clock that timers of processing time wait for.
fn now_ms() -> Result<i64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis().try_into()?)
}

/// Tells `alarm` what to do with the key `a`.
fn say(scene: &Scene<'_>, words: &str) -> Result<()> {
    let writer = Writer::new(scene.broker)?;
    writer.send(BaseRecord::to(&scene.input).key(&b"a"[..]).payload(words.as_bytes()).timestamp(BEGIN_MS))?;
    writer.flush()
}

/// The times of what was sent.
fn fired(scene: &Scene<'_>) -> Result<Vec<i64>> {
    Ok(read_all(scene.broker, &scene.output)?.iter().filter_map(|record| record.timestamp).collect())
}

#[test]
fn at_the_end_of_the_input_timers_of_processing_time_fire_once() -> Result<()> {
    let _machine = machine::shared();
    let far_ms = now_ms()? + 3_600_000;
    let says = [line("a", 5, "every 1000"), line("a", 5, &format!("wake {far_ms}")), line("b", 5, "later 3600000")];
    let (seen, _) = made("alarm", &[], &says.concat(), 0)?;
    ensure!(seen.lines().count() == 2 && seen.contains(line("a", far_ms, "due").trim_end()), "{seen}");
    Ok(())
}

#[test]
fn timers_of_processing_time_need_no_record_and_those_that_were_due_meanwhile_fire_at_once() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("alarm-clock")?;
    let observer = Observer::new(scene.broker, &scene.output)?;
    let (mut host, began_ms) = (scene.start("alarm", &[])?, now_ms()?);
    say(&scene, "later 1500")?;
    host.wait_until("a timer", PATIENCE, |_| Ok(observer.high()? > 0))?;
    ensure!(now_ms()? - began_ms >= 1_500, "it came too early");
    // Now one that is due while nobody runs.
    let due_ms = now_ms()? + 4_000;
    say(&scene, &format!("wake {due_ms}"))?;
    host.wait_until("the record", PATIENCE, |host| Ok(host.log()?.contains("first start")))?;
    host.kill()?;
    scene.run("alarm", &[])?.expect(0)?;
    while now_ms()? <= due_ms {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut host = scene.start("alarm", &[])?;
    host.wait_until("the other timer", PATIENCE, |_| Ok(fired(&scene)?.contains(&due_ms)))?;
    host.kill()?;
    scene.run("alarm", &[])?.expect(0)?;
    ensure!(fired(&scene)?.len() == 2, "{:?}, due at {due_ms}", fired(&scene)?);
    Ok(())
}

const KEYS: u64 = 40;
const TICKS: i64 = 150;
const TICK_MS: i64 = 1_000;
/// The first moment of the records.
const BEGIN_MS: i64 = 1_760_000_000_000;
const KILLS: u32 = 3;

/// When the timer is due that `key` sets with its record of `tick`: after the next ones, or among them.
fn due_ms(key: u64, tick: i64) -> i64 {
    let after = (key as i64 * 7 + tick * 13) % 9 + 2;
    BEGIN_MS + (tick + after) * TICK_MS + key as i64
}

/// Whether the record after that of `tick` takes its timer back.
fn is_cancelled(key: u64, tick: i64) -> bool {
    (key as i64 + tick) % 5 == 0
}

/// Each key sets a timer each second, and takes some of them back.
fn fill(scene: &Scene<'_>) -> Result<()> {
    let writer = Writer::new(scene.broker)?;
    let write = |key: u64, tick: i64, value: String| {
        let key = format!("key-{key}");
        let record = BaseRecord::to(&scene.input).key(key.as_bytes()).payload(value.as_bytes());
        writer.send(record.timestamp(BEGIN_MS + tick * TICK_MS))
    };
    for tick in 0..TICKS {
        for key in 0..KEYS {
            write(key, tick, format!("set {}", due_ms(key, tick)))?;
            if tick > 0 && is_cancelled(key, tick - 1) {
                write(key, tick, format!("cancel {}", due_ms(key, tick - 1)))?;
            }
        }
    }
    writer.flush()
}

/// When the timers of `key` must fire. What is cancelled may have been set again by another record, for the same moment.
fn wanted(key: u64) -> Vec<i64> {
    let mut timers = std::collections::BTreeSet::new();
    let mut fired = Vec::new();
    for tick in 0..TICKS {
        // All records before this one's time are there, so what is due by then has fired.
        timers.insert(due_ms(key, tick));
        if tick > 0 && is_cancelled(key, tick - 1) {
            timers.remove(&due_ms(key, tick - 1));
        }
        let later = timers.split_off(&(BEGIN_MS + tick * TICK_MS));
        fired.extend(std::mem::replace(&mut timers, later));
    }
    fired.extend(timers);
    fired
}

#[test]
fn every_timer_fires_once_and_in_order_whoever_is_killed() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("alarm")?;
    fill(&scene)?;
    let (mut random, observer) = (Random::new(), Observer::new(scene.broker, &scene.output)?);
    let watermark = ["--watermark", "max-disorder=0s"];
    for kill in 0..KILLS {
        let parallelism = (kill % 2 + 1).to_string();
        let more = ["--until", "latest", "--max-rate", "400", "--parallelism", &parallelism];
        let mut host = scene.start("alarm", &[&watermark[..], &more].concat())?;
        let before = observer.high()?;
        host.wait_until(&format!("output, before kill {kill}"), PATIENCE, |_| Ok(observer.high()? > before))?;
        std::thread::sleep(random.between(Duration::ZERO, Duration::from_millis(300)));
        ensure!(!host.is_over()?, "it was through before kill {kill}: {}", host.log()?);
        host.kill()?;
    }
    let seed = random.seed();
    // A bounded run leaves timers for the next start; the end of time fires them all.
    scene.run("alarm", &watermark)?.expect(0)?;
    judge_left(&scene)?;
    scene.run("alarm", &[&watermark[..], &["--drain"]].concat())?.expect(0)?;
    judge(&scene).with_context(|| format!("WEIR_SEED={seed}"))
}

fn judge(scene: &Scene<'_>) -> Result<()> {
    let mut seen: BTreeMap<Vec<u8>, Vec<i64>> = BTreeMap::new();
    for record in read_all(scene.broker, &scene.output)? {
        ensure!(record.value.as_deref() == Some(b"due"), "{record:?}");
        seen.entry(record.key.context("a key")?).or_default().push(record.timestamp.context("a timestamp")?);
    }
    for key in 0..KEYS {
        let of_key = seen.remove(format!("key-{key}").as_bytes()).unwrap_or_default();
        ensure!(of_key == wanted(key), "key {key}: {of_key:?}\ninstead of {:?}", wanted(key));
    }
    ensure!(seen.is_empty(), "nobody knows {seen:?}");
    Ok(())
}

/// The state shows the timers that wait, as times.
fn judge_left(scene: &Scene<'_>) -> Result<()> {
    let state = scene.state_dir().display().to_string();
    let ended = run(&["inspect", &state, "--entries", "--brokers", scene.broker.bootstrap()], PATIENCE)?.expect(0)?;
    let text = String::from_utf8(ended.stdout)?;
    let lines: Vec<serde_json::Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let timers: Vec<_> = lines.iter().filter(|line| line["table"] == "timers").collect();
    ensure!(timers.len() > KEYS as usize / 2, "{text}");
    let end_ms = BEGIN_MS + (TICKS - 1) * TICK_MS;
    ensure!(timers.iter().all(|timer| timer["time"].as_i64().is_some_and(|at| at > end_ms)), "{timers:?}");
    ensure!(timers.iter().all(|timer| timer["key"].as_str().is_some_and(|key| key.starts_with("key-"))), "{timers:?}");
    Ok(())
}
