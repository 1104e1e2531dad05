//! What a source asks, and answers that do not come or come late.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::producer::BaseRecord;
use weir_tests::proxy::{Api, Fault, Rule};
use weir_tests::reader::read_all;
use weir_tests::topics::Writer;

use crate::scene::{PATIENCE, Scene, at_once};

/// Nobody can say whether the topic still is what it was: what was read waits, and is not committed.
#[test]
fn an_epoch_that_cannot_be_verified_waits_and_is_not_committed() -> Result<()> {
    let scene = Scene::new("unverified")?;
    let mut host = scene.start(&[])?;
    scene.wait_for_output(&mut host)?;
    let silent = scene.proxy().add(Rule::on(Api::METADATA).answer(Fault::Drop));
    silent.wait(1, PATIENCE)?;
    // The epoch before may be on its way.
    sleep(Duration::from_millis(500));
    let output = scene.observer()?;
    let before = output.stable()?;
    sleep(Duration::from_millis(2_500));
    let after = output.stable()?;
    ensure!(before == after, "{} records were committed without an answer", after - before);
    scene.proxy().clear();
    scene.finish(host)?;
    Ok(())
}

/// Two questions find where a timestamp begins; a record that arrives before the second one is answered is not skipped.
#[test]
fn a_record_that_arrives_between_two_questions_is_not_skipped() -> Result<()> {
    // The first question for offsets is what there is, the next two are about the start.
    let scenarios = [("first-question", 1), ("second-question", 2)];
    at_once(&scenarios, |name, number| {
        let scene = Scene::new(name)?;
        let before = read_all(scene.broker(), &scene.input)?;
        // Half an hour after all of them; a broker takes no record that is more than an hour ahead.
        let begin = before.iter().filter_map(|record| record.timestamp).max().unwrap_or_default() + 1_800_000;
        let late = Rule::on(Api::LIST_OFFSETS).skip(*number).once().request(Fault::Delay(Duration::from_secs(2)));
        let late = scene.proxy().add(late);
        let host = scene.start(&["--start", &format!("timestamp:{begin}")])?;
        late.wait(1, PATIENCE)?;
        let writer = Writer::new(scene.broker())?;
        writer.send(BaseRecord::to(&scene.input).timestamp(begin).key(&b"between"[..]).payload(&b"v"[..]))?;
        writer.flush()?;
        host.wait(PATIENCE)?.expect(0)?;
        let found = read_all(scene.broker(), &scene.output)?;
        let keys: Vec<_> = found.iter().map(|record| record.key.as_deref().unwrap_or_default()).collect();
        ensure!(keys == [b"between"], "{name}: {} records came out", keys.len());
        Ok(())
    })
}
