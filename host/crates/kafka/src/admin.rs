//! Topics: what exists, their ids, offsets and limits, and creation. Calls block, each at most `CALL_TIMEOUT` and a
//! little, and name the broker when none answers.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use weir_core::SplitId;

use crate::client::{self, Consumer, Context};
use crate::error::{Error, is_refusal};
use crate::ffi::admin::{Isolation, Which};
use crate::ffi::topics::TopicDescription;
use crate::ffi::{self, Each};
use crate::options::ClientOptions;

/// How long one call may take before it counts as failed.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Before a topic counts as gone the cluster is asked again.
pub(crate) const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long topics that were created may take until they can be seen.
const CREATION_BOUND: Duration = Duration::from_secs(10);
/// Between two looks for them.
const CREATION_PAUSE: Duration = Duration::from_millis(100);

/// A topic as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id, which a topic of the same name created later does not have. `None` before Kafka 2.8.
    pub id: Option<String>,
    /// Its partitions, ascending.
    pub partitions: Vec<i32>,
}

/// A topic, settings of it, and what the broker said.
pub(crate) type TopicSettings = (String, BTreeMap<String, String>, RDKafkaErrorCode);

/// First and last offset of a split, the last exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub low: i64,
    pub high: i64,
}

/// Questions to the cluster, asked through a consumer: the one that reads, or reads later.
#[derive(Clone)]
pub(crate) struct Admin {
    consumer: Arc<Consumer>,
}

impl Admin {
    pub(crate) fn new(consumer: Arc<Consumer>) -> Self {
        Self { consumer }
    }

    /// With a consumer of its own, which connects in the background.
    pub(crate) fn open(options: &ClientOptions) -> Result<Self, Error> {
        Ok(Self::new(client::open_consumer(&client::consumer_config(options), options)?))
    }

    pub(crate) fn consumer(&self) -> &Arc<Consumer> {
        &self.consumer
    }

    /// Names of all topics that this user may see.
    pub(crate) fn topic_names(&self) -> Result<Vec<String>, Error> {
        let operation = "list the topics";
        let metadata = self.consumer.fetch_metadata(None, CALL_TIMEOUT);
        self.heard(metadata.is_ok());
        match metadata {
            Ok(metadata) => Ok(metadata.topics().iter().map(|t| t.name().to_owned()).collect()),
            Err(error) => match error.rdkafka_error_code() {
                Some(code) => Err(self.explain(operation, code)),
                None => Err(Error::of(operation, error)),
            },
        }
    }

    /// Describes topics; those that do not exist are left out.
    pub(crate) fn topics(&self, names: &[String]) -> Result<Vec<Topic>, Error> {
        let mut answers = self.topics_at(&[(None, names.to_vec())], CALL_TIMEOUT, || true)?;
        Ok(answers.pop().unwrap_or_default())
    }

    /// Describes topics as these brokers see them, all of whom are asked at once; `None` is whichever the client likes.
    /// What a broker does not know is left out of its answer. Gives up when the answers are not wanted any more.
    pub(crate) fn topics_at(
        &self,
        asked: &[(Option<i32>, Vec<String>)],
        timeout: Duration,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Vec<Vec<Topic>>, Error> {
        let ask =
            |(broker, names): &(Option<i32>, Vec<String>)| ffi::topics::ask(&self.consumer, *broker, names, timeout);
        let asked: Result<Vec<_>, _> = asked.iter().map(ask).collect();
        let answers = asked.and_then(|asked| asked.into_iter().map(|asked| asked.answer(&is_wanted)).collect());
        self.heard(answers.is_ok());
        let answers: Vec<_> = answers.map_err(|code| self.explain("describe the topics", code))?;
        answers.into_iter().map(|answer| self.known(answer)).collect()
    }

    fn known(&self, answer: Each<(String, TopicDescription)>) -> Result<Vec<Topic>, Error> {
        let mut topics = Vec::new();
        for ((name, found), code) in answer {
            match code {
                RDKafkaErrorCode::NoError => topics.push(Topic { name, id: found.id, partitions: found.partitions }),
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {}
                code => return Err(self.explain(format!("describe topic {name:?}"), code)),
            }
        }
        Ok(topics)
    }

    /// The brokers that are in the cluster now; asked about `topic`, which is less than about all.
    pub(crate) fn brokers(&self, topic: &str, timeout: Duration) -> Result<BTreeSet<i32>, Error> {
        let metadata = self.consumer.fetch_metadata(Some(topic), timeout);
        ffi::serve_events(&self.consumer);
        let metadata = metadata.map_err(|error| {
            self.explain("list the brokers", error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
        })?;
        Ok(metadata.brokers().iter().map(|broker| broker.id()).collect())
    }

    /// One offset of each split, in their order.
    pub(crate) fn offsets(&self, splits: &[SplitId], which: Which, isolation: Isolation) -> Result<Vec<i64>, Error> {
        let asked: Vec<_> = splits.iter().map(|s| (s.clone(), which)).collect();
        let answer = ffi::admin::list_offsets(&self.consumer, &asked, isolation, CALL_TIMEOUT);
        self.heard(answer.is_ok());
        let mut found = BTreeMap::new();
        for ((split, offset), code) in answer.map_err(|code| self.explain("ask for offsets", code))? {
            if code != RDKafkaErrorCode::NoError {
                return Err(self.explain(format!("ask for offsets of {split}"), code));
            }
            found.insert(split, offset);
        }
        let offset = |split: &SplitId| {
            let missing = || Error::call(format!("ask for offsets of {split}"), RDKafkaErrorCode::Partial);
            found.get(split).copied().ok_or_else(missing)
        };
        splits.iter().map(offset).collect()
    }

    /// What each split holds, in their order; up to the high watermark.
    pub(crate) fn ranges(&self, splits: &[SplitId]) -> Result<Vec<Range>, Error> {
        let low = self.offsets(splits, Which::Earliest, Isolation::Uncommitted)?;
        let high = self.offsets(splits, Which::Latest, Isolation::Uncommitted)?;
        Ok(low.into_iter().zip(high).map(|(low, high)| Range { low, high }).collect())
    }

    /// Those of `keys` that each topic has, with its own error, or `NoError`.
    pub(crate) fn topic_settings(&self, topics: &[String], keys: &[&str]) -> Result<Vec<TopicSettings>, Error> {
        let answer = ffi::admin::topic_config(&self.consumer, topics, keys, CALL_TIMEOUT);
        self.heard(answer.is_ok());
        let answer = answer.map_err(|code| self.explain("read the topics' configuration", code))?;
        Ok(answer.into_iter().map(|((topic, settings), code)| (topic, settings, code)).collect())
    }

    /// After a call: what the client had to say meanwhile is heard, and is past if the call came through.
    fn heard(&self, came_through: bool) {
        ffi::serve_events(&self.consumer);
        if came_through {
            self.consumer.client().context().works();
        }
    }

    /// Why a call failed, with the broker's name if none answered.
    pub(crate) fn explain(&self, operation: impl Into<String>, code: RDKafkaErrorCode) -> Error {
        self.consumer.client().context().explain(operation, code)
    }
}

/// Asks a second time when the answer is that a topic is not there, or is another: a broker that just started may not
/// know better yet. The second answer counts.
pub(crate) fn settled<T>(ask: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    match ask() {
        Err(error) if error.is_absence() => {
            tracing::debug!(%error, "asking again");
            weir_machine::sleep(ASK_AGAIN_AFTER);
            ask()
        }
        answer => answer,
    }
}

/// A topic as it is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// How many partitions; `None`: as many as the topics it is made for have.
    pub partitions: Option<i32>,
    /// How many replicas of each; `None`: as the broker defaults.
    pub replication: Option<i32>,
    /// Settings that are not the broker's defaults.
    pub settings: BTreeMap<String, String>,
}

impl NewTopic {
    /// With the broker's defaults.
    pub fn of(partitions: i32) -> Self {
        Self { partitions: Some(partitions), replication: None, settings: BTreeMap::new() }
    }
}

/// Topics that are to exist before a job starts, and how one that does not is made.
pub type Wanted = BTreeMap<String, NewTopic>;

/// What is created before a job writes.
#[derive(Debug, Clone, Default)]
pub struct Creation {
    /// The topics, as far as they are missing.
    pub topics: Wanted,
    /// The topics that are read: what is written to has as many partitions as the largest of them, unless it says so itself.
    pub like: Vec<String>,
}

impl Creation {
    /// Creates what is missing.
    pub(crate) fn make(&self, options: &ClientOptions) -> Result<(), Error> {
        let known = Admin::open(options)?.topics(&self.like)?;
        let largest = known.iter().map(|topic| topic.partitions.len()).max().unwrap_or_default().max(1);
        let mut wanted = self.topics.clone();
        for topic in wanted.values_mut() {
            topic.partitions = topic.partitions.or(i32::try_from(largest).ok());
        }
        let created = ensure_topics(options, &wanted)?;
        created.iter().for_each(|topic| tracing::info!(%topic, "topic created"));
        Ok(())
    }
}

/// Creates those of `wanted` that do not exist. Returns their names, once all can be seen.
pub fn ensure_topics(options: &ClientOptions, wanted: &Wanted) -> Result<Vec<String>, Error> {
    let admin = Admin::open(options)?;
    let names: Vec<String> = wanted.keys().cloned().collect();
    let missing = missing(&admin, &names)?;
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let new = wanted.iter().filter(|(name, _)| missing.contains(name)).collect::<Vec<_>>();
    let created = create_topics(&admin, &new)?;
    wait_until_visible(&admin, &missing)?;
    Ok(created)
}

/// Which of `names` do not exist.
fn missing(admin: &Admin, names: &[String]) -> Result<Vec<String>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let existing: BTreeSet<String> = admin.topics(names)?.into_iter().map(|t| t.name).collect();
    Ok(names.iter().filter(|name| !existing.contains(*name)).cloned().collect())
}

fn create_topics(admin: &Admin, new: &[(&String, &NewTopic)]) -> Result<Vec<String>, Error> {
    let answer = ffi::create::create(&admin.consumer, new, CALL_TIMEOUT);
    admin.heard(answer.is_ok());
    let mut created = Vec::new();
    for ((topic, said), code) in answer.map_err(|code| admin.explain("create topics", code))? {
        match code {
            RDKafkaErrorCode::NoError => created.push(topic),
            // Someone else was faster; that is as good.
            RDKafkaErrorCode::TopicAlreadyExists => {}
            code if is_refusal(code) => return Err(Error::call(format!("create topic {topic:?}"), code)),
            code => {
                let said = said.filter(|said| !said.is_empty()).unwrap_or_else(|| code.to_string());
                return Err(Error::NotCreated { topic, code, said });
            }
        }
    }
    Ok(created)
}

/// The controller answers before every broker knows what it created.
fn wait_until_visible(admin: &Admin, names: &[String]) -> Result<(), Error> {
    let started = weir_machine::now();
    loop {
        let unseen = missing(admin, names)?;
        if unseen.is_empty() {
            return Ok(());
        }
        if weir_machine::since(started) >= CREATION_BOUND {
            let operation = format!("see the topics that were created ({})", unseen.join(", "));
            return Err(Error::Unresponsive { operation, waited: CREATION_BOUND });
        }
        weir_machine::sleep(CREATION_PAUSE);
    }
}

/// Describes topics; those that do not exist are left out.
pub fn describe_topics(options: &ClientOptions, names: &[String]) -> Result<Vec<Topic>, Error> {
    Admin::open(options)?.topics(names)
}

pub(crate) fn admin_client(options: &ClientOptions) -> Result<AdminClient<Context>, Error> {
    let config = client::admin_config(options);
    AdminClient::from_config_and_context(&config, Context::new(options))
        .map_err(|error| Error::client(error, &options.properties))
}

pub(crate) fn admin_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(CALL_TIMEOUT)).operation_timeout(Some(CALL_TIMEOUT))
}

/// Waits for a future that another thread completes; rdkafka's admin client has no other interface.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = TaskContext::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // The request has its own time-out, so that the wake-up always comes.
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_is_believed_the_second_time() {
        let gone = || Error::TopicMissing { topic: "t".to_owned() };
        let unknown = || Error::call("ask", RDKafkaErrorCode::UnknownTopicOrPartition);
        let asked = |answers: Vec<Result<u8, Error>>| {
            let (count, answers) = (answers.len(), std::cell::RefCell::new(answers.into_iter()));
            let answer = settled(|| answers.borrow_mut().next().unwrap());
            (answer.map_err(|e| e.to_string()), count - answers.into_inner().len())
        };
        assert_eq!(asked(vec![Ok(1), Ok(2)]), (Ok(1), 1), "the good path asks once");
        assert_eq!(asked(vec![Err(gone()), Ok(2)]), (Ok(2), 2));
        assert_eq!(asked(vec![Err(unknown()), Err(gone()), Ok(3)]), (Err(gone().to_string()), 2));
        let refused = || Error::call("ask", RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(asked(vec![Err(refused()), Ok(2)]), (Err(refused().to_string()), 1));
    }

    #[test]
    fn a_future_is_waited_for() {
        let (sender, receiver) = weir_machine::channel::bounded::<Waker>(1);
        let waiter = thread::spawn(move || {
            let mut first = true;
            block_on(std::future::poll_fn(move |context| {
                if std::mem::take(&mut first) {
                    sender.send(context.waker().clone()).unwrap();
                    Poll::Pending
                } else {
                    Poll::Ready(7)
                }
            }))
        });
        receiver.recv().unwrap().wake();
        assert_eq!(waiter.join().unwrap(), 7);
    }
}
