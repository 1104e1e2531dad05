//! A request that the client has given up, sent again and had answered arrives a second time (KAFKA-17754): one
//! connection was slow, another one was not. EndTxn has no number that would tell to which transaction it belongs, and
//! TxnOffsetCommit none that would tell which is newer; only a new producer epoch keeps late ones out.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use weir_tests::host::Host;
use weir_tests::proxy::{Api, Fault, Rule};
use weir_tests::reader::read_all;
use weir_tests::topics;

use crate::lane::Lane;
use crate::scene::{PATIENCE, Scene, at_once, unique};

/// The broker's answers.
const DONE: i16 = 0;
const FENCED: [i16; 2] = [47, 90];

/// What a program does after a commit that took suspiciously long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    GoesOn,
    Rotates,
}

/// A bare client as an application would write it: records and offsets in one transaction.
struct Bare {
    lane: Lane,
    topic: String,
    producer: BaseProducer,
    member: BaseConsumer,
}

impl Bare {
    fn new() -> Result<Self> {
        let (lane, topic) = (Lane::take(), unique("bare"));
        topics::create(Lane::broker(), &topic, 1, &[])?;
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", lane.bootstrap()).set("group.id", &topic).set("enable.auto.commit", "false");
        let member = config.create()?;
        let producer = Self::initialised(&lane, &topic)?;
        Ok(Self { lane, topic, producer, member })
    }

    fn initialised(lane: &Lane, id: &str) -> Result<BaseProducer> {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", lane.bootstrap()).set("transactional.id", id);
        let producer: BaseProducer = config.create()?;
        producer.init_transactions(PATIENCE)?;
        Ok(producer)
    }

    /// A new producer epoch for the same id, as after every doubt.
    fn rotate(&mut self) -> Result<()> {
        self.producer = Self::initialised(&self.lane, &self.topic)?;
        Ok(())
    }

    /// Ten records.
    fn write(&self) -> Result<()> {
        self.producer.begin_transaction()?;
        for _ in 0..10 {
            let record = BaseRecord::to(&self.topic).key("key").payload("value");
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        Ok(self.producer.flush(PATIENCE)?)
    }

    /// The position after `number` transactions.
    fn mark(&self, number: i64) -> Result<()> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.topic, 0, Offset::Offset(number * 10))?;
        let group = self.member.group_metadata().context("a consumer with a group has its metadata")?;
        Ok(self.producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?)
    }

    fn transaction(&self, number: i64) -> Result<()> {
        self.write()?;
        self.mark(number)?;
        Ok(self.producer.commit_transaction(PATIENCE)?)
    }

    /// Committed records, and the committed position.
    fn committed(&self) -> Result<(usize, i64)> {
        let records = read_all(Lane::broker(), &self.topic)?.len();
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, 0);
        let offsets = self.member.committed_offsets(asked, PATIENCE)?;
        let element = offsets.find_partition(&self.topic, 0).context("an answer for the partition")?;
        element.error()?;
        Ok((records, element.offset().to_raw().context("a position")?))
    }
}

/// A client in its third transaction, all of which is written, and what the broker then answered to the request of the
/// second that was held.
fn late_request(api: Api, after: After) -> Result<(Bare, i16)> {
    let mut client = Bare::new()?;
    client.transaction(1)?;
    let late = client.lane.proxy().add(Rule::on(api).of(&client.topic).once().hold());
    client.transaction(2)?;
    ensure!(late.picked() == 1, "nothing was held");
    if after == After::Rotates {
        client.rotate()?;
    }
    client.write()?;
    client.mark(3)?;
    let answer = late.deliver(PATIENCE)?.error()?;
    Ok((client, answer))
}

/// The EndTxn of transaction 2 arrives while transaction 3 is open, which its owner will abort.
fn late_end_of_a_bare_client(after: After) -> Result<()> {
    let (client, answer) = late_request(Api::END_TXN, after)?;
    // Its owner knows nothing of a commit, and wants none.
    let aborted = client.producer.abort_transaction(PATIENCE);
    let committed = client.committed()?;
    match after {
        After::GoesOn => ensure!(
            answer == DONE && committed == (30, 30),
            "the late request should have committed what nobody committed: {answer}, {committed:?}"
        ),
        After::Rotates => {
            aborted?;
            ensure!(FENCED.contains(&answer) && committed == (20, 20), "answer {answer}, {committed:?}");
        }
    }
    Ok(())
}

#[test]
fn a_late_end_commits_what_nobody_committed_unless_the_id_was_initialised_anew() -> Result<()> {
    late_end_of_a_bare_client(After::GoesOn)?;
    late_end_of_a_bare_client(After::Rotates)
}

/// The offsets of transaction 2 arrive again while transaction 3 is open, after its own.
fn late_offsets_of_a_bare_client(after: After) -> Result<()> {
    let (client, answer) = late_request(Api::TXN_OFFSET_COMMIT, after)?;
    client.producer.commit_transaction(PATIENCE)?;
    let committed = client.committed()?;
    match after {
        After::GoesOn => ensure!(
            answer == DONE && committed == (30, 20),
            "the late request should have set the position back behind the records: {answer}, {committed:?}"
        ),
        After::Rotates => ensure!(FENCED.contains(&answer) && committed == (30, 30), "answer {answer}, {committed:?}"),
    }
    Ok(())
}

#[test]
fn late_offsets_set_the_position_back_unless_the_id_was_initialised_anew() -> Result<()> {
    late_offsets_of_a_bare_client(After::GoesOn)?;
    late_offsets_of_a_bare_client(After::Rotates)
}

/// Holds the EndTxn of an epoch of the job and delivers it while a later transaction of the same id is open and has all
/// its output; then the job is killed, and starts again. Returns the broker's answer.
fn late_end_of_a_job(scene: &Scene, mut host: Host) -> Result<i16> {
    scene.wait_for_output(&mut host)?;
    let (proxy, id) = (scene.proxy(), scene.id(0));
    let late = proxy.add(Rule::on(Api::END_TXN).of(&id).once().hold());
    late.wait(1, PATIENCE)?;
    // Outputs are acknowledged before the offsets are added.
    let open = proxy.add(Rule::on(Api::ADD_OFFSETS).of(&id).once().request(Fault::Silence));
    open.wait(1, PATIENCE)?;
    let answer = late.deliver(PATIENCE)?.error()?;
    host.kill()?;
    proxy.clear();
    Ok(answer)
}

/// The same for the offsets of an epoch: delivered after those of a later transaction of the same id and before its end,
/// whose answer the job does not live to see.
fn late_offsets_of_a_job(scene: &Scene, mut host: Host) -> Result<i16> {
    scene.wait_for_output(&mut host)?;
    let (proxy, id) = (scene.proxy(), scene.id(0));
    let late = proxy.add(Rule::on(Api::TXN_OFFSET_COMMIT).of(&id).once().hold());
    late.wait(1, PATIENCE)?;
    let wait = Duration::from_millis(500);
    // The first EndTxn is that of the epoch itself, after its offsets were sent again.
    let end = Rule::on(Api::END_TXN).of(&id).skip(1).once().request(Fault::Delay(wait)).answer(Fault::Drop);
    let end = proxy.add(end);
    end.wait(1, PATIENCE)?;
    let answer = late.deliver(PATIENCE)?.error()?;
    std::thread::sleep(wait * 2);
    host.kill()?;
    proxy.clear();
    Ok(answer)
}

/// What is done to a job; returns the broker's answer to the late request.
type Scenario = fn(&Scene, Host) -> Result<i16>;

const SCENARIOS: [(&str, Scenario); 2] = [("late-end", late_end_of_a_job), ("late-offsets", late_offsets_of_a_job)];

#[test]
fn a_late_request_does_nothing_to_a_job() -> Result<()> {
    at_once(&SCENARIOS, |name, scenario| {
        let scene = Scene::new(name)?;
        let answer = scenario(&scene, scene.start(&[])?)?;
        ensure!(FENCED.contains(&answer), "the broker took the late request: {answer}");
        scene.run_to_the_end()
    })
}

#[test]
fn a_late_request_harms_a_job_that_does_not_rotate() -> Result<()> {
    at_once(&SCENARIOS, |name, scenario| {
        let scene = Scene::new(&format!("{name}-harms"))?;
        let answer = scenario(&scene, scene.start_sabotaged("no-rotation")?)?;
        ensure!(answer == DONE, "the broker refused the late request: {answer}");
        scene.expect_harm(scene.start(&[])?)
    })
}

/// It fences whoever came after it, who finds no rival and goes on.
#[test]
fn a_late_initialisation_costs_a_recovery_at_most() -> Result<()> {
    let scene = Scene::new("late-init")?;
    let late = scene.proxy().add(Rule::on(Api::INIT_PRODUCER_ID).of(&scene.id(1)).once().hold());
    let mut host = scene.start(&[])?;
    scene.wait_for_output(&mut host)?;
    late.deliver(PATIENCE)?;
    scene.finish(host)?;
    Ok(())
}
