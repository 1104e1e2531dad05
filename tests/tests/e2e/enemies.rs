//! The disk as an enemy: bits that flip, files that vanish, copies of another time. Whatever is torn is refused with one
//! message that says what to do, before anybody is disturbed; what can be mended is mended, and exact.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use weir_tests::host::{self, Ended};
use weir_tests::machine;

use crate::scene::{PATIENCE, Scene};

/// Copies a directory and all in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The one file below `dir` whose name begins or ends like this.
fn file(dir: &Path, like: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
        if name.starts_with(like) || name.ends_with(like) {
            return Ok(path);
        }
    }
    anyhow::bail!("{} holds no {like}", dir.display())
}

/// Flips a bit `part` of the way into a file.
fn flip(path: &Path, part: f64) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let at = (bytes.len() as f64 * part) as usize;
    *bytes.get_mut(at).context("the file has bytes")? ^= 0x10;
    Ok(fs::write(path, bytes)?)
}

/// Damages a state directory.
type Damage = fn(&Path) -> Result<()>;

/// A job that ran twice, so that its store has a flushed base, and the input has more for it.
fn worn(name: &str) -> Result<Scene<'static>> {
    let scene = Scene::new(name)?;
    for _ in 0..2 {
        scene.fill(2_000, 300)?;
        scene.run("count", &[])?.expect(0)?;
    }
    scene.fill(1_000, 300)?;
    Ok(scene)
}

/// Runs on a damaged copy of the scene's directory.
fn run_damaged(scene: &Scene<'_>, damage: Damage) -> Result<Ended> {
    let home = TempDir::new()?;
    let state = home.path().join("state");
    copy(scene.state_dir(), &state)?;
    damage(&state)?;
    host::run(&scene.args_in(&state, "count", &["--until", "latest"])?, PATIENCE)
}

#[test]
fn damage_that_shows_at_the_start_is_refused_and_disturbs_nobody() -> Result<()> {
    let _machine = machine::shared();
    let scene = worn("damage")?;
    let damages: &[(&str, Damage, &str)] = &[
        ("a bit of FORMAT's job", |dir| flip(&dir.join("FORMAT"), 0.8), "state directory"),
        ("a bit of FORMAT's magic", |dir| flip(&dir.join("FORMAT"), 0.1), "--state-dir"),
        ("FORMAT is gone", |dir| Ok(fs::remove_file(dir.join("FORMAT"))?), "no FORMAT file"),
        (
            "an older format",
            |dir| Ok(fs::write(dir.join("FORMAT"), "weir-state\nversion 0\n")?),
            "has format version 0",
        ),
        ("a bit of the log", |dir| flip(&file(&dir.join("log"), ".log")?, 0.3), "is damaged at offset"),
        ("the log is gone", |dir| Ok(fs::remove_dir_all(dir.join("log"))?), "epoch log is empty"),
        ("a bit of the MANIFEST", |dir| flip(&file(&dir.join("store"), "MANIFEST")?, 0.3), "host reset"),
        ("the MANIFEST is gone", |dir| Ok(fs::remove_file(file(&dir.join("store"), "MANIFEST")?)?), "host reset"),
        ("a bit of CURRENT", |dir| flip(&dir.join("store/CURRENT"), 0.5), "host reset"),
        ("CURRENT is gone", |dir| Ok(fs::remove_file(dir.join("store/CURRENT"))?), "host reset"),
        ("a base is gone", |dir| Ok(fs::remove_file(file(&dir.join("store"), ".sst")?)?), "host reset"),
        (
            "a base is cut short",
            |dir| {
                let base = fs::OpenOptions::new().write(true).open(file(&dir.join("store"), ".sst")?)?;
                Ok(base.set_len(base.metadata()?.len() - 10)?)
            },
            "host reset",
        ),
        ("a base's end has a bit flipped", |dir| flip(&file(&dir.join("store"), ".sst")?, 0.97), "host reset"),
        ("everything is gone", |dir| Ok(fs::remove_dir_all(dir)?), "the marker says epoch"),
    ];
    for (name, damage, says) in damages {
        run_damaged(&scene, *damage)
            .and_then(|ended| ended.expect(4)?.says(&[says]))
            .with_context(|| format!("when {name}"))?;
    }
    // All of them refused, none took the job over: it goes on where it was.
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_bit_in_the_middle_of_a_base_is_refused_when_it_is_read() -> Result<()> {
    let _machine = machine::shared();
    let scene = worn("base")?;
    let middle: Damage = |dir| flip(&file(&dir.join("store"), ".sst")?, 0.3);
    run_damaged(&scene, middle)?.expect(4)?.says(&["is damaged", "host reset"])?;
    let damaged = TempDir::new()?;
    let state = damaged.path().join("state");
    copy(scene.state_dir(), &state)?;
    middle(&state)?;
    let out = damaged.path().join("savepoint");
    let (state, out_text) = (state.display().to_string(), out.display().to_string());
    host::run(&["savepoint", &state, &out_text], PATIENCE)?.expect(4)?.says(&["is damaged"])?;
    ensure!(!out.exists(), "what cannot be read is not saved");
    Ok(())
}

#[test]
fn a_lost_store_and_what_nobody_needs_are_made_again() -> Result<()> {
    let _machine = machine::shared();
    let scene = worn("mended")?;
    let store = scene.state_dir().join("store");
    fs::remove_dir_all(&store)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    // The last of RocksDB's notes, torn: it begins before them, and the log has the rest.
    let notes = file(&store, "MANIFEST")?;
    let open = fs::OpenOptions::new().write(true).open(&notes)?;
    open.set_len(open.metadata()?.len() - 10)?;
    for name in ["LOCK", "store/LOCK", "store/IDENTITY"] {
        fs::remove_file(scene.state_dir().join(name))?;
    }
    fs::remove_file(file(&store, "OPTIONS")?)?;
    scene.fill(1_000, 300)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_copy_of_an_old_directory_is_refused() -> Result<()> {
    let _machine = machine::shared();
    let scene = worn("copy")?;
    let home = TempDir::new()?;
    let old = home.path().join("old");
    copy(scene.state_dir(), &old)?;
    scene.run("count", &[])?.expect(0)?;
    let args = scene.args_in(&old, "count", &["--until", "latest"])?;
    let ended = host::run(&args, PATIENCE)?.expect(4)?;
    ended.says(&["start with the directory that holds epoch", "--job"])?;
    scene.fill(1_000, 300)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}
