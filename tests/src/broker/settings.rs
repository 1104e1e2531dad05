//! The broker's `server.properties`.

use std::fmt::Write as _;
use std::path::Path;

use super::{ADMIN, USER};

/// The name of the file in the broker's own directory.
pub(super) const FILE: &str = "server.properties";
/// Any UUID serves: each broker is a cluster of its own.
pub(super) const CLUSTER_ID: &str = "AAAAAAAAQACAAAAAAAAAAQ";

/// Where a broker listens.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) clients: u16,
    pub(super) controller: u16,
    /// Of a secured broker: without login, for itself and its administrator.
    pub(super) internal: u16,
}

/// One node, replication 1 everywhere, small memory, nothing created by accident, and nothing deleted, however old
/// the timestamps that a test writes.
const COMMON: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
min.insync.replicas=1
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
auto.create.topics.enable=false
delete.topic.enable=true
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=1048576
log.retention.ms=-1
";

pub(super) fn properties(home: &Path, ports: &Ports, secured: bool) -> String {
    let Ports { clients, controller, internal } = ports;
    let protocol = if secured { "SASL_PLAINTEXT" } else { "PLAINTEXT" };
    let mut text = String::from(COMMON);
    let listeners = format!("CLIENTS://127.0.0.1:{clients},INTERNAL://127.0.0.1:{internal}");
    let lines = [
        format!("listeners={listeners},CONTROLLER://127.0.0.1:{controller}"),
        format!("advertised.listeners={listeners}"),
        format!("listener.security.protocol.map=CLIENTS:{protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller}"),
        format!("log.dirs={}", home.join("kafka").display()),
    ];
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
