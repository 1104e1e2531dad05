//! Savepoints: whole or none; what is restored is what was saved; whatever a crash leaves is refused or finished.

use std::fs;
use std::path::Path;

use weir_core::ports::StateStore as _;
use weir_core::{AttemptId, Digest, Epoch, Fault, JobName, ShardId};
use weir_state::{Error, Held, Reset, Restoring, Savepoint, StateDir};

use crate::view::{entries, files};
use crate::{copy_dir, golden, open, run_limited};

fn job() -> JobName {
    JobName::new("golden").expect("legal")
}

fn restore(savepoint: &Savepoint, path: &Path, job: &JobName) -> Result<Option<Restoring>, Error> {
    savepoint.restore(path, job, ShardId(0), &mut |_, _| {})
}

fn finish(savepoint: &Savepoint, path: &Path) {
    restore(savepoint, path, &job()).expect("restores").expect("for the first time").finish().expect("finishes");
}

fn saved() -> Savepoint {
    Savepoint::open(&golden("savepoint")).expect("the golden savepoint")
}

#[test]
fn a_savepoint_of_another_format_is_refused() {
    let (temp, copy) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
    copy_dir(&golden("savepoint"), copy.path());
    let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let now = fs::read_to_string(copy.path().join("state/FORMAT")).expect("reads");
    let old = now.replace("version 4", "version 3");
    fs::write(copy.path().join("state/FORMAT"), &old).expect("writes");
    let contents = fs::read_to_string(copy.path().join("SAVEPOINT")).expect("reads");
    let contents = contents.replace(&digest(now.as_bytes()), &digest(old.as_bytes()));
    let (lines, _) = contents.trim_end().rsplit_once("digest ").expect("its last line");
    let contents = format!("{lines}digest {}\n", digest(lines.as_bytes()));
    fs::write(copy.path().join("SAVEPOINT"), contents).expect("writes");
    let savepoint = Savepoint::open(copy.path()).expect("it can be read");
    let error = restore(&savepoint, temp.path(), &job()).expect_err("is refused").to_string();
    assert!(error.contains("has format version 3, and this Weir knows version 4"), "{error}");
    assert!(!temp.path().join("FORMAT").exists() && !temp.path().join("restoring").exists());
}

/// A whole state directory of format 4, as a job left it: `FORMAT`, log, store with its keys, and what the store lacks.
#[test]
fn the_golden_savepoint_is_restored_with_its_state() {
    let temp = tempfile::tempdir().expect("temp dir");
    let saved = saved();
    assert_eq!((saved.job(), saved.holds().map(|held| held.epoch)), (&job(), Some(Epoch(9))));
    finish(&saved, temp.path());
    let dir = StateDir::open(temp.path(), &job(), ShardId(0)).expect("opens");
    assert!(!dir.is_empty());
    let log = dir.log().expect("log");
    assert_eq!(log.records().iter().map(|record| record.epoch.0).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    let store = dir.store(1 << 20).expect("store");
    let applied = store.applied();
    assert_eq!(applied, Some(log.records()[1].clone()));
    log.replay(applied.as_ref(), 8, &mut |record, delta| store.apply(record, vec![delta])).expect("replays");
    store.flush().expect("flushes");
    // 100 records over 5 keys, then 310 over 7.
    let counts = [("0", 64), ("1", 64), ("2", 65), ("3", 65), ("4", 64), ("5", 44), ("6", 44)];
    let expected = counts.map(|(key, count): (&str, u64)| {
        (0, key.to_owned(), String::from_utf8(count.to_le_bytes().to_vec()).expect("small numbers are ASCII"))
    });
    assert_eq!(entries(temp.path(), 8), expected);
}

#[test]
fn a_fork_whose_store_is_lost_is_refused_for_its_log_does_not_have_its_state() {
    let temp = tempfile::tempdir().expect("temp dir");
    let restoring = restore(&saved(), temp.path(), &job()).expect("restores").expect("for the first time");
    restoring.fork(8, (Epoch(10), "its plan".into(), b"the fork"), 1 << 20).expect("forks");
    restoring.finish().expect("finishes");
    let open = || StateDir::open(temp.path(), &job(), ShardId(0)).expect("opens");
    let dir = open();
    let (mut log, store) = (dir.log().expect("log"), dir.store(1 << 20).expect("store"));
    assert_eq!(store.applied(), Some(log.records()[0].clone()), "the store names the fork's own record");
    assert_eq!(entries(temp.path(), 0).len(), 7, "all state of the savepoint");
    log.append(Epoch(11), b"it went on", &[], true).expect("appends");
    drop((log, store, dir));
    fs::remove_dir_all(temp.path().join("store")).expect("loses the store");
    for _ in 0..2 {
        let error = open().store(1 << 20).err().expect("is refused, again and again");
        assert_eq!(error.fault(), Fault::Corrupt);
        assert!(error.to_string().contains("a store that is lost"), "{error}");
    }
    let view = weir_state::StateView::open(temp.path()).expect("a state directory");
    let seen = view.store().err().expect("nor is it shown as if it were all");
    assert_eq!(seen.fault(), Fault::Corrupt);
    assert!(seen.to_string().contains("a store that is lost"), "{seen}");
}

#[test]
fn what_was_saved_is_what_there_was() {
    let (temp, out) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
    finish(&saved(), temp.path());
    let dir = StateDir::open(temp.path(), &job(), ShardId(0)).expect("opens");
    let holds = Held { epoch: Epoch(9), attempt: AttemptId("a".into()), digest: Digest("d".into()) };
    let place = out.path().join("new/point");
    let mut told = Vec::new();
    let written = Savepoint::write(&dir, &place, Some(holds.clone()), &mut |done, total| told.push((done, total)));
    assert_eq!(written.expect("writes").holds(), Some(&holds));
    assert_eq!(told.last().map(|(done, total)| done == total), Some(true), "{told:?}");
    for part in ["FORMAT", "log/0000000001.log", "store/000008.sst", "store/CURRENT"] {
        let (was, is) = (fs::read(temp.path().join(part)), fs::read(place.join("state").join(part)));
        assert_eq!(was.expect("reads"), is.expect("reads"), "{part}");
    }
    let again = Savepoint::write(&dir, &place, None, &mut |_, _| {}).expect_err("is there already");
    assert_eq!(again.fault(), Fault::Config);
    assert_eq!(fs::read_dir(out.path().join("new")).expect("lists").count(), 1, "no temporary name is left");
}

#[test]
fn a_restore_is_done_once_and_only_into_an_empty_directory() {
    let temp = tempfile::tempdir().expect("temp dir");
    // A start that got no further than its names.
    let begun = StateDir::open(temp.path(), &job(), ShardId(0)).expect("opens");
    drop((begun.log().expect("log"), begun.store(1 << 20).expect("store"), begun));
    finish(&saved(), temp.path());
    assert!(restore(&saved(), temp.path(), &job()).expect("is its continuation").is_none());
    let other = JobName::new("other").expect("legal");
    assert!(restore(&saved(), temp.path(), &other).expect_err("another job").to_string().contains("belongs to job"));

    let used = tempfile::tempdir().expect("temp dir");
    let dir = StateDir::open(used.path(), &job(), ShardId(0)).expect("opens");
    dir.log().expect("log").append(Epoch(1), b"m", &[], true).expect("appends");
    drop(dir);
    let before = files(used.path());
    let error = restore(&saved(), used.path(), &job()).expect_err("has state of its own");
    assert!(error.to_string().contains("already holds state"), "{error}");
    let mut after = files(used.path());
    after.insert(used.path().join("LOCK"), before[&used.path().join("LOCK")].clone());
    assert_eq!(after, before, "nothing was touched");

    let homework = tempfile::tempdir().expect("temp dir");
    fs::write(homework.path().join("thesis.tex"), "").expect("writes");
    assert!(restore(&saved(), homework.path(), &job()).expect_err("not ours").to_string().contains("thesis.tex"));
}

#[test]
fn a_restore_cut_short_at_any_step_is_refused_and_done_again() {
    for step in 0..5 {
        let temp = tempfile::tempdir().expect("temp dir");
        let restoring = restore(&saved(), temp.path(), &job()).expect("restores").expect("for the first time");
        let at = |name: &str| temp.path().join(name);
        let rename = |name: &str| fs::rename(at("restoring").join(name), at(name)).expect("renames");
        if step == 0 {
            fs::remove_dir_all(at("restoring/store")).expect("half a copy");
        }
        if step >= 2 {
            rename("log");
        }
        if step >= 3 {
            rename("store");
        }
        if step >= 4 {
            fs::write(at("RESTORED"), saved().digest().to_string()).expect("writes");
        }
        drop(restoring);
        let error = StateDir::open(temp.path(), &job(), ShardId(0)).expect_err("is refused");
        assert_eq!(error.fault(), Fault::Corrupt);
        assert!(error.to_string().contains("same --from-savepoint"), "step {step}: {error}");
        finish(&saved(), temp.path());
        assert_eq!(entries(temp.path(), 8).len(), 7, "step {step}");
    }
    // Before the first: it says nothing yet, and has changed nothing.
    for begun in [None, Some("replace.tmp")] {
        let begin = || {
            let temp = tempfile::tempdir().expect("temp dir");
            fs::create_dir(temp.path().join("restoring")).expect("begins");
            begun.iter().for_each(|name| fs::write(temp.path().join("restoring").join(name), "weir-").expect("writes"));
            temp
        };
        finish(&saved(), begin().path());
        let temp = begin();
        assert!(Reset::begin(temp.path(), &job(), ShardId(0)).expect("looks").is_none(), "nothing to forget");
        assert!(StateDir::open(temp.path(), &job(), ShardId(0)).expect("a first start is free").is_empty());
        assert!(!temp.path().join("restoring").exists());
    }
    // After the last step: whole, and `restoring` goes at the next start.
    let temp = tempfile::tempdir().expect("temp dir");
    finish(&saved(), temp.path());
    fs::create_dir(temp.path().join("restoring")).expect("not removed yet");
    StateDir::open(temp.path(), &job(), ShardId(0)).expect("opens");
    assert!(!temp.path().join("restoring").exists());
}

#[test]
fn a_damaged_savepoint_is_refused_and_leaves_nothing() {
    let kinds = ["FORMAT", "log/0000000001.log", "store/000008.sst", "store/CURRENT", "store/MANIFEST-000005"];
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).expect("reads");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(path, bytes).expect("flips a bit");
    };
    let lose = |path: &Path| fs::remove_file(path).expect("loses it");
    for (damage, says) in [(&flip as &dyn Fn(&Path), "BLAKE3"), (&lose, "missing")] {
        for kind in kinds {
            let (copy, temp) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
            copy_dir(&golden("savepoint"), copy.path());
            damage(&copy.path().join("state").join(kind));
            let savepoint = Savepoint::open(copy.path()).expect("the description is whole");
            let error = restore(&savepoint, temp.path(), &job()).expect_err("is refused");
            assert_eq!(error.fault(), Fault::Corrupt);
            assert!(error.to_string().contains(says) && error.to_string().contains(kind), "{error}");
            let left: Vec<_> = files(temp.path()).into_keys().collect();
            assert_eq!(left, [temp.path().join("LOCK")], "nothing of it stays");
            assert!(StateDir::open(temp.path(), &job(), ShardId(0)).expect("a first start is free").is_empty());
        }
    }
    let empty = tempfile::tempdir().expect("temp dir");
    assert_eq!(Savepoint::open(empty.path()).expect_err("is none").fault(), Fault::Config);
}

#[test]
fn a_full_disk_leaves_no_savepoint_under_its_name() {
    if let Some(dir) = crate::child_dir() {
        let saved = saved();
        let error = restore(&saved, &dir.join("target"), &job()).expect_err("does not fit");
        assert_eq!(error.fault(), Fault::User, "{error}");
        assert_eq!(files(&dir.join("target")).into_keys().collect::<Vec<_>>(), [dir.join("target/LOCK")]);
        let state = StateDir::open(dir.join("state"), &job(), ShardId(0)).expect("opens");
        let error = Savepoint::write(&state, &dir.join("out"), None, &mut |_, _| {}).expect_err("does not fit");
        assert_eq!(error.fault(), Fault::User, "{error}");
        return;
    }
    let temp = tempfile::tempdir().expect("temp dir");
    finish(&saved(), &temp.path().join("state"));
    let out = run_limited("savepoint::a_full_disk_leaves_no_savepoint_under_its_name", temp.path(), 4);
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let names: Vec<_> = fs::read_dir(temp.path()).expect("lists").map(|e| e.expect("an entry").file_name()).collect();
    assert!(names.iter().all(|name| name == "state" || name == "target"), "{names:?}");
}

#[test]
fn a_savepoint_is_no_state_directory() {
    let copy = tempfile::tempdir().expect("temp dir");
    copy_dir(&golden("savepoint"), copy.path());
    assert!(open(copy.path()).expect_err("is refused").to_string().contains("SAVEPOINT"));
}

#[test]
fn a_reset_cut_short_at_any_step_is_refused_and_finished() {
    let mark = "weir-state\nversion 4\njob golden\nshard 0\n";
    for step in 0..4 {
        let temp = tempfile::tempdir().expect("temp dir");
        finish(&saved(), temp.path());
        fs::write(temp.path().join("RESETTING"), mark).expect("marks");
        if step > 0 {
            fs::remove_file(temp.path().join("FORMAT")).expect("removes");
        }
        if step > 1 {
            fs::remove_dir_all(temp.path().join("log")).expect("removes");
        }
        if step > 2 {
            fs::remove_dir_all(temp.path().join("store")).expect("removes");
        }
        let error = StateDir::open(temp.path(), &job(), ShardId(0)).expect_err("is refused");
        assert_eq!(error.fault(), Fault::Corrupt);
        assert!(error.to_string().contains("`host reset`"), "{error}");
        assert!(restore(&saved(), temp.path(), &job()).is_err(), "nor is it restored into");
        let other = JobName::new("other").expect("legal");
        assert!(Reset::begin(temp.path(), &other, ShardId(0)).is_err(), "another job does not finish it");
        let reset = Reset::begin(temp.path(), &job(), ShardId(0)).expect("begins").expect("there is something");
        assert_eq!(reset.log().expect("reads").map(|log| log.records().len()), (step == 0).then_some(9));
        assert_eq!(open(temp.path()).expect_err("is refused").fault(), Fault::Corrupt, "the mark is looked at first");
        reset.wipe().expect("finishes");
        assert_eq!(files(temp.path()).into_keys().collect::<Vec<_>>(), [temp.path().join("LOCK")]);
        assert!(Reset::begin(temp.path(), &job(), ShardId(0)).expect("looks").is_none());
        assert!(StateDir::open(temp.path(), &job(), ShardId(0)).expect("opens").is_empty());
    }
}
