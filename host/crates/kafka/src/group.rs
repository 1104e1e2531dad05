//! A job's names in Kafka, as its operator tends them when no job runs: what its group has committed, its two
//! transactional ids, and the end of both.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use weir_core::ports::{Committed, SinkConnector as _};
use weir_core::{Delivery, PortError, SplitId, SplitState};

use crate::admin::{self, Admin, CALL_TIMEOUT};
use crate::error::Error;
use crate::ffi::{self, Isolation, Which};
use crate::options::ClientOptions;
use crate::sink::{KafkaSink, SinkSideOptions};
use crate::source;

/// Nothing is written under it: it only has to be one that every broker allows.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

fn admin(options: &ClientOptions) -> Result<Admin, Error> {
    options.check()?;
    Admin::open(options)
}

/// Everything that the job's group has committed, in order of splits. Waits for no transaction and disturbs nobody.
pub fn committed(options: &ClientOptions) -> Result<Vec<Committed>, Error> {
    let admin = admin(options)?;
    let group = options.group();
    let reading = || format!("read the committed offsets of group {group:?}");
    let answer = ffi::group::list_group_offsets(admin.consumer(), &group, CALL_TIMEOUT);
    ffi::serve_events(admin.consumer());
    let mut committed = Vec::new();
    for (one, code) in answer.map_err(|code| admin.explain(reading(), code))? {
        if code != RDKafkaErrorCode::NoError {
            return Err(admin.explain(format!("{} for {}", reading(), one.split), code));
        }
        if one.position >= 0 {
            committed.push(one);
        }
    }
    committed.sort_by(|a, b| a.split.cmp(&b.split));
    Ok(committed)
}

/// Checks that splits still are what they were: the same topics, and positions that can be read on from.
pub fn verify(options: &ClientOptions, splits: &[SplitState]) -> Result<(), Error> {
    source::verify(&admin(options)?, splits)
}

/// The first offset that each of `splits` still has, in their order.
pub fn first_offsets(options: &ClientOptions, splits: &[SplitId]) -> Result<Vec<i64>, Error> {
    admin(options)?.offsets(splits, Which::Earliest, Isolation::Uncommitted)
}

/// Initialises both transactional ids of the job: open transactions under them are aborted, and whoever still holds one
/// of them is fenced.
pub fn fence(options: &ClientOptions) -> Result<(), PortError> {
    let sink = SinkSideOptions {
        topics: Vec::new(),
        delivery: Delivery::AtLeastOnce,
        transaction_timeout: TRANSACTION_TIMEOUT,
    };
    KafkaSink::new(options.clone(), sink)?.fence()
}

/// Deletes the job's group with all its offsets; false where there is none (any more).
pub fn delete(options: &ClientOptions) -> Result<bool, Error> {
    options.check()?;
    let group = options.group();
    let operation = || format!("delete group {group:?} (which needs the right Delete)");
    let client = admin::admin_client(options)?;
    let answer = admin::block_on(client.delete_groups(&[&group], &admin::admin_options()));
    let explain = |code| client.inner().context().explain(operation(), code);
    let results = answer.map_err(|error| match error.rdkafka_error_code() {
        Some(code) => explain(code),
        None => Error::of(operation(), error),
    })?;
    match results.into_iter().find_map(Result::err) {
        None => Ok(true),
        Some((_, RDKafkaErrorCode::GroupIdNotFound)) => Ok(false),
        Some((_, code)) => Err(explain(code)),
    }
}
