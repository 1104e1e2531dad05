//! Bad plugins and records that a plugin cannot digest: a clear error, by policy, and nothing else is hurt.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use tempfile::TempDir;
use weir_tests::broker::free_port;
use weir_tests::host::{self, Ended, Host, Usage, plugin, program, run, run_with_input};
use weir_tests::machine;
use weir_tests::reader::read_all;
use weir_tests::topics::Writer;

use crate::scene::Scene;

const PATIENCE: Duration = Duration::from_secs(60);

fn pass(name: &str, more: &[&str], input: &[u8]) -> Result<Ended> {
    let plugin = plugin(name)?;
    run_with_input(&[&["run", "--plugin", &plugin], more].concat(), input, PATIENCE)
}

#[test]
fn a_file_that_is_no_plugin_is_refused() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    // A text, a core module that says nothing of its world, a component that exports nothing.
    let files: [(&str, &[u8]); 4] = [
        ("text.wasm", b"hello"),
        ("module.wasm", b"\0asm\x01\0\0\0"),
        ("component.wasm", b"\0asm\x0d\0\x01\0"),
        ("empty.wasm", b""),
    ];
    for (name, content) in files {
        let path = home.path().join(name).display().to_string();
        std::fs::write(&path, content)?;
        run(&["run", "--plugin", &path], PATIENCE)?.expect(2)?.says(&[name])?;
    }
    let missing = home.path().join("missing.wasm").display().to_string();
    run(&["run", "--plugin", &missing], PATIENCE)?.expect(2)?.says(&["missing.wasm"])?;
    let directory = home.path().display().to_string();
    run(&["run", "--plugin", &directory], PATIENCE)?.expect(2)?.says(&[&directory])?;
    Ok(())
}

#[test]
fn a_plugin_cut_short_or_damaged_is_refused_in_words() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let path = home.path().join("cut.wasm");
    let file = path.display().to_string();
    for name in ["uppercase", "count", "tally", "clickstream", "journey", "misbehave"] {
        let whole = std::fs::read(plugin(name)?)?;
        // At even steps, and where headers of sections are.
        let steps = (0..24).map(|step| whole.len() * step / 24).chain(0..16);
        for length in steps.chain(whole.len().saturating_sub(16)..whole.len()) {
            std::fs::write(&path, whole.get(..length).context("a prefix")?)?;
            let ended = run(&["inspect", &file, "--plugin-cache", "off"], PATIENCE)?.expect(2);
            ended
                .and_then(|ended| ended.says(&["error: ", "cut.wasm"]))
                .with_context(|| format!("{name} at {length}"))?;
        }
    }
    std::fs::write(&path, std::fs::read(plugin("uppercase")?)?.split_last().context("bytes")?.1)?;
    let ended = run(&["run", "--plugin", &file], PATIENCE)?.expect(2)?;
    ended.says(&["is cut short or damaged"])?;
    Ok(())
}

#[test]
fn a_plugin_that_does_not_open_is_refused_before_anything_starts() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let state = home.path().join("state").display().to_string();
    // Nobody listens there: whoever asks Kafka first does not come back in time.
    let kafka = ["--brokers", "127.0.0.1:1", "--from", "a", "--to", "b", "--state-dir", &state];
    for (plugin_name, config, message) in [
        ("misbehave", "open=fail", "told to fail in open"),
        ("misbehave", "open=trap", "told to trap in open"),
        ("misbehave", "opne=fail", "unknown field `opne`"),
        ("clickstream", "min-price=cheap", "invalid float literal"),
    ] {
        let plugin = plugin(plugin_name)?;
        for verb in ["run", "validate"] {
            let args = [&[verb, "--plugin", &plugin, "--config", config][..], &kafka].concat();
            let ended = run(&args, Duration::from_secs(20))?.expect(2)?.says(&["--config", message])?;
            ensure!(!ended.stderr.contains("127.0.0.1:1/"), "Kafka was asked:\n{}", ended.stderr);
            ensure!(!home.path().join("state").exists(), "a state directory was made");
        }
    }
    Ok(())
}

#[test]
fn a_limit_says_what_sets_it() -> Result<()> {
    let _machine = machine::shared();
    for (bad, flag, words) in [
        ("spin", ["--call-deadline", "50ms"], ["deadline of 50 ms", "limits.call-deadline (--call-deadline)"]),
        ("alloc", ["--memory-limit", "8MiB"], ["memory limit of 8388608 bytes", "limits.memory (--memory-limit)"]),
    ] {
        pass("misbehave", &flag, format!("{bad}\n").as_bytes())?.expect(1)?.says(&words)?;
    }
    Ok(())
}

#[test]
fn too_little_address_space_is_called_so() -> Result<()> {
    let _machine = machine::shared();
    let (host, plugin) = (program()?.display().to_string(), plugin("uppercase")?);
    // An instance reserves 4 GiB and its guards.
    let script = format!("ulimit -v 4000000; exec {host} run --plugin {plugin} --plugin-cache off");
    let ended = Host::start_program(Path::new("sh"), &["-c", &script])?.wait(PATIENCE)?.expect(2)?;
    ended.says(&["no room for an instance", "ulimit -v", "Cannot allocate memory"])?;
    Ok(())
}

#[test]
fn compiled_code_is_kept_where_nobody_else_writes() -> Result<()> {
    let _machine = machine::shared();
    let (home, plugin) = (TempDir::new()?, plugin("uppercase")?);
    let cache = home.path().join("cache");
    let text = cache.display().to_string();
    let with_cache = |code| run(&["inspect", &plugin, "--plugin-cache", &text], PATIENCE)?.expect(code);
    with_cache(0)?;
    ensure!(std::fs::read_dir(&cache)?.count() > 0, "nothing is kept");
    std::fs::set_permissions(&cache, Permissions::from_mode(0o777))?;
    with_cache(2)?.says(&["others can write", "chmod 700"])?;
    // The user's own place is not worth a failure.
    let env = [("XDG_CACHE_HOME", text.as_str())];
    let ended = Host::start_program_with(&program()?, &["inspect", &plugin], &env)?.wait(PATIENCE)?.expect(0)?;
    ended.says(&["others can write", "--plugin-cache"])?;
    let env = [("XDG_CACHE_HOME", ""), ("HOME", "")];
    let ended = Host::start_program_with(&program()?, &["inspect", &plugin], &env)?.wait(PATIENCE)?.expect(0)?;
    ended.says(&["compiled plugins are not kept"])?;
    Ok(())
}

#[test]
fn what_a_plugin_does_to_one_record_hurts_no_other() -> Result<()> {
    let _machine = machine::shared();
    for bad in ["boom", "spin", "alloc", "deep", "fail now", "lost"] {
        let input = format!("a\nb\n{bad}\nc\n");
        let ended = pass("misbehave", &["--on-error", "skip"], input.as_bytes())?;
        let ended = ended.expect(0).with_context(|| bad.to_owned())?;
        let out = String::from_utf8_lossy(&ended.stdout).into_owned();
        ensure!(out == "a\nb\nc\n", "{bad}: {out:?}");
        let ended = pass("misbehave", &[], input.as_bytes())?.expect(1).with_context(|| bad.to_owned())?;
        let out = String::from_utf8_lossy(&ended.stdout).into_owned();
        ensure!("a\nb\n".starts_with(&out), "{bad}: {out:?}");
    }
    Ok(())
}

/// How many records the log says were skipped, and in how many lines.
fn skipped(log: &str) -> (u64, usize) {
    let counted = |line: &str| {
        let (_, number) = line.split_once("records=")?;
        number.split_whitespace().next()?.parse::<u64>().ok()
    };
    let one_by_one = log.lines().filter(|line| line.contains("record skipped")).count();
    let together: Vec<u64> = log.lines().filter(|line| line.contains("records skipped")).filter_map(counted).collect();
    (one_by_one as u64 + together.iter().sum::<u64>(), one_by_one + together.len())
}

/// What the program used until the last record of `input`, which is `fine`, came out alone; and how it ended.
fn used(args: &[&str], input: &str) -> Result<(Usage, Ended)> {
    let mut host = Host::start(&[&["run", "--api", "off"][..], args].concat())?;
    let rest = host.feed(input.as_bytes())?;
    host.wait_until("the last record", PATIENCE, |host| Ok(host.output()? == b"fine\n"))?;
    let usage = host.usage()?;
    drop(rest);
    Ok((usage, host.wait(PATIENCE)?.expect(0)?))
}

/// A plugin whose code is kept already: what compiling takes is none of what is measured.
fn compiled(name: &str) -> Result<String> {
    let plugin = plugin(name)?;
    run(&["inspect", &plugin], PATIENCE)?.expect(0)?;
    Ok(plugin)
}

/// Records that are bad: what makes them so, how many there are, and the CPU time that one may take.
struct Bad {
    plugin: &'static str,
    config: &'static str,
    record: String,
    records: usize,
    cpu: Duration,
}

impl Bad {
    /// A run over `records` of these tells of each, in few lines.
    fn skip(&self, records: usize) -> Result<Usage> {
        let input = format!("{}\nfine\n", vec![self.record.as_str(); records].join("\n"));
        let plugin = compiled(self.plugin)?;
        let began = Instant::now();
        let (usage, ended) = used(&["--plugin", &plugin, "--on-error", "skip", "--config", self.config], &input)?;
        let seconds = began.elapsed().as_secs() as usize;
        let (told, lines) = skipped(&ended.stderr);
        ensure!(told == records as u64, "{told} of {records} were told; it said:\n{}", ended.stderr);
        ensure!(lines <= 12 + seconds, "{lines} lines in {seconds} s");
        let all = ended.stderr.lines().count();
        ensure!(all <= lines + 210 + 200 * seconds, "{all} lines in {seconds} s");
        Ok(usage)
    }
}

/// Bytes that ten times as many bad records may take more: nothing grows with them, but an allocator is not exact.
const RSS_MORE: u64 = 16 << 20;

#[test]
fn a_topic_of_bad_records_takes_little_time_little_memory_and_few_lines() -> Result<()> {
    let _machine = machine::shared();
    let long = |what: &str| format!("{what}{}", "x".repeat(500));
    let bad = |(plugin, config), record, records, micros| {
        let cpu = Duration::from_micros(micros);
        Bad { plugin, config, record, records, cpu }
    };
    // Rejected by the plugin itself; a failure that it returns; found by the host: bytes that are no frame, a trap. Each
    // may take some ten times of what it was measured to take.
    for bad in [
        bad(("misbehave", "open=ok"), long("fail"), 200_000, 10),
        bad(("malformed", "mode=failed"), long("bad"), 200_000, 10),
        bad(("malformed", "mode=truncated"), long("bad"), 20_000, 400),
        bad(("misbehave", "open=ok"), "boom".to_owned(), 20_000, 700),
    ] {
        let named = || format!("{} {} {:.9}", bad.plugin, bad.config, bad.record);
        let few = bad.skip(bad.records / 10).with_context(named)?;
        let many = bad.skip(bad.records).with_context(named)?;
        let cpu = many.cpu.saturating_sub(few.cpu) / (bad.records - bad.records / 10) as u32;
        ensure!(cpu <= bad.cpu, "{}: {cpu:?} of CPU for each, beyond {:?}", named(), bad.cpu);
        let (least, most) = (few.rss_bytes, many.rss_bytes);
        ensure!(most <= least + RSS_MORE, "{}: {most} bytes, and {least} for a tenth of it", named());
    }
    Ok(())
}

/// What is kept of a line is small, and nothing else of it is copied: it may be as large as the guest's memory.
#[test]
fn a_long_line_of_a_plugin_takes_no_memory_of_the_host() -> Result<()> {
    let _machine = machine::shared();
    let plugin = compiled("misbehave")?;
    // The text is made, and in the second run logged.
    let (made, _) = used(&["--plugin", &plugin], "murmur\nfine\n")?;
    let (logged, ended) = used(&["--plugin", &plugin], "shout\nfine\n")?;
    ended.says(&["aaaaaaaa"])?;
    let (made, logged) = (made.rss_bytes, logged.rss_bytes);
    ensure!(logged <= made + (12 << 20), "{logged} bytes, and {made} without the line");
    Ok(())
}

#[test]
fn a_plugin_of_ten_milliseconds_a_record_keeps_committing_and_stops_in_time() -> Result<()> {
    let _machine = machine::shared();
    for parallelism in ["1", "2"] {
        let scene = Scene::new("slow")?;
        // Minutes of work, all of which can be read at once.
        scene.fill(20_000, 100)?;
        let port = free_port()?;
        let api = format!("127.0.0.1:{port}");
        let more = ["--config", "turns=30000000", "--parallelism", parallelism, "--api", &api];
        let mut host = scene.start("misbehave", &more)?;
        host.wait_for_job(port, PATIENCE, |job| job["epoch"].as_u64() >= Some(6))?;
        let job = host::job(port)?;
        ensure!(job["restarts"] == 0, "{job}");
        host.signal(Signal::SIGTERM)?;
        host.wait(Duration::from_secs(12))?.expect(0)?;
        let records = read_all(scene.broker, &scene.output)?.len();
        ensure!((1..20_000).contains(&records), "{records} records");
    }
    Ok(())
}

#[test]
fn a_batch_that_a_barrier_cuts_comes_out_exactly_once_whatever_is_killed() -> Result<()> {
    let _machine = machine::shared();
    for parallelism in ["1", "2"] {
        let scene = Scene::new("cut")?;
        scene.fill(6_000, 50)?;
        let port = free_port()?;
        let api = format!("127.0.0.1:{port}");
        // A batch of 1,024 records takes some seconds, so every barrier comes in the middle of one.
        let more = ["--config", "turns=30000000", "--parallelism", parallelism, "--api", &api];
        let mut epoch = 0;
        for _ in 0..3 {
            let mut host = scene.start("misbehave", &more)?;
            host.wait_for_job(port, PATIENCE, |job| job["epoch"].as_u64() >= Some(epoch + 4))?;
            epoch = host::job(port)?["epoch"].as_u64().unwrap_or_default();
            host.kill()?;
        }
        let before = read_all(scene.broker, &scene.output)?.len();
        ensure!((1..6_000).contains(&before), "{before} records came out before the last start");
        scene.run("misbehave", &["--parallelism", parallelism])?.expect(0)?;
        let mut numbers = Vec::new();
        for record in read_all(scene.broker, &scene.output)? {
            let value = String::from_utf8(record.value.context("a tombstone")?)?;
            numbers.push(value.get(..12).context("a short value")?.parse::<u64>()?);
        }
        numbers.sort_unstable();
        ensure!(numbers == (0..6_000).collect::<Vec<_>>(), "{} records of 6,000", numbers.len());
    }
    Ok(())
}

#[test]
fn a_panic_is_told_with_its_message_and_place() -> Result<()> {
    let _machine = machine::shared();
    let ended = pass("misbehave", &[], b"boom\n")?.expect(1)?.says(&[
        "boom",
        "lib.rs",
        "  in <misbehave::Misbehave as weir_sdk::Operator>::process",
    ])?;
    for machinery in ["panicking", "rust_begin_unwind", "_RNv"] {
        ensure!(!ended.stderr.contains(machinery), "{machinery} in:\n{}", ended.stderr);
    }
    Ok(())
}

#[test]
fn malformed_frames_and_updates_are_refused() -> Result<()> {
    let _machine = machine::shared();
    let modes =
        ["truncated", "version", "trailing", "headers", "source", "output", "op", "table", "slot", "cut", "clear"]
            .into_iter()
            .chain(["rejected-and-emitted", "rejected-elsewhere"]);
    for mode in modes {
        let config = format!("mode={mode}");
        let ended = pass("malformed", &["--config", &config], b"good\nbad\n")?;
        ended.expect(1).with_context(|| mode.to_owned())?;
        let ended = pass("malformed", &["--config", &config, "--on-error", "skip"], b"good\nbad\nfine\n")?;
        let ended = ended.expect(0).with_context(|| mode.to_owned())?;
        let out = String::from_utf8_lossy(&ended.stdout).into_owned();
        ensure!(out == "good\nfine\n", "{mode}: {out:?}");
    }
    Ok(())
}

#[test]
fn a_null_key_fails_count_by_policy_and_is_named() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("null-key")?;
    let writer = Writer::new(scene.broker)?;
    for number in 0..100 {
        let key = format!("key-{}", number % 7);
        let record = BaseRecord::to(&scene.input).payload(&b"v"[..]).partition(0);
        writer.send(if number == 50 { record } else { record.key(key.as_bytes()) })?;
    }
    writer.flush()?;
    scene.run("count", &[])?.expect(1)?.says(&[&scene.input, "50"])?;
    scene.run("count", &["--on-error", "skip"])?.expect(0)?;
    ensure!(read_all(scene.broker, &scene.output)?.len() == 99, "a good record was lost or doubled");
    Ok(())
}

#[test]
fn a_trap_in_the_middle_leaves_the_state_of_the_others_exact() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("trap")?;
    let writer = Writer::new(scene.broker)?;
    for number in 0..3_000_u32 {
        let bad = number % 1_000 == 500;
        writer.write(&scene.input, format!("k{}", number % 5).as_bytes(), if bad { b"boom" } else { b"fine" })?;
    }
    writer.flush()?;
    scene.run("misbehave", &["--on-error", "skip"])?.expect(0)?;
    ensure!(read_all(scene.broker, &scene.output)?.len() == 2_997, "a good record was lost or doubled");
    Ok(())
}

#[test]
fn a_plugin_that_asks_is_told_where_a_record_was_read() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("origin")?;
    let writer = Writer::new(scene.broker)?;
    let mut wanted = Vec::new();
    for number in 0..40 {
        let (partition, offset) = (number % 4, number / 4);
        // What somebody else wrote under the names of the host is not believed.
        let forged = Header { key: "weir.origin.topic", value: Some("forged") };
        let record = BaseRecord::<[u8], [u8]>::to(&scene.input).payload(b"where").partition(partition);
        writer.send(record.headers(OwnedHeaders::new().insert(forged)))?;
        wanted.push(format!("{}[{partition}]@{offset}", scene.input));
    }
    writer.flush()?;
    scene.run("misbehave", &[])?.expect(0)?;
    let mut places = Vec::new();
    for record in read_all(scene.broker, &scene.output)? {
        places.push(String::from_utf8(record.value.context("a tombstone")?)?);
    }
    places.sort();
    wanted.sort();
    ensure!(places == wanted, "{places:?} instead of {wanted:?}");
    Ok(())
}
