//! What rotation does on a real Kafka (`KAFKA_BOOTSTRAP=HOST:PORT`; without the variable, tests that need one end at
//! once).

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
use crate::sink::resend::{Ends, rotate};

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
        bound: INIT_BOUND,
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

/// Transactions on a Kafka, with what they commit.
struct Bench {
    pool: Arc<Pool>,
    transactor: Transactor,
    background: Background,
    group: Group,
    metadata: GroupMetadata,
    split: SplitId,
}

impl Bench {
    /// On a job and a topic of its own; `None` without a Kafka.
    fn new(name: &str) -> Option<Self> {
        let brokers = std::env::var("KAFKA_BOOTSTRAP").ok()?;
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let topic = format!("{name}-{stamp}");
        let job = JobName::new(topic.as_str()).unwrap();
        let options = ClientOptions { brokers, properties: Properties::default(), job, shard: ShardId(0) };
        ensure_topics(&options, &BTreeMap::from([(topic.clone(), NewTopic::of(1))])).unwrap();
        let group = Group::open(&options, MarkerRead::Stable).unwrap();
        let metadata = group.metadata().unwrap();
        let pool = Arc::new(Pool {
            options,
            topics: Arc::default(),
            timeout: Duration::from_secs(15),
            bound: INIT_BOUND,
            tenure: Tenure::default(),
            unfinished: Unfinished::default(),
            ends: Ends::default(),
        });
        let initialise = |slot| pool.initialise(slot, None).map_err(|failed| failed.error).unwrap();
        let fenced = Fenced { first: initialise(Slot::First), second: initialise(Slot::Second) };
        let background = Background::default();
        let transactor = Transactor::new(Arc::clone(&pool), background.clone(), fenced, rotate);
        Some(Self { pool, transactor, background, group, metadata, split: SplitId::new(topic.as_str(), 0) })
    }

    /// Commits `epoch`; tells on which id, and whether its client has a long backoff.
    fn commit(&mut self, epoch: u64) -> (Slot, bool) {
        let marker = format!("marker {epoch}");
        let commit = Commit { epoch: Epoch(epoch), positions: vec![(self.split.clone(), epoch as i64)], marker };
        self.transactor.commit(&offsets(&commit).unwrap(), &self.metadata).unwrap();
        let (slot, producer) = &self.transactor.active;
        (*slot, producer.backoff().is_long())
    }

    fn took(&self, ms: u64) {
        (0..9).for_each(|_| self.pool.ends.note(Duration::from_millis(ms)));
    }

    fn close(self) {
        self.transactor.close();
        assert!(self.background.join(Duration::from_secs(30)));
    }
}

#[test]
fn ids_take_turns_and_the_doubted_one_is_fenced() {
    let Some(mut bench) = Bench::new("rotation") else { return };
    let mut slots = Vec::new();
    for epoch in 1..=8 {
        slots.push(bench.commit(epoch).0);
        let committed = bench.group.read(std::slice::from_ref(&bench.split), STABLE_BOUND).unwrap();
        let wanted = (epoch as i64, &format!("marker {epoch}").into_bytes());
        assert_eq!((committed[0].position, &committed[0].metadata), wanted);
        // Half of the time with the test's own doubt; a slow machine may have its own.
        if epoch > 4 {
            bench.transactor.doubt = Some("test");
        }
    }
    use Slot::{First, Second};
    assert_eq!(slots, [First, Second, First, Second, First, Second, First, Second]);
    bench.transactor.producer().unwrap();
    assert_eq!(bench.transactor.active.0, First);
    bench.close();
}

#[test]
fn once_commits_are_fast_both_ids_are_opened_anew_without_a_doubt() {
    let Some(mut bench) = Bench::new("faster") else { return };
    for epoch in 1..=3 {
        bench.took(250);
        bench.commit(epoch);
        bench.transactor.doubt = Some("test");
    }
    assert!(bench.commit(4).1, "opened while commits took long");
    bench.took(1);
    let (mut fast, mut epoch) = (Vec::new(), 4);
    while fast.len() < 2 && epoch < 500 {
        epoch += 1;
        let (slot, is_long) = bench.commit(epoch);
        if !is_long && !fast.contains(&slot) {
            fast.push(slot);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(fast.len(), 2, "only {fast:?} were opened anew");
    bench.close();
}
