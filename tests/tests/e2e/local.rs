//! A plugin runs with nothing else installed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use weir_tests::host::{Host, checkout, get, plugin, program, run, run_with_input};
use weir_tests::machine;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn uppercase_from_stdin_to_stdout_twice() -> Result<()> {
    let _machine = machine::shared();
    let args = ["run".to_owned(), "--plugin".to_owned(), plugin("uppercase")?];
    for _ in 0..2 {
        let ended = run_with_input(&args, b"a\nb\n", PATIENCE)?.expect(0)?;
        ensure!(ended.stdout == b"A\nB\n", "{:?}", String::from_utf8_lossy(&ended.stdout));
    }
    Ok(())
}

#[test]
fn lines_that_are_not_utf_8_or_empty_or_without_an_end_pass() -> Result<()> {
    let _machine = machine::shared();
    let args = ["run".to_owned(), "--plugin".to_owned(), plugin("uppercase")?];
    let ended = run_with_input(&args, b"\xff\xfea\n\n\xc3\xa4b", PATIENCE)?.expect(0)?;
    ensure!(ended.stdout == b"\xff\xfeA\n\n\xc3\xa4B\n", "{:?}", ended.stdout);
    Ok(())
}

#[test]
fn a_large_input_comes_out_whole_and_in_order() -> Result<()> {
    let _machine = machine::shared();
    let args = ["run".to_owned(), "--plugin".to_owned(), plugin("uppercase")?];
    let input: String = (0..200_000).map(|number| format!("line {number}\n")).collect();
    let ended = run_with_input(&args, input.as_bytes(), PATIENCE)?.expect(0)?;
    ensure!(ended.stdout == input.to_ascii_uppercase().as_bytes(), "{} bytes came out", ended.stdout.len());
    Ok(())
}

#[test]
fn from_file_to_file() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let (from, to) = (home.path().join("in.txt"), home.path().join("out.txt"));
    std::fs::write(&from, "one\ntwo\n")?;
    let plugin = plugin("uppercase")?;
    let (source, sink) = (format!("file:{}", from.display()), format!("file:{}", to.display()));
    run(&["run", "--plugin", &plugin, "--from", &source, "--to", &sink], PATIENCE)?.expect(0)?;
    let out = std::fs::read_to_string(&to)?;
    ensure!(out == "ONE\nTWO\n", "{out:?}");
    Ok(())
}

/// The file of the job in `home`, and how it is run.
fn file_job(home: &TempDir) -> Result<Vec<String>> {
    let path = |name: &str| home.path().join(name).display().to_string();
    let (source, sink) = (format!("file:{}", path("in")), format!("file:{}", path("out")));
    let plugin = plugin("uppercase")?;
    let args = ["run", "--plugin", &plugin, "--from", &source, "--to", &sink, "--job", "lines", "--api", "off"];
    Ok(args.map(str::to_owned).into_iter().chain(["--state-dir".to_owned(), path("state")]).collect())
}

#[test]
fn another_file_of_the_same_name_is_refused() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let (args, path) = (file_job(&home)?, |name: &str| home.path().join(name));
    std::fs::write(path("in"), "2026-01-01 a\n2026-01-01 b\n")?;
    run(&args, PATIENCE)?.expect(0)?;
    // Larger, of the same size, and cut and filled again.
    for content in ["2026-01-02 c\n2026-01-02 d\n2026-01-02 e\n", "2026-01-02 c\n2026-01-02 d\n"] {
        std::fs::write(path("new"), content)?;
        std::fs::rename(path("new"), path("in"))?;
        run(&args, PATIENCE)?.expect(4)?.says(&["has changed", "another file of that name", "start a new job"])?;
        std::fs::write(path("in"), content)?;
        run(&args, PATIENCE)?.expect(4)?.says(&["has changed"])?;
    }
    // The file itself is taken, copied back and with more in it.
    std::fs::write(path("new"), "2026-01-01 a\n2026-01-01 b\n2026-01-03 f\n")?;
    std::fs::rename(path("new"), path("in"))?;
    run(&args, PATIENCE)?.expect(0)?;
    let out = std::fs::read_to_string(path("out"))?;
    ensure!(out == "2026-01-01 A\n2026-01-01 B\n2026-01-03 F\n", "{out:?}");
    Ok(())
}

#[test]
fn a_last_line_that_is_ended_later_goes_on() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let (args, path) = (file_job(&home)?, |name: &str| home.path().join(name));
    for (content, wanted) in [("a\nb", "A\nB\n"), ("a\nb\nc", "A\nB\nC\n"), ("a\nb\ncc\nd\n", "A\nB\nC\nCC\nD\n")] {
        std::fs::write(path("in"), content)?;
        run(&args, PATIENCE)?.expect(0)?;
        let out = std::fs::read_to_string(path("out"))?;
        ensure!(out == wanted, "{content:?}: {out:?}");
    }
    Ok(())
}

#[test]
fn a_job_never_writes_what_it_reads() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let path = |name: &str| home.path().join(name).display().to_string();
    std::fs::write(path("in"), "a\n")?;
    std::fs::hard_link(path("in"), path("hard"))?;
    std::os::unix::fs::symlink("in", path("soft"))?;
    let plugin = plugin("uppercase")?;
    for to in [path("./in"), path("hard"), path("soft")] {
        let args =
            ["run", "--plugin", &plugin, "--from", &format!("file:{}", path("in")), "--to", &format!("file:{to}")];
        run(&args, PATIENCE)?
            .expect(2)?
            .says(&["error: --to conflicts with --from: the job would read its own output"])?;
    }
    // By redirection.
    for redirected in ["--from - --to file:in <in", "--from file:in --to - >>in", "<in >>in", "--to file:hard <soft"] {
        let script = format!(
            "cd {} && {} run --api off --plugin {plugin} {redirected}",
            home.path().display(),
            program()?.display()
        );
        let ended = Host::start_program(Path::new("sh"), &["-c", &script])?.wait(PATIENCE)?;
        ended.expect(2)?.says(&["read its own output"]).with_context(|| redirected.to_owned())?;
    }
    ensure!(std::fs::read_to_string(path("in"))? == "a\n");
    Ok(())
}

#[test]
fn a_job_never_writes_over_what_it_is_made_of() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let path = |name: &str| home.path().join(name).display().to_string();
    std::fs::copy(plugin("uppercase")?, path("p.wasm"))?;
    let file = "version = 1\n[sources.s]\nstdin = {}\n[operators.o]\nplugin = 'p.wasm'\ninputs = ['s']\n\
        [sinks.k]\ninputs = ['o']\nstdout = {}\n";
    std::fs::write(path("p.toml"), file)?;
    for to in ["./p.wasm", "./p.toml"] {
        let args = ["run", &path("p.toml"), "--api", "off", "--to", &format!("file:{}", path(to))];
        run(&args, PATIENCE)?.expect(2)?.says(&["sinks.k (--to) conflicts with", "written into that file"])?;
    }
    Ok(())
}

#[test]
fn no_output_vanishes_without_a_word() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let path = |name: &str| home.path().join(name);
    let (plugin, side) = (plugin("misbehave")?, format!("side=file:{}", path("side").display()));
    let input = b"a\nside\nb\nside\n";
    let silent = "nothing reads this output: its records are dropped";
    let pass = |to: &[&str]| {
        let to = to.iter().flat_map(|to| ["--to", to]);
        let args: Vec<&str> = ["run", "--plugin", &plugin, "--api", "off"].into_iter().chain(to).collect();
        run_with_input(&args, input, PATIENCE)
    };
    let ended = pass(&[])?.expect(0)?.says(&[silent, "output=side", "give --to side=ADDR"])?;
    ensure!(ended.stdout == b"a\nb\n" && ended.stderr.matches(silent).count() == 1, "{}", ended.stderr);
    let ended = pass(&["-", &side])?.expect(0)?;
    ensure!(ended.stdout == b"a\nb\n" && !ended.stderr.contains(silent), "{}", ended.stderr);
    ensure!(std::fs::read(path("side"))? == b"side\nside\n", "the side output's own file");
    let ended = pass(&["main=-?format=json", &side])?.expect(0)?;
    // The plugin asks for origins, which a line of JSON shows as it does all headers.
    let json = String::from_utf8(ended.stdout)?;
    ensure!(json.starts_with("{\"key\":null,\"value\":\"a\",\"headers\":{\"weir.origin.topic\":\"stdin\","), "{json}");
    ensure!(!ended.stderr.contains(silent), "{}", ended.stderr);
    let ended = pass(&[&side])?.expect(0)?.says(&[silent, "output=main", "give --to ADDR"])?;
    ensure!(ended.stdout.is_empty(), "{:?}", ended.stdout);
    let checked = run(&["validate", "--plugin", &plugin], PATIENCE)?.expect(0)?;
    let plan = String::from_utf8(checked.stdout)?;
    ensure!(plan.contains("warning: output side of ") && plan.contains(silent), "{plan}");
    let wanted = ["--to sied=ADDR: operator", "has no output named \"sied\"", "did you mean \"side\"?"];
    pass(&["sied=-"])?.expect(2)?.says(&wanted)?;
    run(&["validate", "--plugin", &plugin, "--to", "sied=-"], PATIENCE)?.expect(2)?.says(&wanted)?;
    Ok(())
}

#[test]
fn the_records_that_nobody_reads_are_counted() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let port = weir_tests::broker::free_port()?;
    let (plugin, api) = (plugin("misbehave")?, format!("127.0.0.1:{port}"));
    let path = home.path().join("none").display().to_string();
    // Nothing that a generator makes goes to the side.
    let from = "generate:sequence?rate=500";
    let args = ["run", "--plugin", &plugin, "--from", from, "--to", &format!("side=file:{path}"), "--api", &api];
    let mut host = Host::start(&args)?;
    host.wait_until("counted records", PATIENCE, |_| {
        let metrics = get(port, "/metrics").unwrap_or_default();
        let line = metrics.lines().find(|line| line.starts_with("weir_operator_unread_records_total{"));
        Ok(line.is_some_and(|line| line.contains("output=\"main\"") && !line.ends_with(" 0")))
    })?;
    host.kill()
}

#[test]
fn the_settings_of_a_generator_have_ends() -> Result<()> {
    let _machine = machine::shared();
    let plugin = plugin("uppercase")?;
    let pass = |from: &str| run(&["run", "--plugin", &plugin, "--from", from, "--api", "off"], PATIENCE);
    for (from, lines, bytes) in [
        ("generate:sequence?count=2&bytes=70000", 2, 140_002),
        ("generate:sequence?count=0", 0, 0),
        ("generate:clicks?count=1&bytes=70000&keys=18446744073709551615&rate=18446744073709551615", 1, 70_001),
    ] {
        let ended = pass(from)?.expect(0)?;
        let found = (ended.stdout.iter().filter(|byte| **byte == b'\n').count(), ended.stdout.len());
        ensure!(found == (lines, bytes), "{from}: {found:?}");
    }
    pass("generate:sequence?bytes=4294967295")?.expect(2)?.says(&["bytes is at most 67108864"])?;
    pass("generate:sequence?count=18446744073709551615")?.expect(2)?.says(&["count is at most"])?;
    let given = ["nexmark has rate and count, and no keys", "and no bytes"];
    pass("generate:nexmark?keys=3&bytes=9")?.expect(2)?.says(&given)?;
    Ok(())
}

#[test]
fn inspect_says_what_a_plugin_is() -> Result<()> {
    let _machine = machine::shared();
    let ended = run(&["inspect", &plugin("count")?], PATIENCE)?.expect(0)?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    for word in ["count", "0.1.0", "weir:operator", "count"] {
        ensure!(said.contains(word), "it does not say {word:?}, but:\n{said}");
    }
    Ok(())
}

/// Every on-disk format at once, as an earlier build wrote it: 410 records counted, the last ones only in the log.
#[test]
fn a_savepoint_of_an_earlier_build_goes_on_where_it_was() -> Result<()> {
    let _machine = machine::shared();
    let golden = checkout().join("host/crates/state/tests/golden/savepoint").display().to_string();
    let mut counts = [64, 64, 65, 65, 64, 44, 44];
    let mut expected = String::new();
    for key in (410..1000).map(|offset| offset % 7) {
        let count = counts.get_mut(key).context("one of seven keys")?;
        *count += 1;
        expected.push_str(&format!("{count}\n"));
    }
    // Under its own name, and as the beginning of another job.
    for job in ["golden", "another"] {
        let home = TempDir::new()?;
        let state = home.path().join("state").display().to_string();
        let plugin = plugin("count")?;
        let mut args =
            vec!["run", "--plugin", &plugin, "--from", "generate:sequence?keys=7&count=1000", "--api", "off"];
        args.extend(["--job", job, "--state-dir", &state, "--from-savepoint", &golden]);
        let ended = run(&args, PATIENCE)?.expect(0)?;
        ensure!(ended.stdout == expected.as_bytes(), "job {job}: {:?}", String::from_utf8_lossy(&ended.stdout));
    }
    Ok(())
}
