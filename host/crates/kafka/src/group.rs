//! A job's names in Kafka, as its operator tends them when no job runs: what its group has committed, its two
//! transactional ids, and the end of both.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use weir_core::ports::{Committed, SinkConnector as _};
use weir_core::{Delivery, PortError, SplitId, SplitState};

use crate::admin::{self, Admin, CALL_TIMEOUT};
use crate::error::Error;
use crate::ffi;
use crate::ffi::admin::{Isolation, Which};
use crate::options::{ClientOptions, GROUP_PREFIX};
use crate::sink::{GLANCE_BOUND, KafkaSink, SinkSideOptions, insist};
use crate::source;

/// Who has more groups than this knows them.
const OTHERS_MAX: usize = 200;
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
    let answer = insist(GLANCE_BOUND, |left| {
        let answer = ffi::group::list_group_offsets(admin.consumer().client(), &group, left.min(CALL_TIMEOUT));
        ffi::serve_events(admin.consumer());
        answer
    });
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

/// What other jobs of Weir have committed, by name of the job. For the eye only: of so many as can be asked in a moment.
pub(crate) fn others(options: &ClientOptions) -> Result<Vec<(String, Vec<Committed>)>, Error> {
    let admin = admin(options)?;
    let listed = admin.consumer().fetch_group_list(None, CALL_TIMEOUT);
    ffi::serve_events(admin.consumer());
    let listed = listed.map_err(|error| Error::of("list the groups", error))?;
    let own = options.group();
    let names = listed.groups().iter().map(|group| group.name().to_owned());
    let names = names.filter(|name| name.starts_with(GROUP_PREFIX) && *name != own).take(OTHERS_MAX);
    let mut others = Vec::new();
    for name in names {
        let answer = ffi::group::list_group_offsets(admin.consumer().client(), &name, CALL_TIMEOUT);
        ffi::serve_events(admin.consumer());
        // A group that goes away meanwhile, or that this user may not see, is none of those that can be named.
        let committed = answer.unwrap_or_default().into_iter();
        let committed = committed.filter(|(_, code)| *code == RDKafkaErrorCode::NoError).map(|(one, _)| one).collect();
        others.extend(name.strip_prefix(GROUP_PREFIX).map(|job| (job.to_owned(), committed)));
    }
    Ok(others)
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
        sinks: Vec::new(),
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
