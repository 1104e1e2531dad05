//! A running job is paused, resumed, stopped and looked at by commands, and changed by whoever has its token.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use weir_tests::broker::free_port;
use weir_tests::host::{self, Ended, Host};
use weir_tests::machine;
use weir_tests::reader::Observer;

use crate::scene::{PATIENCE, Scene};

const TOKEN: &str = "correct-horse-battery-staple";

/// `host VERB` of the job of this scene.
fn steer(scene: &Scene<'_>, verb: &str, more: &[&str]) -> Result<Ended> {
    let state = scene.state_dir().display().to_string();
    host::run(&[&[verb, "--state-dir", &state], more].concat(), PATIENCE)
}

#[test]
fn a_job_is_paused_resumed_and_stopped_and_its_output_is_exact() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("steer")?;
    scene.fill(3_000, 50)?;
    let port = free_port()?;
    let mut job = scene.start("count", &["--api", &format!("127.0.0.1:{port}"), "--parallelism", "2"])?;
    let output = Observer::new(scene.broker, &scene.output)?;
    let lag = |job: &serde_json::Value| -> Option<i64> {
        job["splits"].as_array()?.iter().map(|split| split["lag"].as_i64()).sum()
    };
    job.wait_until("all output", PATIENCE, |_| Ok(output.stable()? > 3_000))?;
    job.wait_for_job(port, PATIENCE, |job| lag(job) == Some(0))?;
    steer(&scene, "pause", &[])?.expect(0)?;
    job.wait_for_job(port, PATIENCE, |job| job["state"] == "paused")?;
    ensure!(host::get(port, "/readyz").is_err_and(|error| error.to_string().contains("503")));
    ensure!(host::get(port, "/healthz")? == "ok, paused\n");

    // What comes meanwhile is not read; what waits is seen.
    let before = output.stable()?;
    scene.fill(2_000, 50)?;
    job.wait_for_job(port, PATIENCE, |job| lag(job) == Some(2_000))?;
    std::thread::sleep(Duration::from_millis(500));
    ensure!(output.stable()? == before, "a paused job wrote");
    let status = steer(&scene, "status", &[])?.expect(0)?;
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    ensure!(status.contains(": paused\n") && status.contains("4 splits, 2000 records behind"), "{status}");

    // A swap needs no record, and a paused job takes one.
    let state = scene.state_dir().display().to_string();
    host::run(&["swap", "operator", &host::plugin("recount")?, "--state-dir", &state], PATIENCE)?.expect(0)?;
    ensure!(host::job(port)?["state"] == "paused");

    steer(&scene, "resume", &[])?.expect(0)?;
    job.wait_until("the rest", PATIENCE, |_| Ok(output.stable()? >= before + 2_000))?;
    let status = steer(&scene, "status", &["--json"])?.expect(0)?;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
    ensure!(status["state"] == "running" && status["job"] == scene.job.as_str(), "{status}");

    let stopped = steer(&scene, "stop", &[])?.expect(0)?;
    ensure!(String::from_utf8_lossy(&stopped.stdout).contains("has left"));
    let ended = job.wait(PATIENCE)?.expect(0)?;
    for change in ["/v1/job/pause", "/v1/operators/operator/swap", "/v1/job/resume", "/v1/job/stop"] {
        let line = ended.stderr.lines().find(|line| line.contains("changed by the API") && line.contains(change));
        ensure!(line.is_some_and(|line| line.contains("127.0.0.1") && line.contains("machine")), "{}", ended.stderr);
    }
    scene.judge()?.expect_exact()?;
    Ok(())
}

/// Also one that was paused, and one that reads to a bound: as SIGTERM, a stop is no end.
#[test]
fn a_stop_is_what_sigterm_is() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("steer-stop")?;
    scene.fill(8_000, 50)?;
    let mut job = scene.start("count", &["--api", "127.0.0.1:0", "--max-rate", "500", "--until", "latest"])?;
    let output = Observer::new(scene.broker, &scene.output)?;
    job.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 100))?;
    steer(&scene, "pause", &[])?.expect(0)?;
    steer(&scene, "stop", &[])?.expect(0)?;
    job.wait(PATIENCE)?.expect(128 + Signal::SIGTERM as i32)?;
    ensure!(output.open_transactions()? == 0);
    // The next one is not paused.
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

/// The pause is asked for while the process is stopped, so it is the first thing that happens after the broker has ended the
/// transaction, and the recovery from that comes later.
#[test]
fn a_recovery_in_place_keeps_the_pause() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("steer-recovery")?;
    scene.fill(20_000, 500)?;
    let port = free_port()?;
    let api = format!("127.0.0.1:{port}");
    let short = ["--transaction-timeout", "4s", "--max-rate", "500", "--api", &api];
    let mut job = scene.start("count", &short)?;
    let output = Observer::new(scene.broker, &scene.output)?;
    job.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 1_000))?;
    loop {
        job.signal(Signal::SIGSTOP)?;
        std::thread::sleep(Duration::from_millis(50));
        if output.open_transactions()? > 0 {
            break;
        }
        job.signal(Signal::SIGCONT)?;
        std::thread::sleep(Duration::from_millis(37));
    }
    let mut asking = TcpStream::connect(("127.0.0.1", port))?;
    let head = "POST /v1/job/pause HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    asking.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    job.wait_until("the end of the transaction", PATIENCE, |_| Ok(output.open_transactions()? == 0))?;
    job.signal(Signal::SIGCONT)?;
    let mut answer = String::new();
    asking.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    job.wait_for_job(port, PATIENCE, |job| job["restarts"].as_u64() >= Some(1) && job["state"] == "paused")?;
    let before = output.stable()?;
    std::thread::sleep(Duration::from_millis(500));
    ensure!(output.stable()? == before, "the next attempt read on");
    steer(&scene, "resume", &[])?.expect(0)?;
    job.wait_until("more output", PATIENCE, |_| Ok(output.stable()? > before + 500))?;
    steer(&scene, "stop", &[])?.expect(0)?;
    job.wait(PATIENCE)?.expect(0)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

/// A job on no broker, with this more on its command line.
fn start(more: &[&str]) -> Result<Host> {
    let plugin = host::plugin("uppercase")?;
    let args = ["run", "--plugin", &plugin, "--from", "generate:sequence?rate=100", "--to", "file:out"];
    Host::start(&[&args, more].concat())
}

#[test]
fn only_the_token_changes_a_job_that_has_one() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let file = |name: &str, token: &str| -> Result<String> {
        let path = home.path().join(name);
        fs::write(&path, format!("{token}\n"))?;
        Ok(format!("@{}", path.display()))
    };
    let (right, wrong) = (file("right", TOKEN)?, file("wrong", "correct-horse-battery-stable")?);
    for address in ["127.0.0.1", "0.0.0.0"] {
        let port = free_port()?;
        let mut job = start(&["--api", &format!("{address}:{port}"), "--api-token", &right, "--api-plaintext"])?;
        job.wait_for_job(port, PATIENCE, |job| job["state"] == "running")?;
        let api = format!("127.0.0.1:{port}");
        let ask = |verb: &str, more: &[&str]| host::run(&[&[verb, "--api", &api], more].concat(), PATIENCE);
        for (more, why) in [(&[][..], "need its token"), (&["--api-token", &wrong], "not the token")] {
            let refused = ask("pause", more)?.expect(2)?;
            ensure!(refused.stderr.contains(why), "{}", refused.stderr);
        }
        ask("status", &[])?.expect(0)?;
        ask("pause", &["--api-token", &right])?.expect(0)?;
        ensure!(host::job(port)?["state"] == "paused");
        let env = [("WEIR_API_TOKEN", TOKEN)];
        let stop = Host::start_program_with(&host::program()?, &["stop", "--api", &api], &env)?;
        stop.wait(PATIENCE)?.expect(0)?;
        let ended = job.wait(PATIENCE)?.expect(0)?;
        let turned_away = ended.stderr.lines().filter(|line| line.contains("turned away by the API")).count();
        ensure!(turned_away == 2 && !ended.stderr.contains(TOKEN), "{}", ended.stderr);
        ensure!(ended.stderr.lines().any(|line| line.contains("changed by the API") && line.contains("token")));
    }
    Ok(())
}

#[test]
fn a_token_is_not_said_nor_sent_in_clear_by_mistake() -> Result<()> {
    let _machine = machine::shared();
    let home = TempDir::new()?;
    let file = home.path().join("token");
    fs::write(&file, TOKEN)?;
    let file = format!("@{}", file.display());
    for (more, why) in [
        (&["--api", "0.0.0.0:0", "--api-token", &file][..], "would cross the network in clear"),
        (&["--api-token", TOKEN], "it is kept in a file, not said"),
        (&["--api-token", "@/nowhere/token"], "failed to read the token"),
        (&["--api-plaintext"], "there is none"),
    ] {
        let ended = start(more)?.wait(PATIENCE)?.expect(2)?;
        ensure!(ended.stderr.contains(why) && !ended.stderr.contains(TOKEN), "{more:?}: {}", ended.stderr);
    }
    let ended = host::run(&["pause", "--api", "127.0.0.1:1", "--api-token", TOKEN], PATIENCE)?.expect(2)?;
    ensure!(ended.stderr.contains("kept in a file") && !ended.stderr.contains(TOKEN), "{}", ended.stderr);
    Ok(())
}

/// Bodies that may not be sent were 256 MiB of memory each.
#[test]
fn bodies_that_are_not_wanted_cost_no_memory() -> Result<()> {
    let _machine = machine::shared();
    let port = free_port()?;
    let mut job = start(&["--api", &format!("127.0.0.1:{port}")])?;
    job.wait_for_job(port, PATIENCE, |job| job["state"] == "running")?;
    let before = job.usage()?.rss_bytes;
    let head = "POST /v1/operators/operator/swap HTTP/1.1\r\nhost: localhost\r\ncontent-length: 200000000\r\n";
    // The first of the plugins is taken as it comes; nobody gets further than that.
    for content in ["text/plain", "application/wasm"] {
        let mut sending = Vec::new();
        for _ in 0..30 {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_write_timeout(Some(Duration::from_millis(100)))?;
            stream.write_all(format!("{head}content-type: {content}\r\n\r\n").as_bytes())?;
            sending.push(stream);
        }
        let (body, began) = (vec![0; 1 << 20], Instant::now());
        // Whoever is refused is cut off, or is not read.
        for _ in 0..16 {
            sending.iter_mut().for_each(|stream| drop(stream.write_all(&body)));
        }
        ensure!(began.elapsed() < PATIENCE);
        for stream in &mut sending {
            stream.set_read_timeout(Some(Duration::from_millis(100)))?;
            drop(stream.read(&mut [0; 1 << 10]));
        }
    }
    let cost = job.usage()?.rss_bytes.saturating_sub(before);
    ensure!(cost < 100 << 20, "60 bodies cost {} MiB", cost >> 20);
    job.signal(Signal::SIGTERM)?;
    job.wait(PATIENCE)?.expect(0)?;
    Ok(())
}
