//! What a user types and sees first: help, plans and refusals word by word, and the README's commands.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use serde_json::Value;
use tempfile::TempDir;
use weir_tests::broker::{Broker, free_port};
use weir_tests::host::{Host, checkout, job, plugin, program, run, sibling};
use weir_tests::topics::{self, Writer};

const PATIENCE: Duration = Duration::from_secs(60);

/// `TRYCMD=overwrite` writes what the program says now into `tests/cli`. A backslash in it is a slash there.
#[test]
fn the_program_says_what_the_snapshots_hold() -> Result<()> {
    let cases = trycmd::TestCases::new();
    cases.register_bin("host", program()?).env("COLUMNS", "100").env("NO_COLOR", "1").env("WEIR_LOG", "error");
    cases.timeout(PATIENCE).case("cli/*.trycmd").run();
    Ok(())
}

/// The shell block of `document` under the heading `heading`.
fn block(document: &str, heading: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(checkout().join(document))?;
    let section = text.split("\n## ").find(|section| section.lines().next() == Some(heading));
    let section = section.with_context(|| format!("{document} has no section {heading:?}"))?;
    let block = section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    let block = block.with_context(|| format!("section {heading:?} has no shell block"))?;
    Ok(block.lines().map(str::to_owned).collect())
}

/// A folder that looks as `make build` leaves the checkout, with nothing else in it.
fn as_built() -> Result<TempDir> {
    let home = TempDir::new()?;
    let target = home.path().join("target");
    std::fs::create_dir_all(target.join("release"))?;
    symlink(program()?.canonicalize()?, target.join("release/host"))?;
    let plugins = PathBuf::from(plugin("count")?).parent().context("a plugin has a folder")?.canonicalize()?;
    symlink(plugins, target.join("plugins"))?;
    Ok(home)
}

#[test]
fn the_readme_without_kafka_works_as_written() -> Result<()> {
    let lines = block("README.md", "Without Kafka")?;
    let (build, commands) = lines.split_first().context("the block is empty")?;
    // Whoever runs this test has done that.
    ensure!(build == "make build", "the block begins with {build:?}");
    let home = as_built()?;
    let mut said = Vec::new();
    for command in commands {
        let script = format!("cd {} && {command}", home.path().display());
        let ended = Host::start_program(Path::new("sh"), &["-c", &script])?.wait(PATIENCE)?;
        let ended = ended.expect(0).with_context(|| command.clone())?;
        said.push(String::from_utf8(ended.stdout)?);
    }
    let [upper, keyed, counted, inspected] = &said[..] else {
        anyhow::bail!("the block has {} commands, of which this test knows four", said.len());
    };
    ensure!(upper == "A\nB\n", "{upper:?}");
    ensure!(keyed == "a\t1\nb\t1\na\t2\n", "{keyed:?}");
    ensure!(counted == "1\n1\n2\n2\n3\n", "{counted:?}");
    ensure!(inspected.contains("count") && inspected.contains("weir:operator"), "{inspected:?}");
    Ok(())
}

/// What `make` would run; its last line is the torture. That is run, but for what it would do to a job.
#[test]
fn the_torture_takes_its_commands_as_written() -> Result<()> {
    for command in block("host/docs/reliability.md", "To repeat it")? {
        let script = format!("cd {} && {command} --dry-run --no-print-directory", checkout().display());
        let dry = Host::start_program(Path::new("sh"), &["-c", &script])?.wait(PATIENCE)?.expect(0)?;
        let dry = String::from_utf8(dry.stdout)?;
        let mut words = dry.lines().last().context("make says nothing")?.split_whitespace();
        ensure!(words.next().is_some_and(|program| program.ends_with("/torture")), "{command} ends with:\n{dry}");
        let args: Vec<&str> = words.chain(["--show"]).collect();
        let shown = Host::start_program(&sibling("torture")?, &args)?.wait(PATIENCE)?.expect(0)?;
        let given = |name: &str| command.split(name).nth(1).and_then(|rest| rest.split(' ').next());
        let seeds = given("SEED=").map_or(1, |seeds| seeds.split(',').count());
        let runs: usize = given("RUNS=").map_or(Ok(seeds), str::parse)?;
        let shown = String::from_utf8(shown.stdout)?;
        ensure!(shown.lines().count() == runs, "{command}: {} schedules", shown.lines().count());
    }
    Ok(())
}

/// The lines of all shell blocks of a document, in order.
fn shell_lines(document: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(checkout().join(document))?;
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines: Vec<String> = blocks.flat_map(str::lines).map(str::to_owned).collect();
    ensure!(!lines.is_empty(), "{document} has no command");
    Ok(lines)
}

/// One story on one job: its state, its move, its end. A comment says which code a line exits with, if it is not 0.
#[test]
fn the_commands_of_the_operations_page_work_as_written() -> Result<()> {
    let broker = Broker::start_own()?;
    for topic in ["clicks", "counts"] {
        topics::create(&broker, topic, 2, &[])?;
    }
    let writer = Writer::new(&broker)?;
    topics::fill(&writer, "clicks", 1_000, 50, 100)?;
    topics::create(&broker, "clicks-dlq", 1, &[])?;
    let letter = [("of", "record"), ("topic", "clicks"), ("partition", "1"), ("kind", "trap")];
    let headers = letter.into_iter().fold(OwnedHeaders::new(), |headers, (name, text)| {
        headers.insert(Header { key: &format!("weir.dead-letter.{name}"), value: Some(text) })
    });
    writer.send(BaseRecord::to("clicks-dlq").key(&b"key"[..]).payload(&b"value"[..]).headers(headers))?;
    writer.flush()?;
    let home = as_built()?;
    symlink(PathBuf::from(plugin("count")?).canonicalize()?, home.path().join("count.wasm"))?;
    let job =
        "host run --plugin count.wasm --brokers localhost:9092 --from clicks --to counts --job orders --until latest";
    for line in [vec![job.to_owned()], shell_lines("host/docs/operations.md")?].concat() {
        let (command, code) = line.split_once("# exits ").unwrap_or((&line, "0"));
        let command = command.replace("localhost:9092", broker.bootstrap());
        let script = format!("cd {} && PATH=$PWD/target/release:$PATH && {command}", home.path().display());
        let ended = Host::start_program(Path::new("sh"), &["-c", &script])?.wait(PATIENCE)?;
        ended.expect(code.trim().parse()?).with_context(|| line.clone())?;
    }
    Ok(())
}

/// The examples beside what `make build` leaves.
fn with_examples() -> Result<TempDir> {
    let home = as_built()?;
    let examples = home.path().join("examples");
    std::fs::create_dir(&examples)?;
    for entry in std::fs::read_dir(checkout().join("examples"))? {
        let file = entry?.path();
        std::fs::copy(&file, examples.join(file.file_name().context("a file has a name")?))?;
    }
    Ok(home)
}

/// The counts of each key in lines of `KEY<TAB>COUNT`, in their order.
fn by_key(lines: &str) -> Result<BTreeMap<String, Vec<u64>>> {
    let mut counts = BTreeMap::<String, Vec<u64>>::new();
    for line in lines.lines() {
        let (key, count) = line.split_once('\t').with_context(|| format!("{line:?} is no line of key and value"))?;
        counts.entry(key.to_owned()).or_default().push(count.parse()?);
    }
    Ok(counts)
}

#[test]
fn every_example_runs_to_its_end() -> Result<()> {
    let home = with_examples()?;
    let names: Vec<_> = std::fs::read_dir(home.path().join("examples"))?
        .map(|entry| entry?.file_name().into_string().map_err(|name| anyhow::anyhow!("{name:?}")))
        .filter(|name: &Result<String>| name.as_ref().is_ok_and(|name| name.ends_with(".toml")))
        .collect::<Result<_>>()?;
    ensure!(!names.is_empty(), "the folder has pipelines");
    for name in names {
        let script = format!("cd {} && target/release/host run examples/{name} --api off", home.path().display());
        let ended = Host::start_program(Path::new("sh"), &["-c", &script])?.wait(PATIENCE)?;
        ended.expect(0).with_context(|| name)?;
    }
    Ok(())
}

#[test]
fn the_example_with_two_sources_is_exact() -> Result<()> {
    let home = with_examples()?;
    let script = format!("cd {} && target/release/host run examples/two-sources.toml --api off", home.path().display());
    let ended = Host::start_program(Path::new("sh"), &["-c", &script])?.wait(PATIENCE)?.expect(0)?;
    let counts = by_key(&std::fs::read_to_string(home.path().join("target/two-sources.counts"))?)?;
    // Keys 0 to 9 a hundred times from the one source, 0 to 3 a hundred and fifty times more from the other.
    let total = |key: u64| if key < 4 { 250 } else { 100 };
    let all =
        |step: u64| (0..10).map(move |key| (key.to_string(), (1..=total(key) / step).map(|n| n * step).collect()));
    let wanted: BTreeMap<String, Vec<u64>> = all(1).collect();
    ensure!(counts == wanted, "counts: {counts:?}");
    let milestones = by_key(&String::from_utf8(ended.stdout)?)?;
    ensure!(milestones == all(50).collect(), "milestones: {milestones:?}");
    Ok(())
}

#[test]
fn the_example_with_a_join_finds_the_prices_of_the_time() -> Result<()> {
    let home = with_examples()?;
    let script = format!("cd {} && target/release/host run examples/join.toml --api off", home.path().display());
    let ended = Host::start_program(Path::new("sh"), &["-c", &script])?.wait(PATIENCE)?.expect(0)?;
    let text = String::from_utf8(ended.stdout)?;
    let mut seen: Vec<&str> = text.lines().collect();
    seen.sort_unstable();
    let wanted = ["cup\t2\t7.00", "cup\t3\t7.00", "cup\t5\t7.50", "hat\t1\t21.50", "pen\t9\t"];
    ensure!(seen == wanted, "{seen:?}");
    Ok(())
}

#[test]
fn the_example_with_sessions_has_an_output_for_what_is_late() -> Result<()> {
    let home = with_examples()?;
    let script = format!("cd {} && target/release/host run examples/visits.toml --api off", home.path().display());
    let ended = Host::start_program(Path::new("sh"), &["-c", &script])?.wait(PATIENCE)?.expect(0)?;
    let text = String::from_utf8(ended.stdout)?;
    let seen: Vec<&str> = text.lines().collect();
    let visit = |key: &str, first: u32, last: u32, rest: &str| {
        format!(
            "{key}\t{},{},{rest}",
            1_700_000_000_000_u64 + u64::from(first),
            1_700_000_000_000_u64 + u64::from(last)
        )
    };
    let wanted = [
        visit("bob", 5_000, 5_000, "1,/about,/about"),
        visit("ada", 1_000, 45_000, "4,/,/checkout"),
        visit("cat", 60_100, 165_000, "1050,/1,/1050"),
        visit("ada", 166_000, 166_000, "1,/again,/again"),
    ];
    ensure!(seen == wanted, "{seen:?}");
    let late = std::fs::read_to_string(home.path().join("target/visits.late"))?;
    let late: Vec<Value> = late.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(matches!(&late[..], [one] if one["value"] == "/late"), "{late:?}");
    Ok(())
}

#[test]
fn the_example_of_a_benchmark_ranks_each_window() -> Result<()> {
    let home = with_examples()?;
    let script = format!("cd {} && target/release/host run examples/nexmark-q5.toml --api off", home.path().display());
    let ended = Host::start_program(Path::new("sh"), &["-c", &script])?.wait(PATIENCE)?.expect(0)?;
    let text = String::from_utf8(ended.stdout)?;
    let mut bids = BTreeMap::<u64, Vec<u64>>::new();
    for line in text.lines() {
        let (window, most) = line.split_once('\t').with_context(|| format!("{line:?} has no key"))?;
        let (count, auction) = most.split_once(' ').with_context(|| format!("{line:?} has no auction"))?;
        ensure!(auction.parse::<u64>()? >= 1_000, "no auction has the number of {line:?}");
        bids.entry(window.parse()?).or_default().push(count.parse()?);
    }
    // Twenty seconds of events, from the first window that holds any to the last.
    let begin = 1_760_000_000_000;
    let windows: Vec<u64> = (begin - 8_000..=begin + 20_000).step_by(2_000).collect();
    ensure!(bids.keys().copied().eq(windows), "{text}");
    let are_equal = |counts: &Vec<u64>| counts.iter().all(|count| Some(count) == counts.first());
    ensure!(bids.values().all(are_equal), "{text}");
    Ok(())
}

/// The pipeline of the example without an end, with a second operator that shares the threads of the first.
fn endless(home: &Path) -> Result<PathBuf> {
    let text = std::fs::read_to_string(home.join("examples/two-sources.toml"))?;
    let more =
        "[operators.upper]\nplugin = \"../target/plugins/uppercase.wasm\"\ninputs = [\"count\"]\nparallelism = 2\n";
    let text = text.replace("count = 1000", "rate = 50").replace("count = 600", "rate = 50");
    let text = text.replace("[\"count\"]", "[\"upper\"]") + more;
    let path = home.join("examples/endless.toml");
    std::fs::write(&path, text)?;
    Ok(path)
}

/// The names of the threads of a process that are the engine's, as far as Linux shows them.
fn threads(process: u32) -> Result<Vec<String>> {
    // What every job has beside its tasks.
    let others = ["weir-api", "weir-log", "weir-signals", "weir-stderr", "weir-ticker", "weir-progress", "weir-stdin"];
    let mut names = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile.
        let name = std::fs::read_to_string(task?.path().join("comm")).unwrap_or_default().trim().to_owned();
        if name.starts_with("weir-") && !others.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[test]
fn what_validate_prints_is_what_is_started() -> Result<()> {
    let home = with_examples()?;
    let path = endless(home.path())?.display().to_string();
    let printed = run(&["validate", &path, "--json"], PATIENCE)?.expect(0)?;
    let printed: Value = serde_json::from_slice(&printed.stdout)?;
    let tasks = printed["tasks"].as_array().context("a plan has tasks")?;
    let thread = |task: &Value| task["thread"].as_str().map(|name| name.chars().take(15).collect::<String>());
    let mut wanted: Vec<String> = tasks.iter().filter_map(thread).collect();
    wanted.sort_unstable();
    // Two sources, two tasks of both operators, and the sinks.
    ensure!(wanted.len() == 5, "{wanted:?}");
    let port = free_port()?;
    let mut host = Host::start(&["run", &path, "--api", &format!("127.0.0.1:{port}")])?;
    host.wait_for_job(port, PATIENCE, |job| job["state"] == "running")?;
    host.wait_until("its threads to be those of the plan", PATIENCE, |host| Ok(threads(host.id())? == wanted))?;
    let shown = &job(port)?["plan"];
    ensure!(shown["tasks"] == printed["tasks"] && shown["edges"] == printed["edges"], "{shown}");
    host.signal(Signal::SIGTERM)?;
    host.wait(PATIENCE)?.expect(0)?;
    Ok(())
}

#[test]
fn what_changed_since_the_last_epoch_is_said_at_the_start() -> Result<()> {
    let home = TempDir::new()?;
    let plugin = plugin("count")?;
    let state = home.path().join("state").display().to_string();
    let again = |count: &str, more: &[&str]| {
        let from = format!("generate:sequence?count={count}");
        let args =
            ["run", "--plugin", &plugin, "--from", &from, "--job", "grows", "--state-dir", &state, "--api", "off"];
        run(&[&args[..], more].concat(), PATIENCE)?.expect(0)
    };
    let first = again("10", &[])?;
    ensure!(!first.stderr.contains("has changed"), "{}", first.stderr);
    let same = again("20", &[])?.says(&["restored"])?;
    ensure!(!same.stderr.contains("has changed"), "{}", same.stderr);
    again("30", &["--parallelism", "3"])?
        .says(&["the pipeline has changed since changes=\"operator has 3 tasks instead of 1\""])?;
    Ok(())
}
