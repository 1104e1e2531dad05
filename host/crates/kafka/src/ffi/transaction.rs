//! The calls that make a transaction, and what they say when they fail: rdkafka has them only for its own producers,
//! which cannot be set up as `produce` needs it.

use std::fmt;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::produce::NativeProducer;
use super::{milliseconds, text};
use crate::client::Consumer;

/// Why a call of a transaction failed.
#[derive(Debug, Clone)]
pub(crate) struct TransactionError {
    pub(crate) code: RDKafkaErrorCode,
    /// In the client's words.
    pub(crate) said: String,
    is_fatal: bool,
    is_retriable: bool,
    /// The transaction can only be aborted.
    requires_abort: bool,
}

impl TransactionError {
    /// True where the same call on the same client resumes.
    pub(crate) fn is_resumable(&self) -> bool {
        self.is_retriable && !self.is_fatal && !self.requires_abort
    }

    /// # Safety
    /// `error` is null, or an error that is the caller's to destroy.
    unsafe fn check(error: *mut sys::rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: alive until it is destroyed, once, after everything was copied.
        unsafe {
            let copy = Self {
                code: sys::rd_kafka_error_code(error).into(),
                said: text(sys::rd_kafka_error_string(error)),
                is_fatal: sys::rd_kafka_error_is_fatal(error) != 0,
                is_retriable: sys::rd_kafka_error_is_retriable(error) != 0,
                requires_abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            };
            sys::rd_kafka_error_destroy(error);
            Err(copy)
        }
    }
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

/// What a call of a transaction gives.
pub(crate) type Outcome = Result<(), TransactionError>;

impl NativeProducer {
    /// Fences whoever used the id before, and aborts what they left open.
    pub(crate) fn init_transactions(&self, wait: Duration) -> Outcome {
        // SAFETY: the client is alive; the error is ours. The same holds for the calls below.
        unsafe { TransactionError::check(sys::rd_kafka_init_transactions(self.native(), milliseconds(wait))) }
    }

    /// Begins a transaction.
    pub(crate) fn begin_transaction(&self) -> Outcome {
        // SAFETY: as above.
        unsafe { TransactionError::check(sys::rd_kafka_begin_transaction(self.native())) }
    }

    /// Adds `offsets` of `group` to the open transaction.
    pub(crate) fn send_offsets(&self, offsets: &TopicPartitionList, group: &GroupMetadata, wait: Duration) -> Outcome {
        let (offsets, group) = (offsets.ptr(), group.0.as_ptr());
        // SAFETY: as above; the lists are alive and copied.
        unsafe {
            let sent = sys::rd_kafka_send_offsets_to_transaction(self.native(), offsets, group, milliseconds(wait));
            TransactionError::check(sent)
        }
    }

    /// Commits the open transaction. Whatever was produced must have been reported before: nobody polls meanwhile.
    pub(crate) fn commit_transaction(&self, wait: Duration) -> Outcome {
        // SAFETY: as above.
        unsafe { TransactionError::check(sys::rd_kafka_commit_transaction(self.native(), milliseconds(wait))) }
    }

    /// Aborts the open transaction.
    pub(crate) fn abort_transaction(&self, wait: Duration) -> Outcome {
        // SAFETY: as above.
        unsafe { TransactionError::check(sys::rd_kafka_abort_transaction(self.native(), milliseconds(wait))) }
    }
}

/// What a transaction needs to know of a consumer group.
pub(crate) struct GroupMetadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: it is plain memory that librdkafka only reads.
unsafe impl Send for GroupMetadata {}

impl GroupMetadata {
    /// Of the group of `consumer`.
    pub(crate) fn of(consumer: &Consumer) -> Option<Self> {
        // SAFETY: the client is alive; the result is ours.
        NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) }).map(Self)
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) };
    }
}
