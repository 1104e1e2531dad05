//! Answers that take long: the id is changed whenever a request may have been sent twice, and nobody sees it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use weir_tests::broker::free_port;
use weir_tests::host;
use weir_tests::proxy::{Api, Fault, Rule};

use crate::scene::{PATIENCE, Scene, Trouble, at_once, longest_pause, say, survives};

#[test]
fn answers_that_come_late_cost_nothing() -> Result<()> {
    let late = |api, ms| Trouble::of([Rule::on(api).every(10).answer(Fault::Delay(Duration::from_millis(ms)))]);
    let scenarios = [
        ("late-add-offsets", late(Api::ADD_OFFSETS, 1_000)),
        ("late-offset-commit", late(Api::TXN_OFFSET_COMMIT, 1_000)),
        ("late-add-partitions", late(Api::ADD_PARTITIONS, 1_000)),
        ("late-produce", late(Api::PRODUCE, 1_000)),
        ("very-late-offset-commit", late(Api::TXN_OFFSET_COMMIT, 5_000)),
    ];
    at_once(&scenarios, survives)
}

/// What a counter of the program at `port` says, summed over its labels.
fn counter(port: u16, name: &str) -> Result<u64> {
    let text = host::get(port, "/metrics")?;
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.map(|line| Ok(line.rsplit_once(' ').context("a metric has a value")?.1.parse::<u64>()?)).sum()
}

/// How long a running job is without new output when each `every`-th EndTxn takes 100 ms longer.
fn pause_of(name: &str, every: u64) -> Result<Duration> {
    let scene = Scene::new(name)?;
    let port = free_port()?;
    let mut host = scene.start(&["--api", &format!("127.0.0.1:{port}")])?;
    scene.wait_for_output(&mut host)?;
    let slow = scene.proxy().add(Rule::on(Api::END_TXN).every(every).request(Fault::Delay(Duration::from_millis(100))));
    let rotations = || counter(port, "weir_sink_rotations_total");
    host.wait_until("a rotation", PATIENCE, |_| Ok(rotations()? > 0))?;
    let output = scene.observer()?;
    let pause = longest_pause(&mut host, || output.stable().map(Some))?;
    scene.finish(host)?;
    ensure!(slow.picked() > 0, "nothing was slow");
    Ok(pause)
}

/// All that a transaction asks for takes 160 ms, as on the way to another continent. The first commits are in doubt; then
/// the clients know how far away the broker is, and no id is lost any more.
#[test]
fn a_broker_that_is_far_away_does_not_cost_an_id_at_every_epoch() -> Result<()> {
    let far = Fault::Delay(Duration::from_millis(80));
    let scene = Scene::with_records("far-away", 48_000)?;
    let port = free_port()?;
    let mut host = scene.start(&["--api", &format!("127.0.0.1:{port}")])?;
    scene.wait_for_output(&mut host)?;
    let apis = [Api::ADD_PARTITIONS, Api::ADD_OFFSETS, Api::TXN_OFFSET_COMMIT, Api::END_TXN, Api::FIND_COORDINATOR];
    let slow = apis.map(|api| scene.proxy().add(Rule::on(api).request(far).answer(far)));
    let rotations = || counter(port, "weir_sink_rotations_total");
    let epoch = || counter(port, "weir_epoch_committed");
    host.wait_until("a rotation", PATIENCE, |_| Ok(rotations()? > 0))?;
    let mut last = (rotations()?, epoch()?);
    host.wait_until("ten epochs in a row without a rotation", PATIENCE, |_| {
        if rotations()? != last.0 {
            last = (rotations()?, epoch()?);
        }
        Ok(epoch()? >= last.1 + 10)
    })?;
    let epochs = epoch()?;
    let ended = scene.finish(host)?;
    say(&format!("160 ms away: {} rotations in the first {} of {epochs} epochs", last.0, last.1))?;
    ensure!(slow.iter().all(|watch| watch.picked() > 0), "nothing was slow; it said:\n{}", ended.stderr);
    Ok(())
}

#[test]
fn a_slow_end_changes_the_id_without_a_visible_pause() -> Result<()> {
    let scenarios = [("now-and-then", (10, Duration::from_secs(1))), ("each", (1, Duration::from_secs(3)))];
    at_once(&scenarios, |name, (every, bound)| {
        let pause = pause_of(name, *every)?;
        say(&format!("EndTxn slow {name}: no new output for {pause:?} at most"))?;
        ensure!(pause < *bound, "no new output for {pause:?}");
        Ok(())
    })
}
