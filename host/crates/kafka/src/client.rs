//! How clients are set up, and what they tell besides the results of calls.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::{Error, is_refusal};
use crate::options::ClientOptions;
use crate::properties::Properties;

/// The consumer type of this crate.
pub(crate) type Consumer = BaseConsumer<Context>;

/// Bytes of fetched records that wait in the client.
const QUEUED_KBYTES_MAX: u32 = 32 * 1024;
/// Records of a partition that wait in the client; the default is 100,000. Each takes some 400 bytes besides its own, which
/// the bound in bytes does not count: of small records these are far more, and they leave the CPU's cache before they are
/// used. This many last for 20 ms at a million a second, and an answer to a fetch takes a few.
pub(crate) const QUEUED_RECORDS_MIN: u64 = 25_000;
/// Of one partition, where each has a queue of its own: no less, however many there are, and no more, however few.
const LANE_KBYTES: std::ops::RangeInclusive<u32> = 16..=1024;
/// Bytes of one answer to a fetch, on top of what is queued; the default of 50 MiB per broker would outweigh the queue. A
/// first batch that is larger is sent all the same.
const FETCH_BYTES_MAX: u64 = 16 << 20;

/// Configuration of a consumer that is assigned its partitions, never subscribes and never commits by itself.
pub fn consumer_config(options: &ClientOptions) -> ClientConfig {
    let mut config = common_config(options);
    let defaults = [
        ("queued.max.messages.kbytes", QUEUED_KBYTES_MAX.to_string()),
        ("queued.min.messages", QUEUED_RECORDS_MIN.to_string()),
        ("fetch.max.bytes", fetch_bytes(options).to_string()),
        // After a pause of fetching because the queue was full; the default of 1 s leaves the pipeline idle.
        ("fetch.queue.backoff.ms", "2".to_owned()),
        // A partition that is added waits for the open fetch request of its broker.
        ("fetch.wait.max.ms", "100".to_owned()),
    ];
    set_defaults(&mut config, options, defaults);
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

/// The same for a consumer of `lanes` partitions with a queue each: all together hold what the one queue would.
pub(crate) fn lanes_config(options: &ClientOptions, lanes: usize) -> ClientConfig {
    let mut config = consumer_config(options);
    let kbytes = lane_kbytes(lanes);
    // A queue with any room is filled with a whole answer, of which no partition may have more than its share.
    let defaults = [("queued.max.messages.kbytes", kbytes), ("fetch.message.max.bytes", kbytes * 1024)];
    set_defaults(&mut config, options, defaults.map(|(key, value)| (key, value.to_string())));
    config
}

/// What counts where the user says nothing of it.
fn set_defaults<const N: usize>(config: &mut ClientConfig, options: &ClientOptions, defaults: [(&str, String); N]) {
    for (key, value) in defaults {
        if !options.properties.contains(key) {
            config.set(key, value);
        }
    }
}

fn lane_kbytes(lanes: usize) -> u32 {
    let lanes = u32::try_from(lanes).unwrap_or(u32::MAX).max(1);
    (QUEUED_KBYTES_MAX / lanes).clamp(*LANE_KBYTES.start(), *LANE_KBYTES.end())
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
    options.properties.apply(&mut config);
    config.set("bootstrap.servers", &options.brokers);
    config
}

/// What is known of why a client does not get through to a broker.
#[derive(Debug, Clone)]
struct Trouble {
    code: RDKafkaErrorCode,
    reason: String,
    at: Instant,
}

/// A client repeats the same error only every 30 s. What is older has passed, and explains nothing any more.
const TROUBLE_LASTS: Duration = Duration::from_secs(45);

impl Trouble {
    fn is_recent(&self) -> bool {
        weir_machine::since(self.at) < TROUBLE_LASTS
    }

    /// How much it tells: "all brokers are down" follows the error that says why, and a connection that is closed
    /// follows a refusal.
    fn weight(&self) -> u8 {
        match self.code {
            RDKafkaErrorCode::AllBrokersDown => 0,
            code if is_refusal(code) => 3,
            _ if ["security.protocol", "handshake"].iter().any(|word| self.reason.contains(word)) => 2,
            _ => 1,
        }
    }
}

/// The context of all clients. Clones share the last trouble.
#[derive(Debug, Clone)]
pub struct Context {
    brokers: Arc<str>,
    properties: Properties,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl Context {
    /// A context for one client (or several that are judged together).
    pub fn new(options: &ClientOptions) -> Self {
        let properties = options.properties.clone();
        Self { brokers: options.brokers.as_str().into(), properties, trouble: Arc::default() }
    }

    /// What went wrong lately between this client and a broker.
    pub fn last_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().filter(|trouble| trouble.is_recent()).map(|t| (t.code, t.reason.clone()))
    }

    /// A call came through: whatever was wrong before explains no later failure.
    pub(crate) fn works(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn note(&self, code: RDKafkaErrorCode, reason: &str) {
        // How long the client was in which state helps nobody else.
        let reason = reason.rsplit_once(" (after ").map_or(reason, |(reason, _)| reason);
        let new = Trouble { code, reason: self.properties.hide_in(reason), at: weir_machine::now() };
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.as_ref().is_none_or(|old| !old.is_recent() || new.weight() >= old.weight()) {
            *trouble = Some(new);
        }
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
            Some((_, cause)) => Error::Unreachable { brokers: self.brokers.to_string(), cause: hinted(cause) },
            None => Error::Unreachable { brokers: self.brokers.to_string(), cause: format!("no answer ({code})") },
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel as L;
        let message = self.properties.hide_in(message);
        // Why a connection failed, which becomes an error only in grave cases. Whoever is told of the failure is told why.
        if facility == "FAIL" {
            let reason = corrected(without_thread(&message));
            self.note(RDKafkaErrorCode::BrokerTransportFailure, &reason);
            tracing::debug!(target: "librdkafka", facility, "{message}");
            return crate::said::once_a_minute(&reason, |reason| tracing::warn!("no connection to Kafka: {reason}"));
        }
        // Errors come as events, too. What the client thinks of its settings it says once for each client of a job.
        if matches!(facility, "ERROR" | "CONFWARN") {
            return tracing::debug!(target: "librdkafka", facility, "{message}");
        }
        match level {
            L::Emerg | L::Alert | L::Critical | L::Error | L::Warning => {
                tracing::warn!(target: "librdkafka", facility, "{message}")
            }
            L::Notice | L::Info => tracing::info!(target: "librdkafka", facility, "{message}"),
            L::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let reason = self.properties.hide_in(reason);
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        self.note(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail), &corrected(&reason));
    }
}

/// The size of an answer that begins with the letters `HTTP`.
const HTTP_SIZE: &str = "1213486160";

/// Who speaks HTTP is taken for a broker with a huge answer, and a larger bound for it is no cure.
fn corrected(reason: &str) -> Cow<'_, str> {
    match reason.contains(HTTP_SIZE) {
        true => {
            let broker = reason.split(": ").next().unwrap_or_default();
            Cow::Owned(format!(
                "{broker}: a web server answers there (HTTP), and no Kafka broker; give the broker's own port"
            ))
        }
        false => Cow::Borrowed(reason),
    }
}

/// A listener that wants TLS or SASL does not say so to who speaks otherwise: it hangs up.
fn hinted(cause: String) -> String {
    match cause.contains("Disconnected") {
        true => format!("{cause} (as a listener does that wants TLS or SASL: see security.protocol)"),
        false => cause,
    }
}

/// The client's lines begin with the name of its thread.
fn without_thread(message: &str) -> &str {
    match message.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
        Some((_, rest)) => rest,
        None => message,
    }
}

impl ConsumerContext for Context {}

/// A consumer with nothing assigned. Its own events wait until [`crate::ffi::serve_events`] is called.
pub(crate) fn open_consumer(config: &ClientConfig, options: &ClientOptions) -> Result<Arc<Consumer>, Error> {
    let consumer = Consumer::from_config_and_context(config, Context::new(options))
        .map_err(|error| Error::client(error, &options.properties))?;
    crate::ffi::separate_events(&consumer);
    Ok(Arc::new(consumer))
}

#[cfg(test)]
mod tests {
    use weir_core::{Fault, JobName, Secret, ShardId};

    use super::*;
    use crate::properties::Properties;

    fn options(given: &[(&str, &str)]) -> ClientOptions {
        let given = given.iter().map(|(key, value)| ((*key).to_owned(), Secret::new(*value))).collect();
        ClientOptions {
            brokers: "127.0.0.1:9".to_owned(),
            properties: Properties::new(&given).unwrap(),
            job: JobName::new("orders").unwrap(),
            shard: ShardId(0),
        }
    }

    #[test]
    fn properties_pass_through_to_every_client() {
        let good = options(&[("fetch.wait.max.ms", "7"), ("security.protocol", "ssl")]);
        good.check().unwrap();
        let config = consumer_config(&good);
        assert_eq!(config.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(config.get("group.id"), Some("weir-orders"));
        assert_eq!(producer_config(&good).get("security.protocol"), Some("ssl"));
        assert_eq!(config.get("fetch.max.bytes"), Some("16777216"));
    }

    #[test]
    fn queues_of_their_own_hold_no_more_together_than_one_would() {
        for (lanes, kbytes) in [(0, 1024), (1, 1024), (32, 1024), (64, 512), (1000, 32), (usize::MAX, 16)] {
            let config = lanes_config(&options(&[]), lanes);
            assert_eq!(config.get("queued.max.messages.kbytes"), Some(kbytes.to_string().as_str()), "{lanes} lanes");
            let bytes = (kbytes * 1024).to_string();
            assert_eq!(config.get("fetch.message.max.bytes"), Some(bytes.as_str()), "{lanes} lanes");
        }
        let chosen = options(&[("queued.max.messages.kbytes", "77")]);
        assert_eq!(lanes_config(&chosen, 1000).get("queued.max.messages.kbytes"), Some("77"));
        open_consumer(&lanes_config(&options(&[]), 5000), &options(&[])).unwrap();
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

    #[test]
    fn a_web_server_is_called_so() {
        let context = Context::new(&options(&[]));
        let said = "[thrd:b:80/bootstrap]: b:80/bootstrap: Receive failed: Invalid response size 1213486160 (0..100000000): \
                    increase receive.message.max.bytes (after 3ms in state APIVERSION_QUERY)";
        context.log(RDKafkaLogLevel::Error, "FAIL", said);
        let error = context.explain("list topics", RDKafkaErrorCode::OperationTimedOut).to_string();
        assert!(
            error.contains("b:80/bootstrap: a web server answers there") && !error.contains("max.bytes"),
            "{error}"
        );
    }

    #[test]
    fn the_reason_is_kept_until_it_has_passed() {
        let context = Context::new(&options(&[("sasl.password", "hunter2")]));
        let explained = || context.explain("list topics", RDKafkaErrorCode::OperationTimedOut);
        context.log(
            RDKafkaLogLevel::Info,
            "FAIL",
            "[thrd:b:1/bootstrap]: b:1: Disconnected: verify that security.protocol",
        );
        context.log(RDKafkaLogLevel::Info, "FAIL", "[thrd:b:1/bootstrap]: b:1: Disconnected");
        context.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        let said = explained().to_string();
        assert!(said.contains("at 127.0.0.1:9: b:1: Disconnected: verify that security.protocol"), "{said}");
        context.error(KafkaError::Global(RDKafkaErrorCode::Authentication), "b:1: no, not with hunter2");
        context.log(RDKafkaLogLevel::Info, "FAIL", "[thrd:b:1/bootstrap]: b:1: Disconnected");
        let refused = explained();
        assert_eq!(refused.fault(), Fault::Denied);
        assert!(!refused.to_string().contains("hunter2") && refused.to_string().contains("no, not with"), "{refused}");
        context.works();
        assert_eq!(explained().fault(), Fault::Transient, "an old refusal explains no new time-out");
        context.error(KafkaError::Global(RDKafkaErrorCode::Authentication), "b:1: no");
        let long_ago = Instant::now().checked_sub(TROUBLE_LASTS).unwrap();
        context.trouble.lock().unwrap().as_mut().unwrap().at = long_ago;
        assert_eq!(explained().fault(), Fault::Transient, "nor does one that was not repeated");
    }
}
