//! What a user types and sees first: help, plans and refusals word by word, and the README's commands.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{Host, checkout, plugin, program, sibling};
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
        let runs: usize =
            command.split("RUNS=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("1").parse()?;
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
    topics::fill(&Writer::new(&broker)?, "clicks", 1_000, 50, 100)?;
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
