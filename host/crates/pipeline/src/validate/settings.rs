//! What is said of the job as a whole: epochs, state, API.

use std::path::Path;
use std::time::Duration;

use weir_connector::{Error, Found};
use weir_core::JobName;

use crate::plan::{AccessPlan, ApiPlan, EpochsPlan, SourcePlan, StateDir};
use crate::spec::Spec;
use crate::token::TokenFile;

const API: (&str, u16) = ("127.0.0.1", 7070);
const EPOCH_INTERVAL: Duration = Duration::from_millis(100);
const EPOCH_INTERVAL_MIN: Duration = Duration::from_millis(1);
const STATE_MEMORY_BYTES: u64 = 128 << 20;
/// Below this RocksDB alone does not fit.
const STATE_MEMORY_BYTES_MIN: u64 = 8 << 20;
const STATE_ROOT: &str = ".weir";
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);
const TRANSACTION_TIMEOUT_MIN: Duration = Duration::from_secs(1);

pub(super) fn epochs(spec: &Spec, found: &mut Found) -> EpochsPlan {
    let interval = spec.epochs.interval.map_or(EPOCH_INTERVAL, |span| span.0);
    let timeout = spec.epochs.transaction_timeout.map_or(TRANSACTION_TIMEOUT, |span| span.0);
    if interval < EPOCH_INTERVAL_MIN {
        found.add(Error::invalid("epochs.interval", "an epoch lasts at least 1ms, 100ms by default"));
    }
    if timeout < TRANSACTION_TIMEOUT_MIN || timeout.as_millis() > i32::MAX as u128 {
        found.add(Error::invalid("epochs.transaction-timeout", "it is at least 1s and at most 24 days"));
    } else if interval > timeout / 3 {
        let [interval, timeout, most] = [interval, timeout, timeout / 3].map(crate::units::Span);
        let reason = format!("the broker could abort what is not committed in time; an interval may be {most} at most");
        let other = match spec.epochs.transaction_timeout {
            Some(_) => format!("epochs.transaction-timeout = {timeout}"),
            None => format!("the transaction timeout of {timeout}, the default of --transaction-timeout"),
        };
        found.add(Error::conflict(format!("epochs.interval = {interval}"), other, reason));
    }
    EpochsPlan { interval, transaction_timeout: timeout }
}

pub(super) fn state_memory(spec: &Spec, found: &mut Found) -> u64 {
    let bytes = spec.state.memory.map_or(STATE_MEMORY_BYTES, |size| size.0);
    if bytes < STATE_MEMORY_BYTES_MIN {
        found.add(Error::invalid("state.memory", "caches and overlays need at least 8MiB, 128MiB by default"));
    }
    bytes
}

/// `is_committed`: something outside remembers how far the job is.
pub(super) fn state_dir(spec: &Spec, job: &JobName, sources: &[SourcePlan], is_committed: bool) -> StateDir {
    let given = spec.state.dir.clone();
    let comes_once = sources.iter().any(|source| !source.reads.abilities().replays);
    if comes_once || (given.is_none() && spec.job.is_none() && !is_committed) {
        // What comes once cannot come again: state that outlived the process would belong to nothing.
        StateDir::Temporary { under: given }
    } else {
        StateDir::Kept(given.unwrap_or_else(|| Path::new(STATE_ROOT).join(job.as_str())))
    }
}

pub(super) fn api(address: Option<&str>) -> Result<ApiPlan, Error> {
    let Some(address) = address else {
        let (host, port) = API;
        return Ok(ApiPlan::Listen { host: host.to_owned(), port, explicit: false });
    };
    if address == "off" {
        return Ok(ApiPlan::Off);
    }
    let parsed = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parsed {
        Some((host, port)) if !host.is_empty() => Ok(ApiPlan::Listen { host: host.to_owned(), port, explicit: true }),
        _ => Err(Error::invalid("api", format!("{address:?} is neither HOST:PORT, as in 127.0.0.1:7070, nor off"))),
    }
}

pub(super) fn access(spec: &Spec, found: &mut Found) -> AccessPlan {
    let token_file = spec.api_token.as_ref().and_then(TokenFile::path);
    if spec.api_token.is_some() && token_file.is_none() {
        found.add(Error::invalid("api-token", TokenFile::WRONG));
    }
    AccessPlan { token_file: token_file.map(Path::to_owned), is_plaintext: spec.api_plaintext.unwrap_or_default() }
}
