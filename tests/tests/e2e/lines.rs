//! What a line says of a record, on a terminal and in files.

use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::producer::BaseRecord;
use tempfile::TempDir;
use weir_tests::host::{plugin, run, run_with_input};
use weir_tests::machine;
use weir_tests::topics::Writer;

use crate::scene::Scene;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn count_counts_on_a_terminal() -> Result<()> {
    let _machine = machine::shared();
    let plugin = plugin("count")?;
    for (from, to, input, wanted) in [
        ("-?format=key-value", "-?format=key-value", "a\t1\nb\t1\na\t1\n", "a\t1\nb\t1\na\t2\n"),
        ("-?format=key-value&separator=:", "-", "a:1\nb:x:y\na:\n", "1\n1\n2\n"),
        (
            "-?format=json",
            "-?format=json",
            "{\"key\":\"a\",\"value\":1}\n{\"value\":{\"n\":1},\"key\":\"a\",\"timestamp\":5,\"headers\":{\"h\":\"x\"}}\n",
            "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"a\",\"value\":\"2\",\"timestamp\":5,\"headers\":{\"h\":\"x\"}}\n",
        ),
    ] {
        let args = ["run", "--plugin", &plugin, "--from", from, "--to", to, "--api", "off"];
        let ended = run_with_input(&args, input.as_bytes(), PATIENCE)?.expect(0)?;
        ensure!(ended.stdout == wanted.as_bytes(), "{from}: {:?}", String::from_utf8_lossy(&ended.stdout));
    }
    for (from, input, wanted) in [
        (
            "-?format=key-value",
            "a\t1\nb 1\n",
            "has no form of a record: line 2 of stdin: format=key-value wants KEY\"\\t\"VALUE",
        ),
        (
            "-?format=json",
            "{\"user\":1}\n",
            "has no form of a record: line 1 of stdin: there is no \"user\" in a record",
        ),
    ] {
        let args = ["run", "--plugin", &plugin, "--from", from, "--api", "off"];
        run_with_input(&args, input.as_bytes(), PATIENCE)?.expect(1)?.says(&[wanted])?;
    }
    Ok(())
}

#[test]
fn lines_without_keys_are_told_of_before_they_fail() -> Result<()> {
    let _machine = machine::shared();
    let wanted = "operator keeps state by key, and lines that are values have none";
    let plugin = plugin("count")?;
    run_with_input(&["run", "--plugin", &plugin, "--api", "off"], b"a\n", PATIENCE)?.expect(1)?.says(&[wanted])?;
    let checked = run(&["validate", "--plugin", &plugin], PATIENCE)?.expect(0)?;
    ensure!(String::from_utf8_lossy(&checked.stdout).contains(&format!("warning: {wanted}")));
    Ok(())
}

#[test]
fn lines_of_files_have_formats_too() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let path = |name: &str| home.path().join(name);
    std::fs::write(path("in"), "a=1\nb=2\n")?;
    std::fs::copy(plugin("uppercase")?, path("p.wasm"))?;
    let file = "version = 1\n[sources.s]\nfile = { path = 'in', format = 'key-value', separator = '=' }\n\
        [operators.o]\nplugin = 'p.wasm'\ninputs = ['s']\n\
        [sinks.k]\ninputs = ['o']\nfile = { path = 'out?', format = 'json' }\n";
    std::fs::write(path("p.toml"), file)?;
    run(&["run", &path("p.toml").display().to_string(), "--api", "off"], PATIENCE)?.expect(0)?;
    let out = std::fs::read_to_string(path("out?"))?;
    ensure!(out == "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n", "{out:?}");
    // A path with a question mark of its own, by a flag.
    let (plugin, from) = (plugin("uppercase")?, format!("file:{}?", path("out?").display()));
    let ended = run(&["run", "--plugin", &plugin, "--from", &from, "--api", "off"], PATIENCE)?.expect(0)?;
    ensure!(ended.stdout == out.to_ascii_uppercase().as_bytes(), "{:?}", String::from_utf8_lossy(&ended.stdout));
    Ok(())
}

#[test]
fn lines_that_are_no_records_are_left_out_by_policy() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let (plugin, path) = (plugin("count")?, home.path().join("in"));
    let input = "a:1\nbad\na:2\nworse\n";
    std::fs::write(&path, input)?;
    for from in
        ["-?format=key-value&separator=:".to_owned(), format!("file:{}?format=key-value&separator=:", path.display())]
    {
        let args = ["run", "--plugin", &plugin, "--from", &from, "--to", "-?format=key-value", "--api", "off"];
        let skipping = [&args[..], &["--on-error", "skip"]].concat();
        let ended = run_with_input(&skipping, input.as_bytes(), PATIENCE)?.expect(0)?;
        ensure!(ended.stdout == b"a\t1\na\t2\n", "{:?}", String::from_utf8_lossy(&ended.stdout));
        ended.says(&["record dropped", "format=key-value wants KEY"])?;
        let ended = run_with_input(&args, input.as_bytes(), PATIENCE)?.expect(1)?;
        ended.says(&["it can be dropped with --on-error skip"])?;
    }
    Ok(())
}

#[test]
fn a_record_that_no_line_holds_is_named_and_goes_by_policy() -> Result<()> {
    let _machine = machine::shared();
    for (more, code) in [(&["--on-error", "skip"][..], 0), (&[], 1)] {
        let scene = Scene::new("no-line")?;
        let home = TempDir::new()?;
        let path = home.path().join("out");
        let writer = Writer::new(scene.broker)?;
        for (key, value) in [(&b"a"[..], &b"x"[..]), (b"b\tc", b"y"), (b"d", b"z")] {
            writer.send(BaseRecord::to(&scene.input).partition(0).key(key).payload(value))?;
        }
        writer.flush()?;
        let output = format!("file:{}?format=key-value", path.display());
        let scene = Scene { output, ..scene };
        let record = format!("{}[0] offset 1", scene.input);
        let ended = scene.run("uppercase", more)?.expect(code)?;
        ended.says(&[&record, "the key holds the separator", &path.display().to_string()])?;
        let lines = std::fs::read_to_string(&path)?;
        let wanted = if code == 0 { lines == "a\tX\nd\tZ\n" } else { "a\tX\n".starts_with(&lines) };
        ensure!(wanted, "exit {code}: {lines:?}");
    }
    Ok(())
}
