//! Windows of event time, as a user has them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rdkafka::producer::BaseRecord;
use tempfile::TempDir;
use weir_tests::host::{plugin, run, run_with_input};
use weir_tests::machine;
use weir_tests::reader::Observer;
use weir_tests::topics::Writer;

use crate::scene::Scene;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_plugin_that_aggregates_sends_its_windows_on_a_terminal() -> Result<()> {
    let _machine = machine::shared();
    let plugin = plugin("window-count")?;
    let line = |key: &str, at: i64| format!("{{\"key\":\"{key}\",\"value\":\"x\",\"timestamp\":{at}}}\n");
    let input = [line("a", 1_000), line("b", 12_000), line("a", 9_999), line("a", 10_000)].concat();
    let base = ["run", "--plugin", &plugin, "--from", "-?format=json", "--to", "-?format=json", "--api", "off"];
    for (more, wanted) in [
        (&[][..], &[("a", "0,2", 9_999), ("a", "10000,1", 19_999), ("b", "10000,1", 19_999)][..]),
        (&["--window", "tumbling:1min"], &[("a", "0,3", 59_999), ("b", "0,1", 59_999)]),
        (
            &["--window", "sliding:10s/5s"],
            &[
                ("a", "-5000,1", 4_999),
                ("a", "0,2", 9_999),
                ("a", "5000,2", 14_999),
                ("b", "5000,1", 14_999),
                ("a", "10000,1", 19_999),
                ("b", "10000,1", 19_999),
            ],
        ),
        (&["--window", "count:2"], &[("a", "1000,2", 9_999), ("a", "10000,1", 10_000), ("b", "12000,1", 12_000)]),
        (&["--window", "global:count=2"], &[("a", "1000,2", 9_999), ("a", "1000,3", 10_000), ("b", "12000,1", 12_000)]),
        (&["--window", "session:5s"], &[("a", "1000,1", 5_999), ("a", "9999,2", 14_999), ("b", "12000,1", 16_999)]),
        // Berlin was an hour ahead.
        (
            &["--window", "tumbling:1day@Europe/Berlin"],
            &[("a", "-3600000,3", 82_799_999), ("b", "-3600000,1", 82_799_999)],
        ),
    ] {
        let ended = run_with_input(&[&base, more].concat(), input.as_bytes(), PATIENCE)?.expect(0)?;
        let shown = |(key, value, at): &(&str, &str, i64)| {
            format!("{{\"key\":\"{key}\",\"value\":\"{value}\",\"timestamp\":{at}}}\n")
        };
        let wanted: String = wanted.iter().map(shown).collect();
        let seen = String::from_utf8(ended.stdout)?;
        ensure!(seen == wanted, "{more:?}: {seen:?} instead of {wanted:?}");
    }
    Ok(())
}

#[test]
fn windows_and_plugins_that_do_not_fit_are_refused_before_anything_starts() -> Result<()> {
    let _machine = machine::shared();
    let (windows, counts) = (plugin("window-count")?, plugin("count")?);
    for (plugin, window, wanted) in [
        (&counts, "tumbling:10s", "its plugin \"count\" does not export the interface aggregate"),
        (&windows, "count:0", "must be longer than nothing"),
        (&windows, "global:10s", "is none of tumbling:10s"),
        (&windows, "sliding:1s/2s", "leave records in no window"),
        (&windows, "tumbling:0s", "must be longer than nothing"),
        (&windows, "tumbling:100years", "longer than 90 years"),
        (&windows, "tumbling:1day@Europe/Berlni", "is no time zone"),
        (&windows, "hopping:10s", "is none of tumbling:10s"),
        (&windows, "sliding:10s/1s,early-every=1s", "early-every is not for sliding windows"),
        (&windows, "count:10,early-every=1s", "early-every means nothing for count windows"),
        (&windows, "tumbling:10s,early=1s", "\"early\" is none of tumbling"),
    ] {
        let args = ["run", "--plugin", plugin, "--window", window, "--api", "off"];
        run_with_input(&args, b"", PATIENCE)?.expect(2)?.says(&[wanted])?;
    }
    Ok(())
}

#[test]
fn late_records_have_an_output_of_their_own() -> Result<()> {
    let _machine = machine::shared();
    let dir = TempDir::new()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    // Enough for many batches: the last record comes when time has long gone on.
    let record = |at: i64| format!("{{\"key\":\"a\",\"value\":\"x\",\"timestamp\":{at}}}\n");
    let late = "{\"key\":\"b\",\"value\":\"late\",\"timestamp\":7,\"headers\":{\"h\":\"v\"}}\n";
    let input: String = (0..10_000).map(|at| record(at * 1_000)).chain([late.to_owned()]).collect();
    std::fs::write(path("in"), input)?;
    let pipeline = format!(
        r#"version = 1
job = "late"
[sources.in]
file = {{ path = "{}", format = "json" }}
[operators.words]
plugin = "{}"
inputs = ["in"]
[sinks.out]
inputs = ["words"]
file = {{ path = "{}" }}
[sinks.late]
inputs = ["words.late"]
file = {{ path = "{}", format = "json" }}
"#,
        path("in"),
        plugin("window-count")?,
        path("out"),
        path("late"),
    );
    std::fs::write(path("late.toml"), pipeline)?;
    run(&["run", &path("late.toml"), "--state-dir", &path("state"), "--api", "off"], PATIENCE)?.expect(0)?;
    let seen = std::fs::read_to_string(path("late"))?;
    ensure!(seen == late, "{seen:?}");
    let windows = std::fs::read_to_string(path("out"))?;
    ensure!(windows.lines().count() == 1_000, "{} windows", windows.lines().count());
    ensure!(windows.lines().all(|line| line.ends_with(",10")), "{windows}");
    Ok(())
}

#[test]
fn windows_left_open_are_gone_on_with_and_other_windows_are_not_theirs() -> Result<()> {
    let _machine = machine::shared();
    let dir = TempDir::new()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (plugin, from, to, state) = (plugin("window-count")?, path("in"), path("out"), path("state"));
    let record = |at: i64| format!("{{\"key\":\"a\",\"value\":\"x\",\"timestamp\":{at}}}\n");
    std::fs::write(&from, (0..50).map(|at| record(at * 1_000)).collect::<String>())?;
    let (from, to) = (format!("file:{from}?format=json"), format!("file:{to}"));
    let args = ["run", "--plugin", &plugin, "--from", &from, "--to", &to, "--state-dir", &state, "--api", "off"];
    run(&args, PATIENCE)?.expect(0)?;
    let written = std::fs::read_to_string(path("out"))?;
    let counts = written.lines().map(|line| line.split_once(',').context("START,COUNT"));
    let counts = counts.collect::<Result<BTreeMap<_, _>>>()?;
    let wanted = ["0", "10000", "20000", "30000", "40000"].map(|start| (start, "10"));
    ensure!(counts == BTreeMap::from(wanted), "{counts:?}");
    let other = [&args[..], &["--window", "tumbling:5s"]].concat();
    run(&other, PATIENCE)?.expect(4)?.says(&["window-timers", "tumbling:10s", "tumbling:5s"])?;
    Ok(())
}

#[test]
fn windows_behind_tasks_that_take_turns_are_whole() -> Result<()> {
    let _machine = machine::shared();
    let dir = TempDir::new()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let record = |at: usize| format!("{{\"key\":\"{}\",\"value\":\"x\",\"timestamp\":{at}}}\n", at % 3);
    std::fs::write(path("in"), (0..60_000).map(record).collect::<String>())?;
    let text = format!(
        r#"version = 1
[sources.lines]
file = {{ path = "in", format = "json" }}
watermark = {{ max-disorder = "0s" }}
[operators.spread]
plugin = "{}"
inputs = [{{ from = "lines", partition = "round-robin" }}]
parallelism = 3
[operators.count]
plugin = "{}"
inputs = ["spread"]
parallelism = 2
[sinks.counts]
inputs = ["count"]
file = {{ path = "out", format = "key-value" }}
"#,
        plugin("uppercase")?,
        plugin("window-count")?,
    );
    std::fs::write(path("turns.toml"), text)?;
    let shown = run(&["validate", &path("turns.toml")], PATIENCE)?.expect(0)?;
    let shown = String::from_utf8(shown.stdout)?;
    ensure!(shown.contains("  input     lines (round robin)\n"), "{shown}");
    run(&["run", &path("turns.toml"), "--api", "off"], PATIENCE)?.expect(0)?;
    // No record of a window came after its time, whichever way it went: 10,000 of three keys in each.
    let written = std::fs::read_to_string(path("out"))?;
    for line in written.lines() {
        let (key, window) = line.split_once('\t').context("a key and a window")?;
        let (start, count) = window.split_once(',').context("START,COUNT")?;
        let (key, start, count): (usize, usize, usize) = (key.parse()?, start.parse()?, count.parse()?);
        let wanted = (start..start + 10_000).filter(|at| at % 3 == key).count();
        ensure!(count == wanted, "{line:?}: {count} instead of {wanted}");
    }
    ensure!(written.lines().count() == 18, "six windows of three keys: {written}");
    Ok(())
}

/// One partition that falls silent holds the windows of the others up for as long as it may, and not much longer.
#[test]
fn a_silent_partition_delays_windows_by_its_span_and_a_second_at_most() -> Result<()> {
    const IDLE_AFTER: Duration = Duration::from_secs(2);
    let _machine = machine::alone();
    let scene = Scene::new("silent")?;
    let observer = Observer::new(scene.broker, &scene.output)?;
    let writer = Writer::new(scene.broker)?;
    let write = |partition: i32, at_ms: i64| {
        let record = BaseRecord::to(&scene.input).partition(partition).key(&b"key"[..]).payload(&b"v"[..]);
        writer.send(record.timestamp(at_ms))
    };
    let mut host = scene.start("window-count", &["--watermark", "max-disorder=0s,idle-after=2s"])?;
    // The other two are idle by then: they never had anything.
    let base_ms = 1_760_000_000_000;
    for tick in 0..40 {
        (0..2).try_for_each(|partition| write(partition, base_ms + tick))?;
        writer.flush()?;
        std::thread::sleep(Duration::from_millis(100));
    }
    let silent_since = Instant::now();
    write(0, base_ms + 60_000)?;
    writer.flush()?;
    host.wait_until("a window", PATIENCE, |_| Ok(observer.high()? > 0))?;
    let waited = silent_since.elapsed();
    host.kill()?;
    println!("the window came after {waited:?}");
    // Partition 1 had its last record up to 100 ms before.
    ensure!(waited >= IDLE_AFTER - Duration::from_millis(200), "it did not wait: {waited:?}");
    ensure!(waited <= IDLE_AFTER + Duration::from_secs(1), "it waited for {waited:?}");
    Ok(())
}

#[test]
fn a_plugin_says_when_records_were_made_and_what_it_fails_on_is_left_to_the_policy() -> Result<()> {
    let _machine = machine::shared();
    let (windows, times) = (plugin("window-count")?, plugin("log-time")?);
    let watermark = format!("max-disorder=1s,timestamp=plugin:{times}");
    let lines = |more: &str| format!("a\t1700000001.5 x\n{more}a\t1700000003.25 x\na\t1700000012 x\nb\t1700000002 x\n");
    let args = |on_error: &'static str| {
        let from = ["--from", "-?format=key-value", "--to", "-?format=json", "--api", "off", "--on-error", on_error];
        [&["run", "--plugin", &windows, "--watermark", &watermark, "--window", "tumbling:10s"][..], &from].concat()
    };
    let wanted = |count: u32| {
        let line = |key: &str, start: i64, count: u32| {
            format!("{{\"key\":\"{key}\",\"value\":\"{start},{count}\",\"timestamp\":{}}}\n", start + 9_999)
        };
        [line("a", 1_700_000_000_000, count), line("b", 1_700_000_000_000, 1), line("a", 1_700_000_010_000, 1)].concat()
    };
    let bad = "a\tnone\na\t1 boom\na\t1 fail\na\t1 spin\n";
    let ended = run_with_input(&args("skip"), lines(bad).as_bytes(), PATIENCE)?.expect(0)?;
    ensure!(String::from_utf8(ended.stdout)? == wanted(2), "{}", ended.stderr);
    for (line, why) in [
        ("a\tnone\n", "there is no timestamp"),
        ("a\t1 boom\n", "told to panic"),
        ("a\t1 fail\n", "plugin returned failure 100: told to fail"),
        ("a\t1 spin\n", "exceeded its deadline of 1000 ms"),
    ] {
        run_with_input(&args("fail"), lines(line).as_bytes(), PATIENCE)?
            .expect(1)?
            .says(&["no usable timestamp", why])?;
    }
    let wrong = format!("timestamp=plugin:{windows}");
    for (watermark, wanted) in [
        (wrong.as_str(), "does not export weir:operator/timestamps"),
        ("timestamp=plugin:absent.wasm", "failed to read plugin absent.wasm"),
        ("timestamp=plugin", "which plugin?"),
    ] {
        let args = ["run", "--plugin", &windows, "--watermark", watermark, "--window", "tumbling:10s", "--api", "off"];
        run_with_input(&args, b"", PATIENCE)?.expect(2)?.says(&[wanted])?;
    }
    Ok(())
}
