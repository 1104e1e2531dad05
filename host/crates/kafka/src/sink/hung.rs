//! Transactions that hang: open on a partition, although their coordinator says that they have ended.
//!
//! Seen with Kafka 4.3.1: a broker that is killed while a transaction is open, and away for longer than its time-out, ends
//! it when it is back, before it knows who leads the partitions, and never writes their markers. Readers of committed
//! records stop there for ever; and the next commit of the same transactional id would make the aborted records visible.
//! Offsets stay pending alike. An abort marker of the same id closes what hangs, as aborted. So before anything is written,
//! both ids abort a record on each partition where a transaction is still open, and offsets where some are still pending.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, info};
use weir_core::SplitId;

use crate::Error;
use crate::admin::{Admin, Topic};
use crate::ffi::admin::{Isolation, Which};
use crate::sink::marker::Group;
use crate::sink::pool::Pool;
use crate::sink::transactor::Fenced;

/// Readers may learn of an end a moment after whoever ended it.
const SETTLE_WITHIN: Duration = Duration::from_millis(300);
const SETTLE_PAUSE: Duration = Duration::from_millis(20);

/// Closes what hangs on the output topics of `pool`, under the ids in `fenced`, both just initialised: no transaction of
/// theirs is open, as far as the coordinator knows. True if there was something: then both must be initialised anew, or
/// a request of these aborts that comes late could end a transaction of the attempt.
pub(crate) fn close(pool: &Pool, fenced: &mut Fenced) -> Result<bool, Error> {
    if pool.topics.list().is_empty() {
        return Ok(false);
    }
    let admin = Admin::open(&pool.options)?;
    let names: Vec<String> = pool.topics.list().iter().map(|topic| topic.name.clone()).collect();
    let partitions = |topic: Topic| {
        let name: Arc<str> = topic.name.into();
        topic.partitions.into_iter().map(move |partition| SplitId::new(Arc::clone(&name), partition))
    };
    let all: Vec<SplitId> = admin.topics(&names)?.into_iter().flat_map(partitions).collect();
    let hung = unsettled(&admin, all)?;
    if hung.is_empty() {
        return Ok(false);
    }
    let shown: BTreeSet<String> = hung.iter().map(SplitId::to_string).collect();
    info!(partitions = ?shown, "a transaction is open: aborting whatever is this job's");
    fenced.first.abort_on(&hung)?;
    fenced.second.abort_on(&hung)?;
    let left = unsettled(&admin, hung)?;
    if !left.is_empty() {
        let shown: BTreeSet<String> = left.iter().map(SplitId::to_string).collect();
        // On a topic that others write, too, there always is one. Whether it hangs, its owner sees.
        debug!(partitions = ?shown, "a transaction of another producer is open");
    }
    Ok(true)
}

/// Closes what hangs on the offsets of the group, which nobody who waits for stable ones would ever read. Here, too, both
/// ids must be initialised anew.
pub(crate) fn close_offsets(fenced: &mut Fenced, splits: &[SplitId], group: &Group) -> Result<(), Error> {
    info!(splits = splits.len(), "offsets are pending for long: aborting whatever is this job's");
    let mut offsets = TopicPartitionList::new();
    for split in splits {
        let named = offsets.add_partition_offset(&split.stream, split.number, Offset::Offset(0));
        named.map_err(|error| Error::of(format!("name {split}"), error))?;
    }
    let metadata = group.metadata()?;
    fenced.first.abort_offsets(&offsets, &metadata)?;
    fenced.second.abort_offsets(&offsets, &metadata)
}

/// Those of `splits` on which a transaction is open, once ends that are under way have arrived.
fn unsettled(admin: &Admin, mut splits: Vec<SplitId>) -> Result<Vec<SplitId>, Error> {
    let deadline = weir_machine::now() + SETTLE_WITHIN;
    loop {
        // In this order: what other producers write meanwhile is beyond these ends.
        let ends = admin.offsets(&splits, Which::Latest, Isolation::Uncommitted)?;
        let stable = admin.offsets(&splits, Which::Latest, Isolation::Committed)?;
        let open = splits.into_iter().zip(stable.into_iter().zip(ends)).filter(|(_, (stable, end))| stable < end);
        splits = open.map(|(split, _)| split).collect();
        if splits.is_empty() || weir_machine::now() >= deadline {
            return Ok(splits);
        }
        weir_machine::sleep(SETTLE_PAUSE);
    }
}
