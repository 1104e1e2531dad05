//! Connections that are reset, half open or cut: the job goes on by itself, and the output is exact.

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::proxy::{Api, Fault, Rule};

use crate::scene::{Scene, Trouble, at_once, survives};

const STARTING: [Api; 7] = [
    Api::API_VERSIONS,
    Api::METADATA,
    Api::FIND_COORDINATOR,
    Api::INIT_PRODUCER_ID,
    Api::OFFSET_FETCH,
    Api::LIST_OFFSETS,
    Api::FETCH,
];

const RUNNING: [Api; 7] = [
    Api::PRODUCE,
    Api::ADD_PARTITIONS,
    Api::ADD_OFFSETS,
    Api::TXN_OFFSET_COMMIT,
    Api::END_TXN,
    Api::FETCH,
    Api::METADATA,
];

/// On the way there, or on the way back.
type Way = fn(Rule, Fault) -> Rule;
const WAYS: [(&str, Way); 2] = [("request", Rule::request), ("answer", Rule::answer)];

#[test]
fn a_connection_that_is_reset_while_the_job_starts() -> Result<()> {
    at_once(&WAYS, |name, way| {
        let scene = Scene::new(&format!("start-{name}"))?;
        let strike = |api| scene.proxy().add(way(Rule::on(api).once(), Fault::Reset));
        let watches = STARTING.map(strike);
        let ended = scene.finish(scene.start(&[])?)?;
        for watch in watches {
            ensure!(watch.picked() > 0, "{watch:?} picked nothing; it said:\n{}", ended.stderr);
        }
        Ok(())
    })
}

#[test]
fn a_connection_that_is_reset_at_each_step_of_an_epoch() -> Result<()> {
    at_once(&WAYS, |name, way| {
        // Apart from each other, and each more than once.
        let rules = RUNNING.into_iter().zip(0..).map(|(api, n)| way(Rule::on(api).skip(2 * n).every(13), Fault::Reset));
        survives(&format!("run-{name}"), &Trouble::of(rules))
    })
}

#[test]
fn a_half_open_connection_for_longer_than_a_transaction_lasts() -> Result<()> {
    let silent = |api, way: Way| Trouble::of([way(Rule::on(api).once(), Fault::Silence)]);
    let [(_, request), (_, answer)] = WAYS;
    // Unless told otherwise, librdkafka waits for a minute before it gives up a connection that it reads from.
    let fetching = Trouble { more: &["--kafka", "socket.timeout.ms=4000"], ..silent(Api::FETCH, answer) };
    let scenarios = [
        ("half-end-request", silent(Api::END_TXN, request)),
        ("half-end-answer", silent(Api::END_TXN, answer)),
        ("half-produce-request", silent(Api::PRODUCE, request)),
        ("half-produce-answer", silent(Api::PRODUCE, answer)),
        ("half-offsets-answer", silent(Api::TXN_OFFSET_COMMIT, answer)),
        ("half-fetch-answer", fetching),
    ];
    at_once(&scenarios, survives)
}

/// Transactions last 4 s. When the cable is mended, what waited in it arrives, too.
#[test]
fn a_cable_that_is_cut_for_6_seconds() -> Result<()> {
    let scene = Scene::new("cut")?;
    let mut host = scene.start(&[])?;
    scene.wait_for_output(&mut host)?;
    scene.proxy().cut();
    std::thread::sleep(Duration::from_secs(6));
    ensure!(!host.is_over()?, "it gave up: {}", host.log()?);
    scene.proxy().heal();
    scene.finish(host)?;
    Ok(())
}
