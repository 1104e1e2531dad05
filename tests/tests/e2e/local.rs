//! A plugin runs with nothing else installed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use weir_tests::host::{checkout, plugin, run, run_with_input};
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
