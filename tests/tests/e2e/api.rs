//! What a running job shows, and how it leaves.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use tempfile::TempDir;
use weir_tests::broker::free_port;
use weir_tests::host::{self, Host, get, job, plugin};
use weir_tests::machine;
use weir_tests::reader::Observer;

use crate::scene::{PATIENCE, Scene};

#[test]
fn a_running_job_shows_itself() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("api")?;
    scene.fill(5_000, 100)?;
    let port = free_port()?;
    let mut host = scene.start("count", &["--api", &format!("127.0.0.1:{port}"), "--parallelism", "2"])?;
    let output = Observer::new(scene.broker, &scene.output)?;
    // Each commit adds a control record to each partition, so the end is above the number of records.
    host.wait_until("all output", PATIENCE, |_| Ok(output.stable()? > 5_000))?;
    host.wait_for_job(port, PATIENCE, |job| {
        job["splits"].as_array().is_some_and(|splits| splits.len() == 4 && splits.iter().all(|split| split["lag"] == 0))
    })?;
    let job = job(port)?;
    ensure!(job["job"] == scene.job.as_str() && job["delivery"] == "exactly-once", "{job}");
    ensure!(job["epoch"].as_u64().is_some_and(|epoch| epoch >= 2), "{job}");
    ensure!(job["operators"][0]["parallelism"] == 2, "{job}");
    ensure!(job["operators"][0]["plugin"]["name"] == "count", "{job}");
    ensure!(job["sinks"][0]["topic"] == scene.output.as_str() && job["sinks"][0]["records"] == 5_000, "{job}");
    get(port, "/healthz")?;
    let metrics = get(port, "/metrics")?;
    for name in
        ["weir_source_records_total", "weir_source_lag_records", "weir_sink_records_total", "weir_epoch_committed"]
    {
        ensure!(metrics.contains(name), "no {name} in:\n{metrics}");
    }
    host.signal(Signal::SIGTERM)?;
    host.wait(Duration::from_secs(11))?.expect(0)?;
    Ok(())
}

#[test]
fn a_signal_commits_and_leaves() -> Result<()> {
    let _machine = machine::shared();
    for (signal, until, code) in [
        (Signal::SIGTERM, None, 0),
        (Signal::SIGINT, None, 0),
        (Signal::SIGTERM, Some("latest"), 143),
        (Signal::SIGINT, Some("latest"), 130),
    ] {
        let scene = Scene::new("signal")?;
        scene.fill(8_000, 100)?;
        let bounds = until.map(|until| ["--until", until]);
        let more = [&["--max-rate", "1000"][..], bounds.as_ref().map_or(&[][..], |bounds| &bounds[..])].concat();
        let mut host = scene.start("count", &more)?;
        let output = Observer::new(scene.broker, &scene.output)?;
        host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 500))?;
        host.signal(signal)?;
        host.wait(Duration::from_secs(11))?.expect(code)?;
        ensure!(output.open_transactions()? == 0, "{signal} left a transaction open");
        scene.run("count", &[])?.expect(0)?;
        scene.judge()?.expect_exact()?;
    }
    Ok(())
}

/// Its reader must learn of it, since nothing asks for a password there.
#[test]
fn an_api_that_is_open_to_the_network_is_warned_of() -> Result<()> {
    let _machine = machine::shared();
    let plugin = plugin("uppercase")?;
    for (address, is_open) in [("0.0.0.0:0", true), ("[::]:0", true), ("127.0.0.1:0", false), ("off", false)] {
        let args = ["run", "--plugin", &plugin, "--from", "generate:sequence?count=1", "--api", address];
        let ended = host::run(&args, PATIENCE)?.expect(0)?;
        let warned = ended.stderr.lines().any(|line| line.contains("WARN") && line.contains("open to the network"));
        ensure!(warned == is_open, "--api {address}:\n{}", ended.stderr);
    }
    Ok(())
}

/// A plugin that takes long to load: here it is a FIFO that nobody writes to.
#[test]
fn the_api_answers_while_the_job_starts() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let slow = home.path().join("slow.wasm");
    mkfifo(&slow, Mode::S_IRWXU)?;
    let port = free_port()?;
    let api = format!("127.0.0.1:{port}");
    let mut host = Host::start(&["run", "--plugin", &slow.display().to_string(), "--job", "slow", "--api", &api])?;
    host.wait_for_log("starting", PATIENCE)?;
    let refused = |path: &str| get(port, path).err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(get(port, "/livez")? == "ok\n");
    for path in ["/healthz", "/readyz"] {
        ensure!(refused(path).contains("503"), "{path}: {}", refused(path));
    }
    let job: Value = serde_json::from_str(&get(port, "/v1/job")?)?;
    ensure!(job["job"] == "slow" && job["state"] == "starting", "{job}");
    get(port, "/metrics")?;
    write_plugin(&slow)?;
    host.wait_for_job(port, PATIENCE, |job| job["state"] == "running" && job["operators"][0]["name"].is_string())?;
    host.signal(Signal::SIGTERM)?;
    host.wait(PATIENCE)?.expect(143)?;
    Ok(())
}

fn write_plugin(to: &Path) -> Result<()> {
    Ok(OpenOptions::new().write(true).open(to)?.write_all(&std::fs::read(plugin("uppercase")?)?)?)
}
