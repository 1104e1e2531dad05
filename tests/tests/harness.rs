//! The judge and the observer are judged first: on a real Kafka they must see what is lost, doubled and open.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use weir_tests::broker::{Broker, USER, credentials};
use weir_tests::judge::judge_count;
use weir_tests::reader::{self, Observer};
use weir_tests::topics::{self, Writer};

#[test]
fn the_judge_sees_loss_and_doubles_and_nothing_that_was_aborted() -> Result<()> {
    let broker = Broker::shared();
    topics::create(broker, "judged-in", 2, &[])?;
    topics::create(broker, "judged-out", 2, &[])?;
    let plain = Writer::new(broker)?;
    for key in ["a", "a", "a", "b"] {
        plain.write("judged-in", key.as_bytes(), b"value")?;
    }
    plain.flush()?;
    let writer = Writer::transactional(broker, "judged")?;
    writer.begin()?;
    writer.write("judged-out", b"a", b"77")?;
    writer.abort()?;
    writer.begin()?;
    for (key, count) in [("a", "1"), ("a", "3"), ("b", "1"), ("b", "1")] {
        writer.write("judged-out", key.as_bytes(), count.as_bytes())?;
    }
    writer.commit()?;
    let verdict = judge_count(broker, "judged-in", "judged-out")?;
    ensure!((verdict.lost, verdict.duplicated) == (1, 1), "{verdict}");
    ensure!(verdict.expect_exact().is_err(), "{verdict}");
    ensure!(reader::read_all(broker, "judged-out")?.len() == 4, "the reader saw what was aborted");
    Ok(())
}

#[test]
fn the_observer_sees_an_open_transaction() -> Result<()> {
    let broker = Broker::shared();
    topics::create(broker, "observed", 2, &[])?;
    let observer = Observer::new(broker, "observed")?;
    let writer = Writer::transactional(broker, "observed")?;
    writer.begin()?;
    writer.write("observed", b"a", b"1")?;
    writer.flush()?;
    ensure!(observer.open_transactions()? == 1, "an open transaction was not seen");
    ensure!((observer.stable()?, observer.high()?) == (0, 1), "the ends are wrong");
    writer.commit()?;
    // The commit returns some milliseconds before the partitions know of it.
    let deadline = Instant::now() + Duration::from_secs(5);
    while observer.open_transactions()? != 0 {
        ensure!(Instant::now() < deadline, "a committed transaction looks open");
    }
    Ok(())
}

#[test]
fn a_broker_keeps_its_data_when_stopped_and_killed() -> Result<()> {
    let mut broker = Broker::start_own()?;
    topics::create(&broker, "kept", 1, &[])?;
    let written = |broker: &Broker| -> Result<()> {
        let writer = Writer::new(broker)?;
        writer.write("kept", b"a", b"1")?;
        writer.flush()
    };
    written(&broker)?;
    broker.stop()?;
    broker.restart()?;
    written(&broker)?;
    broker.pause()?;
    broker.resume()?;
    ensure!(reader::read_all(&broker, "kept")?.len() == 2, "data were lost by a stop");
    broker.kill()?;
    broker.restart()?;
    written(&broker)
}

#[test]
fn a_secured_broker_refuses_what_is_not_allowed() -> Result<()> {
    let broker = Broker::start_secured()?;
    topics::create(&broker, "secret", 1, &[])?;
    let see = || -> Result<usize> {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap());
        for (key, value) in credentials(USER) {
            config.set(key, value);
        }
        let consumer: rdkafka::consumer::BaseConsumer = config.create()?;
        let metadata = rdkafka::consumer::Consumer::fetch_metadata(&consumer, Some("secret"), Duration::from_secs(20))?;
        Ok(metadata.topics().iter().map(|topic| topic.partitions().len()).sum())
    };
    ensure!(see()? == 0, "the user sees a topic that nobody allowed it to see");
    broker.allow(&["Describe", "Read"], "--topic", "secret")?;
    ensure!(see()? == 1, "the user does not see what it is allowed to see");
    Ok(())
}
