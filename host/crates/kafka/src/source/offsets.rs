//! Where a first start begins and a bounded read ends, resolved once to numbers; and whether restored positions still
//! mean what they meant.

use std::collections::BTreeMap;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::Offset;
use weir_core::{SplitId, SplitState, Start, Until};

use crate::admin::{Admin, CALL_TIMEOUT, Range, Topic, settled};
use crate::client::{consumer_config, open_consumer};
use crate::error::Error;
use crate::ffi::admin::{Isolation, Which};
use crate::options::ClientOptions;

/// The splits of `topics` at their first readable position.
pub(super) fn earliest(admin: &Admin, topics: &[Topic]) -> Result<Vec<SplitState>, Error> {
    let mut states = unplaced(topics);
    let low = admin.offsets(&ids(&states), Which::Earliest, Isolation::Uncommitted)?;
    for (state, low) in states.iter_mut().zip(low) {
        state.position = low;
    }
    Ok(states)
}

/// A first start: positions and bounds as the options say.
pub(super) fn resolve(
    admin: &Admin,
    client: &ClientOptions,
    topics: &[Topic],
    start: &Start,
    until: Option<&Until>,
) -> Result<Vec<SplitState>, Error> {
    let mut states = unplaced(topics);
    let ids = ids(&states);
    let positions = positions(admin, client, &ids, start)?;
    let ends = until.map(|until| ends(admin, &ids, until)).transpose()?;
    for (i, state) in states.iter_mut().enumerate() {
        state.position = positions.get(i).copied().unwrap_or_default();
        state.end = ends.as_ref().and_then(|ends| ends.get(i).copied());
    }
    Ok(states)
}

/// A later start: restored positions, with a bound resolved now; splits that appeared meanwhile from their beginning.
pub(super) fn rebound(
    admin: &Admin,
    topics: &[Topic],
    restored: Vec<SplitState>,
    until: &Until,
) -> Result<Vec<SplitState>, Error> {
    let mut states = restored;
    let new = earliest(admin, topics)?.into_iter().filter(|s| states.iter().all(|known| known.split != s.split));
    let new: Vec<SplitState> = new.collect();
    // Appended: the order of the restored ones stays.
    states.extend(new);
    let ends = ends(admin, &ids(&states), until)?;
    for (state, end) in states.iter_mut().zip(ends) {
        state.end = Some(end);
    }
    Ok(states)
}

fn positions(admin: &Admin, client: &ClientOptions, ids: &[SplitId], start: &Start) -> Result<Vec<i64>, Error> {
    match start {
        Start::Earliest => admin.offsets(ids, Which::Earliest, Isolation::Uncommitted),
        Start::Latest => admin.offsets(ids, Which::Latest, Isolation::Committed),
        Start::Timestamp { ms } => at(admin, ids, *ms),
        Start::Offsets(given) => {
            let positions = given_offsets("--start", given, ids)?;
            within("--start", ids, &positions, &admin.ranges(ids)?)?;
            Ok(positions)
        }
        Start::Committed { group } => {
            let ranges = admin.ranges(ids)?;
            let positions = taken_over(&committed(client, group, ids)?, &ranges, group)?;
            within("--start", ids, &positions, &ranges)?;
            Ok(positions)
        }
    }
}

fn ends(admin: &Admin, ids: &[SplitId], until: &Until) -> Result<Vec<i64>, Error> {
    match until {
        Until::Latest => admin.offsets(ids, Which::Latest, Isolation::Committed),
        Until::Timestamp { ms } => at(admin, ids, *ms),
        // An end that does not exist yet is waited for.
        Until::Offsets(given) => given_offsets("--until", given, ids),
    }
}

/// The first record at or after `ms`; the end where there is none. The end is asked for first: a record that arrives
/// between the two questions is then found, or comes after the end.
fn at(admin: &Admin, ids: &[SplitId], ms: i64) -> Result<Vec<i64>, Error> {
    let end = admin.offsets(ids, Which::Latest, Isolation::Committed)?;
    let found = admin.offsets(ids, Which::At(ms), Isolation::Committed)?;
    Ok(found.into_iter().zip(end).map(|(found, end)| if found < 0 { end } else { found }).collect())
}

fn given_offsets(option: &'static str, given: &BTreeMap<i32, i64>, ids: &[SplitId]) -> Result<Vec<i64>, Error> {
    if let Some(partition) = given.keys().find(|p| !ids.iter().any(|id| id.number == **p)) {
        let reason = format!("names partition {partition}, which the topic does not have");
        return Err(Error::Option { option, reason });
    }
    let one = |id: &SplitId| {
        let reason = || format!("names no offset for partition {} of topic {:?}", id.number, id.stream);
        given.get(&id.number).copied().ok_or_else(|| Error::Option { option, reason: reason() })
    };
    ids.iter().map(one).collect()
}

/// Positions of another group; a partition without one is read from its beginning, so that nothing is lost.
fn taken_over(committed: &[Option<i64>], ranges: &[Range], group: &str) -> Result<Vec<i64>, Error> {
    if !committed.is_empty() && committed.iter().all(Option::is_none) {
        let reason = format!("consumer group {group:?} has committed no offset for these topics; is its name right?");
        return Err(Error::Option { option: "--start committed", reason });
    }
    Ok(committed.iter().zip(ranges).map(|(position, range)| position.unwrap_or(range.low)).collect())
}

fn within(option: &'static str, ids: &[SplitId], positions: &[i64], ranges: &[Range]) -> Result<(), Error> {
    for ((id, position), range) in ids.iter().zip(positions).zip(ranges) {
        if !(range.low..=range.high).contains(position) {
            let reason =
                format!("{id} would start at {position}, but holds {} to {} (exclusive)", range.low, range.high);
            return Err(Error::Option { option, reason });
        }
    }
    Ok(())
}

fn committed(client: &ClientOptions, group: &str, ids: &[SplitId]) -> Result<Vec<Option<i64>>, Error> {
    let operation = || format!("read the offsets of consumer group {group:?}");
    let mut config = consumer_config(client);
    config.set("group.id", group);
    let consumer = open_consumer(&config, client)?;
    let mut list = TopicPartitionList::with_capacity(ids.len());
    for id in ids {
        list.add_partition(&id.stream, id.number);
    }
    let answer = consumer.committed_offsets(list, CALL_TIMEOUT);
    crate::ffi::serve_events(&consumer);
    let explain = |code| consumer.client().context().explain(operation(), code);
    let answer = answer.map_err(|e| explain(e.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)))?;
    let one = |id: &SplitId| {
        let Some(entry) = answer.find_partition(&id.stream, id.number) else { return Ok(None) };
        entry.error().map_err(|e| explain(e.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)))?;
        Ok(match entry.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        })
    };
    ids.iter().map(one).collect()
}

/// Checks restored splits: the same topics by id, and positions that can be read on from.
pub(crate) fn verify(admin: &Admin, states: &[SplitState]) -> Result<(), Error> {
    settled(|| verify_once(admin, states))
}

fn verify_once(admin: &Admin, states: &[SplitState]) -> Result<(), Error> {
    let mut names: Vec<String> = states.iter().map(|s| s.split.stream.to_string()).collect();
    names.sort();
    names.dedup();
    let topics = admin.topics(&names)?;
    for state in states {
        same_split(state, &topics)?;
    }
    // What is finished is not read again: it may have gone.
    let open: Vec<&SplitState> = states.iter().filter(|s| !s.is_finished()).collect();
    let ids: Vec<SplitId> = open.iter().map(|s| s.split.clone()).collect();
    for (state, range) in open.iter().zip(admin.ranges(&ids)?) {
        if !(range.low..=range.high).contains(&state.position) {
            return Err(out_of_range(&state.split, state.position, range));
        }
    }
    Ok(())
}

/// Checks that the topic that `state` was read from is among `topics`.
pub(super) fn same_split(state: &SplitState, topics: &[Topic]) -> Result<(), Error> {
    let found = topics.iter().find(|t| t.name == *state.split.stream);
    same_topic(&state.split.stream, state.identity.as_deref(), found)
}

/// Checks that `found` is the topic of this name and id.
pub(super) fn same_topic(topic: &str, expected: Option<&str>, found: Option<&Topic>) -> Result<(), Error> {
    let topic = topic.to_owned();
    let Some(expected) = expected else {
        return found.map(drop).ok_or(Error::TopicMissing { topic });
    };
    match found {
        Some(found) if found.id.as_deref() == Some(expected) => Ok(()),
        found => {
            let found = found.map(|found| found.id.clone().unwrap_or_default());
            Err(Error::TopicReplaced { topic, expected: expected.to_owned(), found })
        }
    }
}

/// The error of a position that cannot be read.
pub(super) fn out_of_range(split: &SplitId, position: i64, range: Range) -> Error {
    Error::OutOfRange { split: split.clone(), position, low: range.low, high: range.high }
}

fn unplaced(topics: &[Topic]) -> Vec<SplitState> {
    let of_topic = |topic: &Topic| {
        let name: std::sync::Arc<str> = topic.name.as_str().into();
        let id = topic.id.clone();
        let one = move |partition: &i32| SplitState {
            split: SplitId { stream: std::sync::Arc::clone(&name), number: *partition },
            position: 0,
            end: None,
            identity: id.clone(),
            term: None,
        };
        topic.partitions.iter().map(one).collect::<Vec<_>>()
    };
    let mut states: Vec<SplitState> = topics.iter().flat_map(of_topic).collect();
    states.sort_by(|a, b| a.split.cmp(&b.split));
    states
}

fn ids(states: &[SplitState]) -> Vec<SplitId> {
    states.iter().map(|s| s.split.clone()).collect()
}

#[cfg(test)]
mod tests {
    use weir_core::Fault;

    use super::*;

    fn topic(id: &str) -> Topic {
        Topic { name: "t".to_owned(), id: Some(id.to_owned()), partitions: vec![0, 1] }
    }

    #[test]
    fn given_offsets_name_every_partition_and_no_other() {
        let ids = ids(&unplaced(&[topic("x")]));
        let check = |given: &[(i32, i64)]| given_offsets("--start", &given.iter().copied().collect(), &ids);
        assert_eq!(check(&[(0, 5), (1, 7)]).unwrap(), [5, 7]);
        assert!(check(&[(0, 5)]).unwrap_err().to_string().contains("partition 1"));
        assert!(check(&[(0, 5), (1, 7), (2, 0)]).unwrap_err().to_string().contains("partition 2"));
    }

    #[test]
    fn offsets_of_another_group_are_taken_over() {
        let ranges = [Range { low: 3, high: 9 }; 2];
        assert_eq!(taken_over(&[Some(8), None], &ranges, "g").unwrap(), [8, 3]);
        assert!(taken_over(&[None, None], &ranges, "g").unwrap_err().to_string().contains("\"g\""));
        let ids = ids(&unplaced(&[topic("x")]));
        within("--start", &ids, &[3, 9], &ranges).unwrap();
        let error = within("--start", &ids, &[3, 10], &ranges).unwrap_err();
        assert_eq!(error.fault(), Fault::Config);
        assert!(error.to_string().contains("t[1] would start at 10, but holds 3 to 9"), "{error}");
    }

    #[test]
    fn a_topic_is_known_by_its_id() {
        let state = unplaced(&[topic("x")]).remove(0);
        same_split(&state, &[topic("x")]).unwrap();
        for found in [vec![], vec![topic("y")]] {
            let error = same_split(&state, &found).unwrap_err();
            assert_eq!(error.fault(), Fault::Corrupt);
            assert!(error.to_string().contains("topic id x"), "{error}");
        }
    }
}
