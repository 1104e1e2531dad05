//! Three brokers, each also a controller, everything on all of them (replication factor 3, min.isr 2): one may be killed
//! under load, and the coordinators it led move to another.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, Producer as _};

use super::{Broker, Server, free_ports, settings};

const PATIENCE: Duration = Duration::from_secs(60);

/// A Kafka cluster of three nodes.
#[derive(Debug)]
pub struct Cluster {
    broker: Broker,
    nodes: Vec<Server>,
}

impl Cluster {
    /// A new one, with nothing in it.
    pub fn start() -> Result<Self> {
        let mut ports = Vec::new();
        for id in 1..=3_u16 {
            ports.push((id, free_ports()?));
        }
        let voters: Vec<_> = ports.iter().map(|(id, ports)| (*id, ports.controller)).collect();
        let bootstrap: Vec<_> = ports.iter().map(|(_, ports)| format!("127.0.0.1:{}", ports.clients)).collect();
        // Each of these is a JVM that starts: at the same time.
        let formatting: Vec<_> = ports
            .into_iter()
            .map(|(id, ports)| {
                let node = settings::Node { id, voters: voters.clone() };
                thread::spawn(move || Server::format(&node, ports, "256m", false))
            })
            .collect();
        let mut nodes = Vec::new();
        for server in formatting {
            nodes.push(server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        // None of them listens before two are there.
        nodes.iter_mut().try_for_each(Server::launch)?;
        nodes.iter_mut().try_for_each(Server::wait_until_it_listens)?;
        let cluster = Self { broker: Broker { bootstrap: bootstrap.join(","), server: None }, nodes };
        cluster.wait_until_complete()?;
        Ok(cluster)
    }

    /// What clients, writers and judges need to know of it.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Kills node `id` (1 to 3) with -9; its data stay.
    pub fn kill(&mut self, id: i32) -> Result<()> {
        drop(self.node(id)?.process.take().context("the node is dead already")?);
        Ok(())
    }

    /// Starts it again; returns when the other nodes know it.
    pub fn restart(&mut self, id: i32) -> Result<()> {
        self.node(id)?.start()?;
        self.wait_until_complete()
    }

    /// Who coordinates whom now.
    pub fn coordinators(&self) -> Result<Coordinators> {
        let config = || self.broker.client();
        // The internal topics exist after their first use.
        let producer: BaseProducer = config().set("transactional.id", "first").create()?;
        producer.init_transactions(PATIENCE)?;
        let consumer: BaseConsumer = config().set("group.id", "first").create()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition("any", 0);
        // The answer is not wanted, and there may be none.
        let _answer = consumer.committed_offsets(asked, PATIENCE);
        let leaders = |topic| {
            let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
            let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            let leaders: Vec<_> = partitions.map(|partition| (partition.id(), partition.leader())).collect();
            ensure!(leaders.len() == settings::COORDINATORS, "{topic} has {} partitions", leaders.len());
            Ok(leaders.into_iter().collect())
        };
        Ok(Coordinators { groups: leaders("__consumer_offsets")?, ids: leaders("__transaction_state")? })
    }

    fn node(&mut self, id: i32) -> Result<&mut Server> {
        let index = usize::try_from(id - 1)?;
        self.nodes.get_mut(index).with_context(|| format!("there is no node {id}"))
    }

    fn wait_until_complete(&self) -> Result<()> {
        let asking: BaseConsumer = self.broker.client().create()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let known = asking.fetch_metadata(None, PATIENCE)?.brokers().len();
            if known == self.nodes.len() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "only {known} of {} nodes are known", self.nodes.len());
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Which node leads each partition of the two topics that coordinators keep.
#[derive(Debug)]
pub struct Coordinators {
    groups: HashMap<i32, i32>,
    ids: HashMap<i32, i32>,
}

impl Coordinators {
    /// Which node coordinates the group `name`, if any does.
    pub fn of_group(&self, name: &str) -> Option<i32> {
        self.groups.get(&partition_of(name)).copied().filter(|node| *node > 0)
    }

    /// Which node coordinates the transactional id `name`, if any does.
    pub fn of_id(&self, name: &str) -> Option<i32> {
        self.ids.get(&partition_of(name)).copied().filter(|node| *node > 0)
    }
}

/// Which partition of its topic a coordinator's name belongs to: Java's hash of a string, without its sign.
fn partition_of(name: &str) -> i32 {
    let hash = name.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0) % settings::COORDINATORS as i32
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    #[test]
    fn the_hash_is_javas() {
        // "hello".hashCode() is 99162322; "polygenelubricants".hashCode() is the smallest number there is.
        assert_eq!(partition_of("hello"), 99_162_322 % 4);
        assert_eq!(partition_of("polygenelubricants"), 0);
    }
}
