//! The job's consumer group: reading the offsets and the marker beside them, and committing them outside transactions.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use weir_core::SplitId;
use weir_core::ports::{Commit, Committed, MarkerRead};

use crate::Error;
use crate::admin::CALL_TIMEOUT;
use crate::client::{Consumer, consumer_config, open_consumer};
use crate::error::is_unknown_topic;
use crate::ffi::{self, transaction::GroupMetadata};
use crate::options::ClientOptions;
use crate::sink::pool::Tenure;

/// The broker keeps 4096 characters (`offset.metadata.max.bytes`) unless told otherwise; the marker needs far fewer.
const MARKER_BYTES_MAX: usize = 511;
/// How long a read without waiting for transactions may take: the time to find the broker.
pub(crate) const GLANCE_BOUND: Duration = Duration::from_secs(30);
/// How long pending offsets are waited for.
pub(crate) const STABLE_BOUND: Duration = Duration::from_secs(60);
/// How long the answer to a plain commit is waited for.
const COMMIT_BOUND: Duration = Duration::from_secs(60);
/// How long one question is waited for before the client is heard and asked again.
const LISTEN_EVERY: Duration = Duration::from_secs(1);
/// While a coordinator moves or loads.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A member of the job's group that is assigned nothing.
pub(crate) struct Group {
    consumer: Arc<Consumer>,
    name: String,
}

impl Group {
    /// Connects in the background.
    pub(crate) fn open(options: &ClientOptions, read: MarkerRead) -> Result<Self, Error> {
        let mut config = consumer_config(options);
        // librdkafka asks for stable offsets (RequireStable) exactly when it reads committed records.
        config.set(
            "isolation.level",
            match read {
                MarkerRead::Glance => "read_uncommitted",
                MarkerRead::Stable => "read_committed",
            },
        );
        Ok(Self { consumer: open_consumer(&config, options)?, name: options.group() })
    }

    /// What a transaction needs to commit offsets for the group (generation -1: only the transactional id fences).
    pub(crate) fn metadata(&self) -> Result<GroupMetadata, Error> {
        let none = || Error::call("get the group's metadata", RDKafkaErrorCode::State);
        GroupMetadata::of(&self.consumer).ok_or_else(none)
    }

    /// What is committed for `splits`; those without a commit are left out.
    /// Stable ones are waited for, for at most `bound`.
    pub(crate) fn read(&self, splits: &[SplitId], bound: Duration) -> Result<Vec<Committed>, Error> {
        if splits.is_empty() {
            return Ok(Vec::new());
        }
        let mut asked = TopicPartitionList::with_capacity(splits.len());
        for split in splits {
            asked.add_partition(&split.stream, split.number);
        }
        let answer = insist(bound, |left| self.ask(&asked, left));
        let answer = answer.map_err(|code| self.failure(self.reading(), code))?;
        self.consumer.client().context().works();
        self.each(&answer)
    }

    /// Waits until the group's coordinator is there and answers: what comes then is about the offsets. Offsets that are
    /// not stable yet are not asked for.
    pub(crate) fn find_coordinator(&self, bound: Duration) -> Result<(), Error> {
        let group = self.name.as_str();
        let answered = insist(bound, |left| {
            let answer = ffi::group::list_group_offsets(self.consumer.client(), group, left.min(CALL_TIMEOUT));
            ffi::serve_events(&self.consumer);
            answer.map(drop)
        });
        // This client's own connection to it: it has one for the group.
        let connected =
            answered.and_then(|()| insist(bound, |left| self.ask(&TopicPartitionList::new(), left).map(drop)));
        connected.map_err(|code| self.failure(self.reading(), code))
    }

    /// Asks once, for a moment at most, so that what the client has to say is heard: why it waits, say.
    fn ask(&self, splits: &TopicPartitionList, left: Duration) -> Result<TopicPartitionList, RDKafkaErrorCode> {
        let answer = self.consumer.committed_offsets(splits.clone(), left.min(LISTEN_EVERY));
        ffi::serve_events(&self.consumer);
        match answer.map_err(|error| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)) {
            Err(RDKafkaErrorCode::OperationTimedOut) if left > LISTEN_EVERY => Err(RDKafkaErrorCode::RequestTimedOut),
            answer => answer,
        }
    }

    fn each(&self, answer: &TopicPartitionList) -> Result<Vec<Committed>, Error> {
        let mut committed = Vec::with_capacity(answer.count());
        for (element, metadata) in answer.elements().iter().zip(ffi::produce::offset_metadata(answer)) {
            let split = SplitId::new(element.topic(), element.partition());
            // An element with an error has no offset either: read as "nothing committed", it would repeat everything.
            if let Err(error) = element.error() {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                return Err(self.failure(format!("{} for {split}", self.reading()), code));
            }
            if let Offset::Offset(position) = element.offset() {
                committed.push(Committed { split, position, metadata });
            }
        }
        Ok(committed)
    }

    fn reading(&self) -> String {
        format!("read the committed offsets of group {:?}", self.name)
    }

    /// Commits outside any transaction and waits for the answer. No broker would refuse an attempt that was given up:
    /// its `tenure` does.
    pub(crate) fn commit(&self, offsets: &TopicPartitionList, tenure: &Tenure) -> Result<(), Error> {
        let mut refused = Ok(());
        let committed = insist(COMMIT_BOUND, |left| {
            refused = tenure.check("commit offsets");
            if refused.is_err() {
                return Ok(());
            }
            let committed = ffi::produce::commit_offsets(&self.consumer, offsets, left);
            ffi::serve_events(&self.consumer);
            committed
        });
        refused?;
        committed.map_err(|code| {
            let operation = format!("commit offsets of group {:?}", self.name);
            match is_unknown_topic(code) {
                true => Error::TopicUnknown { operation },
                false => self.failure(operation, code),
            }
        })
    }

    fn failure(&self, operation: String, code: RDKafkaErrorCode) -> Error {
        self.consumer.client().context().explain(operation, code)
    }
}

/// Asks again, within `bound`, as long as the answer is one that may pass: reading changes nothing, and the same
/// positions may be committed twice. Each call is told how much time is left.
pub(crate) fn insist<T>(
    bound: Duration,
    mut call: impl FnMut(Duration) -> Result<T, RDKafkaErrorCode>,
) -> Result<T, RDKafkaErrorCode> {
    let started = weir_machine::now();
    loop {
        match call(bound.saturating_sub(weir_machine::since(started))) {
            Err(code) if passes(code) && weir_machine::since(started) < bound => weir_machine::sleep(ASK_AGAIN_AFTER),
            outcome => return outcome,
        }
    }
}

fn passes(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        code,
        C::BrokerTransportFailure
            | C::AllBrokersDown
            | C::WaitingForCoordinator
            | C::CoordinatorLoadInProgress
            | C::CoordinatorNotAvailable
            | C::NotCoordinator
            | C::RequestTimedOut
    )
}

/// Positions with the marker beside each.
pub(crate) fn offsets(commit: &Commit) -> Result<TopicPartitionList, Error> {
    if commit.positions.is_empty() || commit.marker.len() > MARKER_BYTES_MAX {
        // Without a position, EndTxn would not even be sent, and the epoch would hold nowhere.
        let sizes = (commit.positions.len(), commit.marker.len());
        let operation = format!("commit {} positions with a marker of {} bytes", sizes.0, sizes.1);
        return Err(Error::call(operation, RDKafkaErrorCode::InvalidArgument));
    }
    let mut list = TopicPartitionList::with_capacity(commit.positions.len());
    for (split, position) in &commit.positions {
        let mut element = list.add_partition(&split.stream, split.number);
        // A partition with an invalid offset would be left out silently.
        element
            .set_offset(Offset::Offset(*position))
            .ok()
            .filter(|()| *position >= 0)
            .ok_or_else(|| Error::call(format!("commit {split} at {position}"), RDKafkaErrorCode::InvalidArgument))?;
        element.set_metadata(&commit.marker);
    }
    Ok(list)
}
