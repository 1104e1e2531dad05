//! The directory: lock, format, refusals.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use weir_core::{Epoch, Fault, JobName, ShardId};
use weir_state::{Error, StateDir};

use crate::{child_dir, golden, job, open};

#[test]
fn a_new_directory_is_made_with_its_parents() {
    let temp = tempfile::tempdir().expect("temp dir");
    let path = temp.path().join("a/b/c");
    let dir = open(&path).expect("opens");
    assert!(dir.is_empty());
    let format = fs::read(path.join("FORMAT")).expect("FORMAT");
    assert_eq!(format, fs::read(golden("FORMAT")).expect("golden"));
    assert_eq!(fs::read_to_string(path.join("LOCK")).expect("LOCK").trim(), std::process::id().to_string());
}

#[test]
fn a_directory_with_a_record_is_no_first_start() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    dir.log().expect("log").append(Epoch(1), b"manifest", &[], true).expect("appends");
    drop(dir);
    assert!(!open(temp.path()).expect("opens again").is_empty());
}

fn check_refused(prepare: impl FnOnce(&Path), fault: Fault, message: &str) {
    let temp = tempfile::tempdir().expect("temp dir");
    prepare(temp.path());
    let before = fs::read_dir(temp.path()).expect("lists").count();
    let error = open(temp.path()).expect_err("is refused");
    assert_eq!(error.fault(), fault);
    assert!(error.to_string().contains(message), "{error} does not contain {message:?}");
    let added = fs::read_dir(temp.path()).expect("lists").count() - before;
    assert!(added <= usize::from(temp.path().join("FORMAT").exists()), "at most LOCK beside a FORMAT of ours");
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let format = |text: &'static str| move |dir: &Path| fs::write(dir.join("FORMAT"), text).expect("writes");
    let other_job = |dir: &Path| {
        StateDir::open(dir, &JobName::new("clicks").expect("legal"), ShardId(0)).expect("opens");
    };
    let other_shard = |dir: &Path| {
        StateDir::open(dir, &job(), ShardId(3)).expect("opens");
    };
    let homework = |dir: &Path| fs::write(dir.join("thesis.tex"), "").expect("writes");
    check_refused(
        homework,
        Fault::Corrupt,
        "is not a Weir state directory: it has no FORMAT file but holds \"thesis.tex\"",
    );
    check_refused(other_job, Fault::Corrupt, "belongs to job \"clicks\", and this is job \"orders\"");
    check_refused(other_shard, Fault::Corrupt, "belongs to shard 3, and this is shard 0");
    check_refused(
        format("weir-state\nversion 3\n"),
        Fault::Corrupt,
        "has format version 3, and this Weir knows version 4",
    );
    check_refused(format("PG_VERSION"), Fault::Corrupt, "does not begin with \"weir-state\"");
    check_refused(format(""), Fault::Corrupt, "does not begin with \"weir-state\"");
    check_refused(format("weir-state\nversion 4\n"), Fault::Corrupt, "no line \"job\"");
    check_refused(format("weir-state\nversion 4\njob orders\nshard 0\nmore\n"), Fault::Corrupt, "more than four lines");
}

#[test]
fn a_path_that_cannot_be_a_directory_is_a_configuration_error() {
    let temp = tempfile::NamedTempFile::new().expect("temp file");
    let error = open(&temp.path().join("below")).expect_err("is refused");
    assert_eq!(error.fault(), Fault::Config);
}

#[test]
fn a_start_that_died_before_format_is_no_obstacle() {
    let temp = tempfile::tempdir().expect("temp dir");
    fs::write(temp.path().join("LOCK"), "1\n").expect("writes");
    fs::write(temp.path().join("replace.tmp"), "weir-").expect("writes");
    assert!(open(temp.path()).expect("opens").is_empty());
}

#[test]
fn a_lost_store_comes_back_from_a_whole_log_and_is_refused_for_a_trimmed_one() {
    let temp = tempfile::tempdir().expect("temp dir");
    let store_dir = temp.path().join("store");
    let dir = open(temp.path()).expect("opens");
    let mut log = dir.log().expect("log");
    for epoch in 1..=4096 {
        log.append(Epoch(epoch), b"m", &[crate::delta(b"d")], false).expect("appends");
    }
    drop(dir.store(1 << 20).expect("the log still has everything"));
    fs::remove_dir_all(&store_dir).expect("loses the store");
    drop(dir.store(1 << 20).expect("the log still has everything"));

    log.trim(Epoch(2049)).expect("trims");
    drop((log, dir));
    let refused = || {
        let dir = open(temp.path()).expect("opens");
        let error = dir.store(1 << 20).err().expect("is refused");
        assert_eq!(error.fault(), Fault::Corrupt);
        assert!(error.to_string().contains("a store that is lost"), "{error}");
    };
    refused(); // An empty RocksDB.
    fs::remove_dir_all(&store_dir).expect("loses the store");
    refused();
    assert!(!store_dir.exists(), "nothing is written");
    fs::create_dir(&store_dir).expect("an empty directory");
    refused();
    assert_eq!(fs::read_dir(&store_dir).expect("lists").count(), 0, "nothing is written");
}

/// Holds the lock, in another process, until its standard input ends.
#[test]
fn the_owner_in_another_process_is_named() {
    if let Some(dir) = child_dir() {
        let _held = open(&dir).expect("the child takes the lock");
        writeln!(std::io::stdout(), "\nheld").expect("tells the parent");
        std::io::stdin().lines().for_each(drop);
        return;
    }
    let temp = tempfile::tempdir().expect("temp dir");
    let mut child = Command::new(std::env::current_exe().expect("this test binary"))
        .args(["--exact", "dir::the_owner_in_another_process_is_named", "--nocapture"])
        .env("WEIR_STATE_TEST_DIR", temp.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let held = lines.map(|line| line.expect("text")).any(|line| line == "held");
    let refused = open(temp.path());
    child.kill().expect("kills");
    child.wait().expect("ends");
    assert!(held, "the child takes the lock");
    let error = refused.expect_err("is refused");
    assert!(matches!(&error, Error::Locked { pid, .. } if *pid == child.id().to_string()), "{error}");
    assert_eq!(error.fault(), Fault::Fenced);
    open(temp.path()).expect("the lock ends with its process");
}

#[test]
fn log_and_store_keep_the_lock() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let log = dir.log().expect("log");
    assert_eq!(dir.log().err().map(|error| error.fault()), Some(Fault::Bug), "one log at a time");
    let store = dir.store(1 << 20).expect("store");
    drop(dir);
    assert!(open(temp.path()).is_err());
    drop(log);
    assert!(open(temp.path()).is_err());
    drop(store);
    open(temp.path()).expect("opens");
}
