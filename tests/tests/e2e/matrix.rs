//! The rows of the fault matrix (`host/docs/fault-matrix.md`) that no other test here is about, each in a test that is named
//! after its row.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use tempfile::TempDir;
use weir_tests::broker::{Broker, free_port};
use weir_tests::host::{self, Host, job};
use weir_tests::machine;
use weir_tests::reader::{Observer, read_all};
use weir_tests::topics::{self, Writer};

use crate::scene::{PATIENCE, Scene};

const SHORT: [&str; 2] = ["--transaction-timeout", "4s"];

#[test]
fn transaction_timeout_expiry() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("expiry")?;
    scene.fill(20_000, 500)?;
    let port = free_port()?;
    let api = format!("127.0.0.1:{port}");
    let more = [&SHORT[..], &["--until", "latest", "--max-rate", "500", "--api", &api]].concat();
    let mut host = scene.start("count", &more)?;
    let output = Observer::new(scene.broker, &scene.output)?;
    host.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 1_000))?;
    // Stopped until a transaction is open, and left so until the broker has ended it.
    loop {
        host.signal(Signal::SIGSTOP)?;
        std::thread::sleep(Duration::from_millis(50));
        if output.open_transactions()? > 0 {
            break;
        }
        host.signal(Signal::SIGCONT)?;
        std::thread::sleep(Duration::from_millis(37));
    }
    std::thread::sleep(Duration::from_secs(7));
    ensure!(output.open_transactions()? == 0, "the broker has not ended the transaction");
    host.signal(Signal::SIGCONT)?;
    host.wait_for_job(port, PATIENCE, |job| job["restarts"].as_u64() >= Some(1) && job["state"] == "running")?;
    ensure!(job(port)?["last_error"].is_string(), "{}", job(port)?);
    host.wait(PATIENCE)?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn sigstop_zombie_and_a_second_instance() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("zombie")?;
    scene.fill(12_000, 500)?;
    let bounded = [&SHORT[..], &["--until", "latest", "--max-rate", "500"]].concat();
    let mut zombie = scene.start("count", &bounded)?;
    let output = Observer::new(scene.broker, &scene.output)?;
    zombie.wait_until("output", PATIENCE, |_| Ok(output.stable()? > 1_000))?;
    zombie.signal(Signal::SIGSTOP)?;
    let other = TempDir::new()?;
    copy(scene.state_dir(), other.path())?;
    let second = Host::start(&scene.args_in(other.path(), "count", &bounded)?)?;
    let before = output.stable()?;
    let mut second = second;
    second.wait_until("output of the second", PATIENCE, |_| Ok(output.stable()? > before + 500))?;
    zombie.signal(Signal::SIGCONT)?;
    zombie.wait(PATIENCE)?.expect(3)?.says(&["another instance owns the job"])?;
    second.wait(PATIENCE)?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

/// A copy of everything in `from`.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, target) = entry.map(|e| (e.path(), to.join(e.file_name())))?;
        if entry.is_dir() {
            copy(&entry, &target)?;
        } else {
            fs::copy(&entry, &target)?;
        }
    }
    Ok(())
}

#[test]
fn slow_or_absent_downstream() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("downstream")?;
    // 200 MB: what is not bounded would be seen.
    topics::fill(&Writer::new(scene.broker)?, &scene.input, 200_000, 1_000, 1_000)?;
    let home = TempDir::new()?;
    let fifo = home.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR)?;
    // Open on both sides, so that whoever opens one of them does not wait for the other; read by nobody yet.
    let mut reader = fs::OpenOptions::new().read(true).write(true).open(&fifo)?;
    let script = format!(r#"exec "$0" "$@" > {}"#, fifo.display());
    let mut args = vec!["-c".to_owned(), script, host::program()?.display().to_string()];
    let scene = Scene { output: "-".to_owned(), ..scene };
    args.extend(scene.args("uppercase", &["--until", "latest"])?);
    let mut host = Host::start_program(Path::new("sh"), &args)?;
    std::thread::sleep(Duration::from_secs(8));
    ensure!(!host.is_over()?, "{}", host.log()?);
    let stalled = host.usage()?.rss_bytes;
    ensure!(stalled < 320_000_000, "{} MB while nobody reads", stalled / 1_000_000);
    // Whoever reads at last gets everything.
    let mut lines = 0_usize;
    let counter = std::thread::spawn(move || -> Result<usize> {
        use std::io::Read as _;
        let mut buffer = vec![0; 1 << 16];
        while lines < 200_000 {
            let read = reader.read(&mut buffer)?;
            lines += buffer.get(..read).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
        }
        Ok(lines)
    });
    host.wait(PATIENCE)?.expect(0)?;
    let lines = counter.join().ok().context("the reader panicked")??;
    ensure!(lines == 200_000, "{lines} of 200,000 lines came");
    Ok(())
}

#[test]
fn bit_flip_in_an_input_batch() -> Result<()> {
    let _machine = machine::shared();
    let broker = Broker::start_own()?;
    let scene = Scene::on(&broker, "bit-flip")?;
    let writer = Writer::new(&broker)?;
    for round in 0..5 {
        for number in 0..200 {
            let value = format!("round-{round}-number-{number:04}");
            let record = rdkafka::producer::BaseRecord::to(&scene.input).partition(0);
            writer.send(record.key(&b"key"[..]).payload(value.as_bytes()))?;
        }
        // A batch of its own.
        writer.flush()?;
    }
    let segments = broker.segments(&scene.input, 0)?;
    let segment = segments.first().context("the partition has a segment")?;
    let bytes = fs::read(segment)?;
    let place =
        bytes.windows(14).position(|window| window == b"round-3-number").context("round 3 is in the segment")?;
    fs::OpenOptions::new().write(true).open(segment)?.write_all_at(b"X", place as u64)?;
    let ended = scene.run("uppercase", &[])?.expect(1)?;
    ended.says(&[&scene.input, "CRC"])?;
    // Nothing of the batch came through, nor anything after it.
    let found = read_all(&broker, &scene.output)?;
    let late = |record: &weir_tests::reader::Record| {
        let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        value.starts_with("ROUND-3") || value.starts_with("ROUND-4") || value.starts_with("XOUND")
    };
    ensure!(!found.iter().any(late), "records of a corrupt batch, or after it, came through");
    // It does not get better by starting again; mended, the job goes on where it was.
    scene.run("uppercase", &[])?.expect(1)?;
    let mut file = fs::OpenOptions::new().write(true).open(segment)?;
    file.write_all_at(b"r", place as u64)?;
    file.flush()?;
    scene.run("uppercase", &[])?.expect(0)?;
    ensure!(read_all(&broker, &scene.output)?.len() == 1_000, "records are lost or doubled");
    Ok(())
}
