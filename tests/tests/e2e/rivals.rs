//! Two instances at once: one works, undisturbed. State that does not belong, is corrupt or torn: refused, or mended
//! where that is certain.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use weir_tests::host::{self, Host};
use weir_tests::machine;
use weir_tests::reader::Observer;

use crate::scene::{PATIENCE, Scene};

/// One works at a low rate; a rival in `state` must leave with one of `codes` and say `words`.
fn rival(name: &str, other_directory: bool, codes: &[i32]) -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new(name)?;
    scene.fill(20_000, 500)?;
    let bounded = ["--until", "latest", "--max-rate", "800"];
    let mut owner = scene.start("count", &bounded)?;
    let output = Observer::new(scene.broker, &scene.output)?;
    owner.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 500))?;
    let other = TempDir::new()?;
    let state = if other_directory { other.path() } else { scene.state_dir() };
    let ended = host::run(&scene.args_in(state, "count", &bounded)?, PATIENCE)?;
    ensure!(codes.contains(&ended.code), "the rival's exit code is {}; it said:\n{}", ended.code, ended.stderr);
    if !other_directory {
        ended.says(&[&owner.id().to_string()])?;
    }
    let log = owner.log()?;
    ensure!(!owner.is_over()?, "the owner was disturbed: {log}");
    owner.wait(PATIENCE)?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn two_instances_on_one_directory() -> Result<()> {
    rival("one-directory", false, &[3])
}

#[test]
fn two_instances_on_two_directories() -> Result<()> {
    rival("two-directories", true, &[3, 4])
}

/// A scene whose job has counted 2,000 records.
fn counted(name: &str) -> Result<Scene<'static>> {
    let scene = Scene::new(name)?;
    scene.fill(2_000, 100)?;
    scene.run("count", &[])?.expect(0)?;
    Ok(scene)
}

/// The files of the epoch log, oldest first.
fn log_files(state: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(state.join("log"))? {
        found.push(entry?.path());
    }
    found.sort();
    ensure!(!found.is_empty(), "the epoch log has no file");
    Ok(found)
}

#[test]
fn a_state_directory_that_is_gone_is_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = counted("gone")?;
    let empty = TempDir::new()?;
    let args = scene.args_in(empty.path(), "count", &["--until", "latest"])?;
    host::run(&args, PATIENCE)?.expect(4)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_state_directory_of_another_job_or_format_or_of_no_weir_is_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = counted("format")?;
    let other = Scene::new("other")?;
    let args = other.args_in(scene.state_dir(), "count", &["--until", "latest"])?;
    host::run(&args, PATIENCE)?.expect(4)?.says(&[&scene.job])?;
    let format = scene.state_dir().join("FORMAT");
    let text = fs::read_to_string(&format)?;
    let (head, number) = text.split_once("version ").context("it has a version")?;
    fs::write(&format, format!("{head}version 99{}", number.trim_start_matches(|c: char| c.is_ascii_digit())))?;
    scene.run("count", &[])?.expect(4)?.says(&["99"])?;
    let home = TempDir::new()?;
    fs::write(home.path().join("thesis.doc"), "years of work")?;
    host::run(&other.args_in(home.path(), "count", &["--until", "latest"])?, PATIENCE)?
        .expect(4)?
        .says(&["thesis.doc"])?;
    ensure!(fs::read_dir(home.path())?.count() == 1, "it wrote to a directory that it refused");
    Ok(())
}

#[test]
fn a_log_that_is_corrupt_in_the_middle_is_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = counted("corrupt")?;
    let files = log_files(scene.state_dir())?;
    let file = files.first().context("there is a log")?;
    let mut bytes = fs::read(file)?;
    // Early in the file, so that good records come after it: no torn tail.
    let place = bytes.len() / 4;
    *bytes.get_mut(place).context("the log has bytes")? ^= 0x40;
    fs::write(file, bytes)?;
    scene.run("count", &[])?.expect(4)?;
    Ok(())
}

#[test]
fn a_torn_tail_of_the_log_is_cut_off() -> Result<()> {
    let _machine = machine::shared();
    let scene = counted("torn")?;
    let files = log_files(scene.state_dir())?;
    let mut tail = fs::OpenOptions::new().append(true).open(files.last().context("there is a log")?)?;
    tail.write_all(b"half a record that a crash left behind")?;
    scene.fill(2_000, 100)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_log_that_ends_before_what_was_committed_is_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = counted("short")?;
    let files = log_files(scene.state_dir())?;
    let file = fs::OpenOptions::new().write(true).open(files.last().context("there is a log")?)?;
    file.set_len(file.metadata()?.len() - 5)?;
    scene.run("count", &[])?.expect(4)?;
    Ok(())
}

#[test]
fn a_full_disk_stops_the_job_and_tears_nothing() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("full")?;
    scene.fill(60_000, 30_000)?;
    // No file may grow beyond 256 KiB; ignored, the signal becomes an error of the write.
    let script = r#"trap '' XFSZ; ulimit -f 512; exec "$0" "$@""#;
    let mut args = vec!["-c".to_owned(), script.to_owned(), host::program()?.display().to_string()];
    args.extend(scene.args("count", &["--until", "latest"])?);
    Host::start_program(Path::new("sh"), &args)?.wait(PATIENCE)?.expect(1)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}
