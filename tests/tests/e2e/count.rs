//! For each key, the output holds exactly 1..n in order: undisturbed, killed with -9 at random moments, with state
//! larger than memory, with another parallelism, behind aborted transactions.

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::host::Host;
use weir_tests::machine;
use weir_tests::random::Random;
use weir_tests::reader::Observer;
use weir_tests::topics::{self, Writer};

use crate::scene::{PATIENCE, Scene, is_full};

#[test]
fn every_key_counts_from_1_to_n_in_order() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("exact")?;
    scene.fill(if is_full() { 1_000_000 } else { 200_000 }, 10_000)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_second_run_up_to_latest_adds_nothing() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("again")?;
    scene.fill(2_000, 100)?;
    scene.run("count", &[])?.expect(0)?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

/// What a run of kills is like.
struct Kills {
    records: u64,
    kills: u32,
    /// How many must hit an open transaction; of few kills a smaller part, as they are a small sample.
    open: u32,
    /// How long the records last at the given rate.
    lasting: Duration,
}

#[test]
fn kill_9_at_random_moments_loses_and_duplicates_nothing() -> Result<()> {
    let _machine = machine::shared();
    let kills = if is_full() {
        Kills { records: 1_000_000, kills: 20, open: 15, lasting: Duration::from_secs(70) }
    } else {
        Kills { records: 100_000, kills: 6, open: 3, lasting: Duration::from_secs(18) }
    };
    let scene = Scene::new("killed")?;
    scene.fill(kills.records, 10_000)?;
    let mut random = Random::new();
    let seed = random.seed();
    let open = kill_all(&scene, &kills, &mut random).map_err(|error| error.context(format!("WEIR_SEED={seed}")))?;
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact().map_err(|error| error.context(format!("WEIR_SEED={seed}")))?;
    ensure!(open >= kills.open, "only {open} of {} kills hit an open transaction", kills.kills);
    Ok(())
}

/// Kills at random moments of the work; returns how many hit an open transaction.
fn kill_all(scene: &Scene<'_>, kills: &Kills, random: &mut Random) -> Result<u32> {
    let rate = (kills.records as f64 / 4.0 / kills.lasting.as_secs_f64()).to_string();
    let rate = rate.split('.').next().unwrap_or_default();
    let observer = Observer::new(scene.broker, &scene.output)?;
    // All runs together take less than the records last, so that there is work at each kill.
    let longest = kills.lasting.mul_f64(1.4) / (kills.kills + 1);
    let mut open = 0;
    for kill in 0..kills.kills {
        let mut host = scene.start("count", &["--until", "latest", "--max-rate", rate])?;
        let before = observer.high()?;
        host.wait_until(&format!("output, before kill {kill}"), PATIENCE, |_| Ok(observer.high()? > before))?;
        std::thread::sleep(random.between(Duration::ZERO, longest));
        ensure!(!host.is_over()?, "it was through before kill {kill} of {}: {}", kills.kills, host.log()?);
        host.kill()?;
        open += u32::from(observer.open_transactions()? > 0);
    }
    Ok(open)
}

#[test]
fn kill_9_while_it_starts_loses_and_duplicates_nothing() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("killed-early")?;
    scene.fill(20_000, 500)?;
    let mut random = Random::new();
    for _ in 0..if is_full() { 20 } else { 6 } {
        let host = scene.start("count", &["--until", "latest", "--max-rate", "1000"])?;
        std::thread::sleep(random.between(Duration::ZERO, Duration::from_millis(1500)));
        host.kill()?;
    }
    scene.run("count", &[])?.expect(0)?;
    scene.judge()?.expect_exact().map_err(|error| error.context(format!("WEIR_SEED={}", random.seed())))?;
    Ok(())
}

#[test]
fn state_may_be_four_times_larger_than_its_memory() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("large")?;
    // 80,000 keys of 450 bytes are 36 MB of state.
    let writer = Writer::new(scene.broker)?;
    let padding = "k".repeat(440);
    for number in 0..160_000_u32 {
        writer.write(&scene.input, format!("{:010}{padding}", number % 80_000).as_bytes(), b"value")?;
    }
    writer.flush()?;
    scene.run("count", &["--state-memory", "8MiB"])?.expect(0)?;
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn parallelism_may_change_between_runs() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("parallel")?;
    for parallelism in ["1", "3", "2"] {
        scene.fill(20_000, 1_000)?;
        scene.run("count", &["--parallelism", parallelism])?.expect(0)?;
    }
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn aborted_transactions_of_the_input_do_not_count() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("aborted")?;
    let writer = Writer::transactional(scene.broker, &scene.job)?;
    for round in 0..20 {
        writer.begin()?;
        topics::fill(&writer, &scene.input, 500, 50, 30)?;
        if round % 2 == 0 { writer.commit()? } else { writer.abort()? }
    }
    // Aborted records and their markers are the last of the log: the end must be found nevertheless.
    scene.run("count", &[])?.expect(0)?;
    let verdict = scene.judge()?.expect_exact()?;
    ensure!(verdict.input == 5_000, "{verdict}");
    Ok(())
}

#[test]
fn at_least_once_and_none_are_exact_when_nothing_fails() -> Result<()> {
    let _machine = machine::shared();
    for delivery in ["at-least-once", "none"] {
        let scene = Scene::new(delivery)?;
        scene.fill(20_000, 1_000)?;
        scene.run("count", &["--delivery", delivery])?.expect(0)?;
        scene.judge()?.expect_exact()?;
    }
    Ok(())
}

#[test]
fn at_least_once_loses_nothing_when_killed() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("killed-alo")?;
    scene.fill(20_000, 100)?;
    let observer = Observer::new(scene.broker, &scene.output)?;
    for _ in 0..3 {
        let args = scene.args("count", &["--delivery", "at-least-once", "--until", "latest", "--max-rate", "1000"])?;
        let mut host = Host::start(&args)?;
        let before = observer.high()?;
        host.wait_until("output", PATIENCE, |_| Ok(observer.high()? > before + 200))?;
        host.kill()?;
    }
    scene.run("count", &["--delivery", "at-least-once"])?.expect(0)?;
    let verdict = scene.judge()?;
    ensure!(verdict.lost == 0, "{verdict}");
    Ok(())
}
