//! How clients are set up, and what they tell besides the results of calls.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::{Error, is_refusal};
use crate::options::ClientOptions;

/// The consumer type of this crate.
pub(crate) type Consumer = BaseConsumer<Context>;

/// Bytes of fetched records that wait in the client.
const QUEUED_KBYTES_MAX: u32 = 32 * 1024;
/// Bytes of one answer to a fetch, on top of what is queued; the default of 50 MiB per broker would outweigh the queue. A
/// first batch that is larger is sent all the same.
const FETCH_BYTES_MAX: u64 = 16 << 20;

/// Configuration of a consumer that is assigned its partitions, never subscribes and never commits by itself.
pub fn consumer_config(options: &ClientOptions) -> ClientConfig {
    let mut config = common_config(options);
    let defaults = [
        ("queued.max.messages.kbytes", QUEUED_KBYTES_MAX.to_string()),
        ("fetch.max.bytes", fetch_bytes(options).to_string()),
        // After a pause of fetching because the queue was full; the default of 1 s leaves the pipeline idle.
        ("fetch.queue.backoff.ms", "2".to_owned()),
        // A partition that is added waits for the open fetch request of its broker.
        ("fetch.wait.max.ms", "100".to_owned()),
    ];
    for (key, value) in defaults {
        if !options.properties.contains_key(key) {
            config.set(key, value);
        }
    }
    config
        .set("group.id", options.group())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        .set("check.crcs", "true");
    config
}

/// The client refuses to fetch less than it may send.
fn fetch_bytes(options: &ClientOptions) -> u64 {
    let message = options.properties.get("message.max.bytes").and_then(|v| v.parse().ok());
    FETCH_BYTES_MAX.max(message.unwrap_or(0))
}

/// Configuration that every producer shares; transactions add theirs.
pub fn producer_config(options: &ClientOptions) -> ClientConfig {
    let mut config = common_config(options);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("retry.backoff.ms", "100")
        .set("partitioner", "murmur2_random")
        .set("allow.auto.create.topics", "false");
    config
}

/// Configuration of a client that only asks.
pub(crate) fn admin_config(options: &ClientOptions) -> ClientConfig {
    common_config(options)
}

fn common_config(options: &ClientOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", format!("weir-{}-{}", options.job, options.shard))
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.max.ms", "2000")
        .set_log_level(RDKafkaLogLevel::Info);
    for (key, value) in &options.properties {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &options.brokers);
    config
}

/// The context of consumers and admin clients; producers delegate to it. Clones share the last error.
#[derive(Debug, Clone)]
pub struct Context {
    brokers: Arc<str>,
    last: Arc<Mutex<Option<(RDKafkaErrorCode, String)>>>,
}

impl Context {
    /// A context for one client (or several that are judged together).
    pub fn new(options: &ClientOptions) -> Self {
        Self { brokers: options.brokers.as_str().into(), last: Arc::default() }
    }

    /// The last thing that went wrong between this client and a broker.
    pub fn last_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a call failed: when no broker could be reached, this names it and what the client saw last.
    pub fn explain(&self, operation: impl Into<String>, code: RDKafkaErrorCode) -> Error {
        use RDKafkaErrorCode as C;
        let is_connection = matches!(
            code,
            C::BrokerTransportFailure | C::AllBrokersDown | C::OperationTimedOut | C::Resolve | C::UnknownBroker
        );
        if !is_connection {
            return Error::call(operation, code);
        }
        match self.last_error() {
            Some((last, cause)) if is_refusal(last) => Error::Refused { operation: operation.into(), cause },
            Some((_, cause)) => Error::Unreachable { brokers: self.brokers.to_string(), cause },
            None => Error::Unreachable { brokers: self.brokers.to_string(), cause: format!("no answer ({code})") },
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel as L;
        match level {
            L::Emerg | L::Alert | L::Critical | L::Error => {
                tracing::warn!(target: "librdkafka", facility, "{message}")
            }
            L::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
            L::Notice | L::Info => tracing::info!(target: "librdkafka", facility, "{message}"),
            L::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" follows the error that says why; the why is what a reader needs.
        if last.is_none() || code != RDKafkaErrorCode::AllBrokersDown {
            *last = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Context {}

/// A consumer with nothing assigned. Its own events wait until [`crate::ffi::serve_events`] is called.
pub(crate) fn open_consumer(config: &ClientConfig, options: &ClientOptions) -> Result<Arc<Consumer>, Error> {
    let consumer = Consumer::from_config_and_context(config, Context::new(options)).map_err(Error::Client)?;
    crate::ffi::separate_events(&consumer);
    Ok(Arc::new(consumer))
}

#[cfg(test)]
mod tests {
    use weir_core::{Fault, JobName, ShardId};

    use super::*;
    use crate::options::refused_properties;

    fn options(properties: &[(&str, &str)]) -> ClientOptions {
        ClientOptions {
            brokers: "127.0.0.1:9".to_owned(),
            properties: properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            job: JobName::new("orders").unwrap(),
            shard: ShardId(0),
        }
    }

    #[test]
    fn properties_pass_through_unless_refused() {
        let good = options(&[("fetch.wait.max.ms", "7"), ("security.protocol", "ssl")]);
        good.check().unwrap();
        let config = consumer_config(&good);
        assert_eq!(config.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(config.get("group.id"), Some("weir-orders"));
        assert_eq!(producer_config(&good).get("security.protocol"), Some("ssl"));
        assert_eq!(config.get("fetch.max.bytes"), Some("16777216"));
        for (key, _) in refused_properties() {
            let error = options(&[(key, "x")]).check().unwrap_err();
            assert_eq!(error.fault(), Fault::Config);
            assert!(error.to_string().contains(key));
        }
    }

    #[test]
    fn the_client_accepts_the_bound_of_a_fetch_whatever_a_message_may_hold() {
        for given in [&[][..], &[("message.max.bytes", "50000000")], &[("fetch.max.bytes", "2000000")]] {
            let options = options(given);
            open_consumer(&consumer_config(&options), &options).unwrap();
        }
    }

    #[test]
    fn a_broker_that_is_not_there_is_named_with_the_reason() {
        let context = Context::new(&options(&[]));
        let refused = "127.0.0.1:9/bootstrap: Connect failed: Connection refused";
        context.error(KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), refused);
        context.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        let error = context.explain("list topics", RDKafkaErrorCode::OperationTimedOut);
        assert_eq!(error.fault(), Fault::Transient);
        assert!(error.to_string().contains("127.0.0.1:9") && error.to_string().contains("Connection refused"));
    }
}
