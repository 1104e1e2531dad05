//! Another version takes over in a running job: nothing is lost or doubled, whoever is killed meanwhile, and a bad one goes
//! back by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use weir_tests::broker::free_port;
use weir_tests::host::{self, Ended, Host};
use weir_tests::machine;
use weir_tests::random::Random;
use weir_tests::reader::read_all;
use weir_tests::topics::Writer;

use crate::scene::{PATIENCE, Scene, is_full};

/// Keys of the input.
const KEYS: u64 = 97;

/// A job whose API listens, and how to change it.
struct Running<'a> {
    scene: &'a Scene<'a>,
    host: Host,
    port: u16,
}

impl<'a> Running<'a> {
    fn start(scene: &'a Scene<'a>, plugin: &str, more: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let api = format!("127.0.0.1:{port}");
        let host = scene.start(plugin, &[&["--api", &api], more].concat())?;
        let mut running = Self { scene, host, port };
        running.wait(|job| job.get("state") == Some(&"running".into()))?;
        Ok(running)
    }

    fn wait(&mut self, until: impl Fn(&Value) -> bool) -> Result<()> {
        let port = self.port;
        self.host.wait_until("the job", PATIENCE, |_| Ok(host::job(port).is_ok_and(|job| until(&job))))
    }

    /// `host swap` with these arguments, and this job.
    fn swap(&self, args: &[&str]) -> Result<Ended> {
        let state = self.scene.state_dir().display().to_string();
        host::run(&[&["swap", "operator"], args, &["--state-dir", &state]].concat(), PATIENCE)
    }

    /// The version that runs.
    fn version(&self) -> Result<String> {
        let job = host::job(self.port)?;
        let version = job.pointer("/operators/0/plugin/version").and_then(Value::as_str);
        Ok(version.context("a version")?.to_owned())
    }

    /// What took over from what.
    fn history(&self) -> Result<Vec<Value>> {
        let answer = host::get(self.port, "/v1/operators/operator/versions")?;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or(("", &answer));
        Ok(serde_json::from_str(body)?)
    }
}

#[test]
fn versions_take_over_while_the_job_is_killed_again_and_again() -> Result<()> {
    let _machine = machine::shared();
    let (kills, swaps) = if is_full() { (50, 1_000) } else { (3, 24) };
    let scene = Scene::new("swap")?;
    scene.fill(if is_full() { 1_000_000 } else { 40_000 }, KEYS)?;
    let (mut random, mut done, mut version) = (Random::new(), 0, "0.1.0".to_owned());
    let files = [("2.0.0", host::plugin("recount")?), ("0.1.0", host::plugin("count")?)];
    for kill in 0..kills {
        let parallelism = (kill % 2 + 1).to_string();
        let rate = if is_full() { "2000" } else { "1500" };
        let running = Running::start(&scene, "count", &["--max-rate", rate, "--parallelism", &parallelism])?;
        let now = running.version()?;
        ensure!(now == version, "version {now} goes on where {version} had taken over; seed {}", random.seed());
        for _ in 0..swaps / kills {
            let (next, file) = files.iter().find(|(name, _)| *name != version).context("another version")?;
            says(running.swap(&[file])?, 0, &[next])?;
            version = (*next).to_owned();
            done += 1;
        }
        // Amid a swap, of which nobody knows whether it holds.
        let (next, file) = files.iter().find(|(name, _)| *name != version).context("another version")?;
        let (file, state) = (file.clone(), scene.state_dir().display().to_string());
        let swapping =
            std::thread::spawn(move || host::run(&["swap", "operator", &file, "--state-dir", &state], PATIENCE));
        std::thread::sleep(random.between(Duration::ZERO, Duration::from_millis(400)));
        running.host.kill()?;
        let ended = swapping.join().map_err(|_| anyhow::anyhow!("a panic"))??;
        let again = Running::start(&scene, "count", &["--max-rate", rate])?;
        let now = again.version()?;
        ensure!(ended.code != 0 || now == *next, "it was told that {next} holds, and {now} goes on");
        ensure!(now == version || now == *next, "{now}");
        version = now;
        again.host.kill()?;
    }
    ensure!(done >= swaps / kills * kills);
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_version_that_traps_goes_back_by_itself() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("swap-back")?;
    let write = |value: &str, count: usize| {
        let writer = Writer::new(scene.broker)?;
        (0..count)
            .try_for_each(|at| writer.write(&scene.input, format!("k{}", at % 7).as_bytes(), value.as_bytes()))?;
        writer.flush()
    };
    write("x", 500)?;
    let mut running = Running::start(&scene, "count", &["--parallelism", "2"])?;
    running.swap(&[&host::plugin("recount")?, "--probation", "10min"])?.expect(0)?;
    ensure!(running.version()? == "2.0.0");
    write("boom", 20)?;
    running.wait(|job| job.pointer("/operators/0/plugin/version") == Some(&"0.1.0".into()))?;
    write("x", 500)?;
    let history = running.history()?;
    let failure = history.last().and_then(|turn| turn.get("failure")).and_then(Value::as_str);
    ensure!(failure.is_some_and(|failure| failure.contains("told to panic")), "{history:?}");
    ensure!(history.len() == 2, "{history:?}");
    running.host.wait_for_log("the new version failed on probation", PATIENCE)?;
    says(running.swap(&["--rollback"])?, 1, &["from one that failed"])?;
    let restarts = host::job(running.port)?.get("restarts").and_then(Value::as_u64);
    ensure!(restarts == Some(0), "{restarts:?}");
    running.host.kill()?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_probation_outlives_the_process() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("swap-probation")?;
    let write = |value: &str| {
        let writer = Writer::new(scene.broker)?;
        (0..100).try_for_each(|at| writer.write(&scene.input, format!("k{}", at % 7).as_bytes(), value.as_bytes()))?;
        writer.flush()
    };
    write("x")?;
    let running = Running::start(&scene, "count", &[])?;
    running.swap(&[&host::plugin("recount")?, "--probation", "10min"])?.expect(0)?;
    running.host.kill()?;
    write("boom")?;
    let mut running = Running::start(&scene, "count", &[])?;
    running.wait(|job| job.pointer("/operators/0/plugin/version") == Some(&"0.1.0".into()))?;
    running.host.wait_for_log("a version goes on that took over from the file of the command line", PATIENCE)?;
    running.host.kill()?;
    // Neither is it run again by the next one, also where that names its file.
    let running = Running::start(&scene, "recount", &[])?;
    ensure!(running.version()? == "0.1.0");
    let failures = running.history()?.iter().filter(|turn| turn.get("failure").is_some_and(Value::is_string)).count();
    ensure!(failures == 1, "{failures} failures");
    running.host.kill()?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn it_is_said_beforehand_whether_a_plugin_fits_the_state() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("state-check")?;
    scene.fill(100, KEYS)?;
    scene.run("count", &[])?.expect(0)?;
    let dir = scene.state_dir().display().to_string();
    let check = |plugin: &str, more: &[&str]| {
        host::run(&[&["state", "check", &dir, &host::plugin(plugin)?], more].concat(), PATIENCE)
    };
    says(
        check("recount", &[])?,
        0,
        &["count 2.0.0 can go on with the state of operator operator", "(value", "goes on"],
    )?;
    says(check("tally", &[])?, 4, &["cannot go on", "table \"count\"", "--drop-state"])?;
    says(check("uppercase", &["--operator", "operator"])?, 4, &["declares no such table"])?;
    says(check("count", &["--operator", "other"])?, 2, &["there is no operator \"other\"; there are: operator"])?;
    says(host::run(&["state", "check", "/nowhere", &host::plugin("count")?], PATIENCE)?, 2, &["/nowhere"])?;
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() -> Result<()> {
    let _machine = machine::shared();
    let (scene, dir) = (Scene::new("swap-refused")?, TempDir::new()?);
    scene.fill(100, KEYS)?;
    let running = Running::start(&scene, "count", &[])?;
    let (count, none) = (host::plugin("count")?, dir.path().join("none.wasm").display().to_string());
    let text = dir.path().join("text.wasm").display().to_string();
    fs::write(&text, "no wasm")?;
    for (args, code, words) in [
        (&["OTHER-TABLE"][..], 4, &["would be lost or misread", "table \"count\""][..]),
        (&[&count], 1, &["runs this very plugin"]),
        (&[&host::plugin("uppercase")?], 2, &["keeps no state", "stop the job and start it with this plugin"]),
        (&[&host::plugin("window-count")?], 2, &["the place of operator"]),
        (&[&text], 2, &["text.wasm does not take over"]),
        (&[&none], 2, &["failed to read", "none.wasm"]),
        (&[&host::plugin("recount")?, "--config", "other=1"], 2, &["does not open", "unknown field"]),
        (&["--rollback"], 1, &["took over from no other"]),
    ] {
        let other = host::plugin("tally")?;
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "OTHER-TABLE" { other.as_str() } else { arg }).collect();
        says(running.swap(&args)?, code, words)?;
        ensure!(running.version()? == "0.1.0", "{args:?}");
    }
    says(running.swap(&[&host::plugin("recount")?, "--dry-run"])?, 0, &["could go on with count 2.0.0"])?;
    ensure!(running.version()? == "0.1.0" && running.history()?.is_empty());
    let kept = fs::read_dir(scene.state_dir().join("plugins"))?.count();
    ensure!(kept == 1, "{kept} files are kept, and one runs");
    let state = scene.state_dir().display().to_string();
    let unknown = host::run(&["swap", "nobody", &count, "--state-dir", &state], PATIENCE)?;
    says(unknown, 2, &["there is no operator \"nobody\"", "operator"])?;
    running.host.kill()?;
    // Nobody answers any more.
    says(host::run(&["swap", "operator", &count, "--state-dir", &state], PATIENCE)?, 1, &["does not answer"])?;
    Ok(())
}

/// Fails unless it ended with this code, and said these words wherever.
fn says(ended: Ended, code: i32, words: &[&str]) -> Result<()> {
    let Ended { stdout, stderr, .. } = ended.expect(code)?;
    let said = String::from_utf8_lossy(&stdout).into_owned() + &stderr;
    words.iter().try_for_each(|word| {
        ensure!(said.contains(word), "it does not say {word:?}, but:\n{said}");
        Ok(())
    })
}

/// The same plugin under another digest: with a custom section, of which nobody takes notice.
fn another(plugin: &str, section: u8, to: &Path) -> Result<PathBuf> {
    let mut bytes = fs::read(host::plugin(plugin)?)?;
    bytes.extend([0, 3, 1, b'v', section]);
    let path = to.to_owned();
    fs::write(&path, bytes)?;
    Ok(path)
}

#[test]
fn a_configuration_takes_over_and_is_gone_back_from_and_outlives_the_process() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("swap-config")?;
    let writer = Writer::new(scene.broker)?;
    let write = |key: &str| writer.write(&scene.input, key.as_bytes(), b"x").and_then(|()| writer.flush());
    let running = Running::start(&scene, "recount", &[])?;
    write("a")?;
    running.swap(&[&host::plugin("recount")?, "--config", "value=told"])?.expect(0)?;
    write("b")?;
    running.host.kill()?;
    scene.run("recount", &[])?.expect(0)?;
    write("c")?;
    let running = Running::start(&scene, "recount", &[])?;
    says(running.swap(&["--rollback"])?, 0, &["went back to"])?;
    write("d")?;
    running.host.kill()?;
    scene.run("recount", &[])?.expect(0)?;
    let mut seen = read_all(scene.broker, &scene.output)?
        .into_iter()
        .map(|record| {
            Ok((String::from_utf8(record.key.context("a key")?)?, String::from_utf8(record.value.context("a value")?)?))
        })
        .collect::<Result<Vec<_>>>()?;
    seen.sort();
    let of =
        |key: &str| seen.iter().filter(|(seen, _)| seen == key).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    ensure!(of("b") == ["told"] && of("d") == ["1"], "{seen:?}");
    // Before the swap, or after it as quickly: whichever, once.
    ensure!(of("a").len() == 1 && of("c").len() == 1, "{seen:?}");
    Ok(())
}

#[test]
fn a_file_that_changes_takes_over_where_it_is_watched() -> Result<()> {
    let _machine = machine::shared();
    let (scene, dir) = (Scene::new("swap-watch")?, TempDir::new()?);
    scene.fill(20_000, KEYS)?;
    let path = dir.path().join("op.wasm");
    fs::copy(host::plugin("count")?, &path)?;
    let port = free_port()?;
    let mut args = scene.args("count", &["--api", &format!("127.0.0.1:{port}"), "--watch", "--max-rate", "4000"])?;
    let at = args.iter().position(|arg| arg == "--plugin").context("a plugin")? + 1;
    *args.get_mut(at).context("a plugin's file")? = path.display().to_string();
    let mut running = Running { scene: &scene, host: Host::start(&args)?, port };
    running.wait(|job| job.get("state") == Some(&"running".into()))?;
    let digest = |job: &Value| job.pointer("/operators/0/plugin/digest").cloned();
    let first = digest(&host::job(port)?);
    another("count", 7, &path)?;
    running.wait(|job| digest(job) != first)?;
    // What is no plugin does not take over, and is told.
    fs::write(&path, "half a file")?;
    running.host.wait_for_log("does not take over", PATIENCE)?;
    running.host.kill()?;
    // The file is not what it was, nor what took over.
    another("count", 8, &path)?;
    args.extend(["--until", "latest"].map(str::to_owned));
    host::run(&args, PATIENCE)?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}
