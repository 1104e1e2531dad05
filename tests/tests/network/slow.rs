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
