//! One of three brokers is killed under load: the one that coordinates the group and a transactional id, and so what a
//! commit needs moves to another.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use weir_tests::broker::cluster::{Cluster, Coordinators};
use weir_tests::host::{self, Host};
use weir_tests::judge::judge_count;
use weir_tests::reader::Observer;
use weir_tests::topics::{self, Writer};

use crate::scene::{PATIENCE, longest_pause, say, unique};

/// The cluster notices within 6 s that a node is dead; then coordinators load, and clients look for them. librdkafka may
/// wait for the dead coordinator for ever (it asks for another only when a connection comes or goes): 10 s after the
/// transaction has timed out such a client is given up, and the job recovers in place.
const STALL_MAX: Duration = Duration::from_secs(45);
/// How long the node is dead.
const AWAY: Duration = Duration::from_secs(15);

/// A name for a job of which one node coordinates the group and, if possible, transactional ids; that node, and how much
/// it coordinates. (Not every combination exists: the hashes of the names depend on each other.)
fn one_coordinator(coordinators: &Coordinators) -> Result<(String, i32, usize)> {
    let names = (0..1_000).filter_map(|_| {
        let job = unique("moved");
        let node = coordinators.of_group(&format!("weir-{job}"))?;
        let ids = (0..2).filter(|slot| coordinators.of_id(&format!("weir-{job}-0-{slot}")) == Some(node)).count();
        Some((job, node, 1 + ids))
    });
    names.max_by_key(|(_, _, count)| *count).with_context(|| format!("nobody coordinates: {coordinators:?}"))
}

#[test]
fn a_broker_of_three_is_killed_and_the_coordinators_move() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let (input, output) = (unique("in"), unique("out"));
    for topic in [&input, &output] {
        topics::create(cluster.broker(), topic, 6, &[])?;
    }
    topics::fill(&Writer::new(cluster.broker())?, &input, 40_000, 1_000, 100)?;
    let (job, node, moved) = one_coordinator(&cluster.coordinators()?)?;
    let state = TempDir::new()?;
    let (plugin, state) = (host::plugin("count")?, state.path().display().to_string());
    let mut args = vec!["run", "--plugin", &plugin, "--brokers", cluster.broker().bootstrap(), "--job", &job];
    args.extend(["--from", &input, "--to", &output, "--state-dir", &state, "--until", "latest"]);
    args.extend(["--max-rate", "500", "--api", "off"]);
    let mut host = Host::start(&args)?;
    let observer = Observer::new(cluster.broker(), &output)?;
    host.wait_until("output", PATIENCE, |_| Ok(observer.stable().is_ok_and(|stable| stable > 5_000)))?;
    let pause = thread::scope(|scope| {
        let death = scope.spawn(|| {
            thread::sleep(Duration::from_millis(500));
            cluster.kill(node)?;
            thread::sleep(AWAY);
            cluster.restart(node)
        });
        let pause = longest_pause(&mut host, || Ok(observer.stable().ok()))?;
        death.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok::<_, anyhow::Error>(pause)
    })?;
    let ended = host.wait(PATIENCE)?.expect(0)?;
    judge_count(cluster.broker(), &input, &output)?.expect_exact()?;
    let restarts = ended.stderr.matches("recovering in place").count();
    say(&format!("{moved} coordinators moved: no new output for {pause:?} at most, {restarts} recoveries"))?;
    ensure!(pause < STALL_MAX, "no new output for {pause:?}:\n{}", ended.stderr);
    Ok(())
}
