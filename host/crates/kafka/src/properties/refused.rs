//! The properties that cannot be passed through, and why.

use weir_core::Secret;

use crate::error::Error;

const BROKERS: &str = "use --brokers";
const NAMES: &str = "Weir derives it from the job's name, so that state, offsets and ACLs agree; use --job";
const DURABLE: &str = "exactly once needs an idempotent producer that waits for all replicas";
const OFFSETS: &str = "Weir commits offsets with its own epochs";
const TIMEOUT: &str = "it follows from the transaction; use --transaction-timeout";
const CODE: &str = "it makes the client load or run code of the user's choice, and a pipeline file is no program";
const STORE: &str = "librdkafka reads no Java key stores; convert the certificates to PEM and use ssl.ca.location";

const REFUSED: [(&str, &str); 38] = [
    ("bootstrap.servers", BROKERS),
    ("metadata.broker.list", BROKERS),
    ("group.id", NAMES),
    ("group.instance.id", "Weir assigns partitions itself and never joins a group"),
    ("group.protocol", "Weir assigns partitions itself and never joins a group"),
    ("transactional.id", NAMES),
    ("transaction.timeout.ms", "use --transaction-timeout"),
    ("enable.idempotence", DURABLE),
    ("acks", DURABLE),
    ("request.required.acks", DURABLE),
    ("max.in.flight", DURABLE),
    ("max.in.flight.requests.per.connection", DURABLE),
    ("retries", DURABLE),
    ("message.send.max.retries", DURABLE),
    ("enable.gapless.guarantee", DURABLE),
    ("message.timeout.ms", TIMEOUT),
    ("delivery.timeout.ms", TIMEOUT),
    ("retry.backoff.ms", "a resent request may end a later transaction unless it waits; Weir chooses it"),
    ("retry.backoff.max.ms", "a resent request may end a later transaction unless it waits"),
    ("partitioner", "Weir partitions as the Java clients do (murmur2), so that topics stay co-partitioned"),
    ("isolation.level", "Weir reads only what is committed"),
    ("auto.offset.reset", "skipping lost records silently would break the results; use --start for a first start"),
    ("enable.auto.commit", OFFSETS),
    ("enable.auto.offset.store", OFFSETS),
    ("enable.partition.eof", "Weir needs to see the end of a partition"),
    ("allow.auto.create.topics", "use --create-topics"),
    ("check.crcs", "Weir always verifies what it reads"),
    ("delivery.report.only.error", "Weir counts the broker's answer to every record before it commits"),
    ("enabled_events", "Weir reads the client's events itself"),
    ("api.version.request", "without it the client reads what was never committed"),
    ("offset.store.method", OFFSETS),
    ("test.mock.num.brokers", "it puts a mock in place of Kafka"),
    ("log.queue", "Weir reads the client's log itself"),
    ("plugin.library.paths", CODE),
    ("ssl.engine.location", CODE),
    ("ssl.engine.id", CODE),
    ("sasl.kerberos.kinit.cmd", CODE),
    ("ssl.providers", CODE),
];

/// What users of the Java clients try first.
const JAVA: [(&str, &str); 7] = [
    ("sasl.jaas.config", "librdkafka has no JAAS; use sasl.mechanism, sasl.username and sasl.password"),
    ("ssl.truststore.location", STORE),
    ("ssl.truststore.password", STORE),
    ("ssl.truststore.type", STORE),
    ("ssl.truststore.certificates", "librdkafka calls it ssl.ca.pem"),
    ("ssl.keystore.key", "librdkafka calls it ssl.key.pem"),
    ("ssl.keystore.certificate.chain", "librdkafka calls it ssl.certificate.pem"),
];

/// The librdkafka properties that cannot be passed through, and why.
pub fn refused_properties() -> &'static [(&'static str, &'static str)] {
    &REFUSED
}

/// Refuses `key`, or a value of it that would do what no property may.
pub(super) fn check(key: &str, value: &Secret) -> Result<(), Error> {
    // The default provider is what is used anyway, and FIPS needs two that come with OpenSSL.
    let is_provider = |name: &str| ["default", "fips", "base", "legacy"].contains(&name.trim());
    if key == "ssl.providers" && value.expose().split(',').all(is_provider) {
        return Ok(());
    }
    if key.starts_with("sasl.mechanism") && value.expose().trim().eq_ignore_ascii_case("OAUTHBEARER") {
        let reason = "OAUTHBEARER needs a token, and this build has no way to get one; use PLAIN or SCRAM";
        return Err(Error::property(key, reason));
    }
    match REFUSED.iter().chain(&JAVA).find(|(refused, _)| *refused == key) {
        Some((_, reason)) => Err(Error::property(key, *reason)),
        None => Ok(()),
    }
}
