//! The broker's `server.properties`.

use std::fmt::Write as _;
use std::path::Path;

use super::{ADMIN, USER};

/// The name of the file in the broker's own directory.
pub(super) const FILE: &str = "server.properties";
/// Any UUID serves: each broker is a cluster of its own.
pub(super) const CLUSTER_ID: &str = "AAAAAAAAQACAAAAAAAAAAQ";

/// Partitions of the topic of groups, and of that of transactional ids.
pub(super) const COORDINATORS: usize = 4;

/// Where a broker listens.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) clients: u16,
    pub(super) controller: u16,
    /// Of a secured broker: without login, for itself and its administrator.
    pub(super) internal: u16,
    /// Further listeners for clients, each with the port of the proxy that leads to it and is told to clients.
    pub(super) proxied: Vec<(u16, u16)>,
}

/// Its place in the cluster.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: u16,
    /// Id and controller port of every node; empty for a broker that is alone.
    pub(super) voters: Vec<(u16, u16)>,
}

impl Node {
    pub(super) const ALONE: Self = Self { id: 1, voters: Vec::new() };

    /// Alone, everything is there once. Of three, everything is on all and written to two at least; who is dead is
    /// noticed soon, so that a test need not wait long.
    fn lines(&self, controller: u16) -> Vec<String> {
        let mut lines = vec![format!("node.id={}", self.id)];
        lines.push(format!("offsets.topic.num.partitions={COORDINATORS}"));
        lines.push(format!("transaction.state.log.num.partitions={COORDINATORS}"));
        let (replicas, in_sync) = if self.voters.is_empty() { (1, 1) } else { (3, 2) };
        for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic", "default"] {
            lines.push(format!("{topic}.replication.factor={replicas}"));
        }
        for topic in ["transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr", "min.insync.replicas"] {
            lines.push(format!("{topic}={in_sync}"));
        }
        if self.voters.is_empty() {
            lines.push(format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller}"));
            return lines;
        }
        let voters: Vec<String> = self.voters.iter().map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
        lines.push(format!("controller.quorum.voters={}", voters.join(",")));
        let soon = ["broker.session.timeout.ms=6000", "broker.heartbeat.interval.ms=1000"];
        lines.extend(soon.map(str::to_owned));
        lines
    }
}

/// Small memory, nothing created by accident, and nothing deleted, however old the timestamps that a test writes.
const COMMON: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
auto.create.topics.enable=false
delete.topic.enable=true
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=1048576
log.retention.ms=-1
";

pub(super) fn properties(home: &Path, node: &Node, ports: &Ports, secured: bool) -> String {
    let Ports { clients, controller, internal, proxied } = ports;
    let protocol = if secured { "SASL_PLAINTEXT" } else { "PLAINTEXT" };
    let own = format!("CLIENTS://127.0.0.1:{clients},INTERNAL://127.0.0.1:{internal}");
    let (mut listeners, mut advertised) = (own.clone(), own);
    let mut protocols = format!("CLIENTS:{protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT");
    for (number, (port, proxy)) in proxied.iter().enumerate() {
        listeners += &format!(",PROXIED{number}://127.0.0.1:{port}");
        advertised += &format!(",PROXIED{number}://127.0.0.1:{proxy}");
        protocols += &format!(",PROXIED{number}:PLAINTEXT");
    }
    let mut text = String::from(COMMON);
    let mut lines = node.lines(*controller);
    lines.extend([
        format!("listeners={listeners},CONTROLLER://127.0.0.1:{controller}"),
        format!("advertised.listeners={advertised}"),
        format!("listener.security.protocol.map={protocols}"),
        format!("log.dirs={}", home.join("kafka").display()),
    ]);
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let security = [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        format!("super.users=User:ANONYMOUS;User:{ADMIN}"),
        "listener.name.clients.sasl.enabled.mechanisms=PLAIN".to_owned(),
        format!(
            "listener.name.clients.plain.sasl.jaas.config={login} user_{ADMIN}=\"{ADMIN}\" user_{USER}=\"{USER}\";"
        ),
    ];
    for line in lines.iter().chain(security.iter().filter(|_| secured)) {
        writeln!(text, "{line}").expect("a String takes everything");
    }
    text
}
