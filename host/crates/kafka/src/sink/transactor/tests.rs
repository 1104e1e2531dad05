//! What rotation does on a real Kafka (`KAFKA_BOOTSTRAP=HOST:PORT`; without the
//! variable the second test ends at once).

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use weir_core::ports::{Commit, MarkerRead};
use weir_core::{Epoch, JobName, ShardId, SplitId};

use super::*;
use crate::admin::{NewTopic, ensure_topics};
use crate::options::ClientOptions;
use crate::properties::Properties;
use crate::sink::marker::{Group, STABLE_BOUND, offsets};
use crate::sink::pool::{Tenure, Unfinished};
use crate::sink::resend::Ends;

#[test]
fn an_attempt_that_was_given_up_initialises_nothing() {
    let job = JobName::new("given-up").unwrap();
    // Port 9 (discard) is not served; nobody gets as far as to notice.
    let brokers = "127.0.0.1:9".to_owned();
    let options = ClientOptions { brokers, properties: Properties::default(), job, shard: ShardId(0) };
    let tenure = Tenure::default();
    let pool = Pool {
        options,
        topics: Arc::default(),
        timeout: Duration::from_secs(15),
        tenure: tenure.clone(),
        unfinished: Unfinished::default(),
        ends: Ends::default(),
    };
    tenure.end();
    let started = Instant::now();
    let refused = pool.initialise(Slot::First, None).err().unwrap();
    assert!(matches!(refused.error, Error::Retired { .. }) && refused.running.is_none());
    assert!(started.elapsed() < Duration::from_secs(1), "before any broker is asked");
}

#[test]
fn ids_take_turns_and_the_doubted_one_is_fenced() {
    let Ok(brokers) = std::env::var("KAFKA_BOOTSTRAP") else { return };
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let job = JobName::new(format!("rotation-{stamp}")).unwrap();
    let options = ClientOptions { brokers, properties: Properties::default(), job, shard: ShardId(0) };
    let topic = format!("rotation-{stamp}");
    ensure_topics(&options, &BTreeMap::from([(topic.clone(), NewTopic::of(1))])).unwrap();
    let split = SplitId::new(topic.as_str(), 0);
    let group = Group::open(&options, MarkerRead::Stable).unwrap();
    let metadata = group.metadata().unwrap();
    let pool = Arc::new(Pool {
        options,
        topics: Arc::default(),
        timeout: Duration::from_secs(15),
        tenure: Tenure::default(),
        unfinished: Unfinished::default(),
        ends: Ends::default(),
    });
    let initialise = |slot| pool.initialise(slot, None).map_err(|failed| failed.error).unwrap();
    let fenced = Fenced { first: initialise(First), second: initialise(Second) };
    let background = Background::default();
    let mut transactor = Transactor::new(Arc::clone(&pool), background.clone(), fenced);
    let mut slots = Vec::new();
    for epoch in 1..=8 {
        let commit = Commit {
            epoch: Epoch(epoch),
            positions: vec![(split.clone(), epoch as i64)],
            marker: format!("marker {epoch}"),
        };
        transactor.commit(&offsets(&commit).unwrap(), &metadata).unwrap();
        slots.push(transactor.active.0);
        let committed = group.read(std::slice::from_ref(&split), STABLE_BOUND).unwrap();
        assert_eq!((committed[0].position, &committed[0].metadata), (epoch as i64, &commit.marker.into_bytes()));
        // Half of the time with the test's own doubt; a slow machine may have its own.
        if epoch > 4 {
            transactor.doubt = Some("test");
        }
    }
    use Slot::{First, Second};
    assert_eq!(slots, [First, Second, First, Second, First, Second, First, Second]);
    transactor.producer().unwrap();
    assert_eq!(transactor.active.0, First);
    transactor.close();
    assert!(background.join(Duration::from_secs(30)));
}
