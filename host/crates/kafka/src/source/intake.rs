//! HOT PATH. What the fetcher does with messages: finds their split, builds batches, moves positions, and judges what
//! comes in place of a record.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use weir_core::ports::Unreadable;
use weir_core::{Batch, Fault, Origin, SplitId, SplitState};
use weir_machine::channel::Sender;

use super::batching::Batching;
use super::fetcher::Stop;
use super::handover::{Closed, Delivery, Handover, Move};
use super::offsets;
use crate::admin::Admin;
use crate::error::{Error, classify};
use crate::ffi::{Message, Queue};

/// A split as the fetcher sees it.
struct Split {
    state: SplitState,
    /// The bound, or `i64::MAX`.
    end: i64,
    is_moved: bool,
    /// The broker that gave out records of it last, if that was since the last delivery.
    served: Option<i32>,
    /// Read to the bound, and no longer fetched.
    is_paused: bool,
}

impl Split {
    fn new(state: SplitState) -> Self {
        Self { end: state.end.unwrap_or(i64::MAX), is_moved: false, served: None, is_paused: false, state }
    }
}

/// Where what moves a position comes from.
#[derive(Clone, Copy)]
struct Fetched {
    broker: i32,
    /// Of the record before the position.
    term: Option<i32>,
}

impl Fetched {
    /// No record stands before the position.
    fn nothing(broker: i32) -> Self {
        Self { broker, term: None }
    }
}

/// Takes messages in: finds their split, builds batches, moves positions.
pub(super) struct Intake {
    splits: Vec<Split>,
    by_handle: HashMap<(usize, i32), u32>,
    /// The split of the message before: messages come in runs.
    last: ((usize, i32), u32),
    /// Splits whose position moved since the last delivery.
    moved: Vec<u32>,
    /// Which brokers gave out what moved them.
    served: Vec<(u32, i32)>,
    batching: Batching,
    admin: Admin,
    handover: Arc<Handover>,
    nudge: Sender<()>,
}

impl Intake {
    /// With no split yet; `nudge` asks discovery for a look.
    pub(super) fn new(admin: Admin, handover: Arc<Handover>, nudge: Sender<()>, batching: Batching) -> Self {
        Self {
            splits: Vec::new(),
            by_handle: HashMap::new(),
            last: ((0, -1), 0),
            moved: Vec::new(),
            served: Vec::new(),
            batching,
            admin,
            handover,
            nudge,
        }
    }

    pub(super) fn handover(&self) -> &Handover {
        &self.handover
    }

    /// Splits are only ever appended, in the reader's order.
    pub(super) fn add(&mut self, split: SplitState) {
        self.splits.push(Split::new(split));
    }

    /// Takes in what `queue` has. Returns how many records there were.
    pub(super) fn accept(&mut self, queue: &Queue) -> Result<usize, Stop> {
        let mut records = 0;
        for message in queue.messages() {
            if let Some(code) = message.error() {
                self.event(&message, code)?;
                continue;
            }
            let index = self.index_of(&message)?;
            let offset = message.offset();
            let from = Fetched { broker: message.broker(), term: message.term() };
            if !self.advance(index, offset, from)? {
                continue;
            }
            records += 1;
            let origin = Origin::new(index, offset);
            if let Err(why) = self.take_headers(&message) {
                self.refuse(Unreadable { origin, why: why.into() }, from)?;
                continue;
            }
            let (key, value, time) = (message.key(), message.value(), message.timestamp_ms());
            // A batch cut before this record must not carry its position: cut first, then move.
            if let Some(batch) = self.batching.push(origin, time, key, value) {
                self.deliver(Some(batch))?;
            }
            self.move_to(index, offset + 1, from);
            if self.batching.is_full() {
                self.flush()?;
            }
        }
        Ok(records)
    }

    /// Headers that cannot be told as they were written are not told at all.
    #[inline]
    fn take_headers(&mut self, message: &Message<'_>) -> Result<(), &'static str> {
        let mut headers = message.headers()?;
        self.batching.take_headers(headers.by_ref());
        if headers.is_cut() { Err("a header with a NUL in its name") } else { Ok(()) }
    }

    /// Whoever reads decides what becomes of the record; its position goes with the decision, not before it.
    fn refuse(&mut self, unreadable: Unreadable, from: Fetched) -> Result<(), Closed> {
        self.flush()?;
        self.move_to(unreadable.origin.split, unreadable.origin.offset + 1, from);
        let mut delivery = self.delivery(None);
        delivery.unreadable = Some(unreadable);
        self.handover.push(delivery)
    }

    /// Hands over what there is: records, or positions alone.
    pub(super) fn flush(&mut self) -> Result<(), Closed> {
        let batch = self.batching.finish();
        if batch.is_none() && self.moved.is_empty() {
            return Ok(());
        }
        self.deliver(batch)
    }

    fn deliver(&mut self, batch: Option<Batch>) -> Result<(), Closed> {
        let delivery = self.delivery(batch);
        self.handover.push(delivery)
    }

    /// `batch`, and what moved since the last delivery.
    fn delivery(&mut self, batch: Option<Batch>) -> Delivery {
        let splits = &mut self.splits;
        let position = |index: u32| {
            let split = splits.get_mut(index as usize)?;
            (split.is_moved, split.served) = (false, None);
            Some(Move { split: index, position: split.state.position, term: split.state.term })
        };
        let moves = self.moved.drain(..).filter_map(position).collect();
        let served = std::mem::take(&mut self.served);
        Delivery { batch, moves, served, ..Delivery::default() }
    }

    #[inline]
    fn index_of(&mut self, message: &Message<'_>) -> Result<u32, Error> {
        let handle = (message.topic_handle(), message.partition());
        if self.last.0 == handle {
            return Ok(self.last.1);
        }
        let index = match self.by_handle.get(&handle) {
            Some(index) => *index,
            None => self.index_by_name(message)?,
        };
        self.by_handle.insert(handle, index);
        self.last = (handle, index);
        Ok(index)
    }

    fn index_by_name(&self, message: &Message<'_>) -> Result<u32, Error> {
        let id = SplitId::new(message.topic(), message.partition());
        let found = self.splits.iter().position(|s| s.state.split == id);
        found.map(|i| i as u32).ok_or_else(|| Error::call(format!("find split {id}"), RDKafkaErrorCode::State))
    }

    /// True if the record at `offset` is to be read: it comes after the position and before the bound.
    #[inline]
    fn advance(&mut self, index: u32, offset: i64, from: Fetched) -> Result<bool, Error> {
        let Some(split) = self.splits.get_mut(index as usize) else { return Ok(false) };
        if offset >= split.end {
            let end = split.end;
            self.finish(index, end, from.broker)?;
            return Ok(false);
        }
        if offset < split.state.position {
            let operation = format!("read {} in order: offset {offset} again", split.state.split);
            return Err(Error::call(operation, RDKafkaErrorCode::State));
        }
        Ok(true)
    }

    #[inline]
    fn move_to(&mut self, index: u32, position: i64, from: Fetched) {
        let Some(split) = self.splits.get_mut(index as usize) else { return };
        (split.state.position, split.state.term) = (position, from.term);
        if split.served.replace(from.broker) != Some(from.broker) {
            self.served.push((index, from.broker));
        }
        if !split.is_moved {
            split.is_moved = true;
            self.moved.push(index);
        }
    }

    /// A bounded split is read to its end: nothing of it is fetched any more.
    fn finish(&mut self, index: u32, end: i64, broker: i32) -> Result<(), Error> {
        let Some(split) = self.splits.get_mut(index as usize).filter(|s| !s.is_paused) else { return Ok(()) };
        split.is_paused = true;
        let id = &split.state.split;
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&id.stream, id.number);
        self.admin.consumer().pause(&list).map_err(|e| Error::of(format!("stop reading {id}"), e))?;
        if split.state.position < end {
            self.move_to(index, end, Fetched::nothing(broker));
        }
        Ok(())
    }

    /// Something other than a record.
    fn event(&mut self, message: &Message<'_>, code: RDKafkaErrorCode) -> Result<(), Stop> {
        use RDKafkaErrorCode as C;
        match code {
            C::PartitionEOF => {
                let index = self.index_of(message)?;
                self.end_of_partition(index, message.offset(), message.broker())?;
            }
            C::AutoOffsetReset | C::OffsetOutOfRange => {
                let index = self.index_of(message)?;
                return Err(self.out_of_range(index, message, code).into());
            }
            // Deleted, or the broker's news are old: discovery finds out.
            C::UnknownTopicOrPartition | C::UnknownTopic | C::UnknownPartition => {
                // A full channel means that a look is asked for already.
                self.nudge.try_send(()).ok();
            }
            // The client goes on by itself; whether the job is healthy shows in its lag.
            code if code != C::Fatal && classify(code) == Fault::Transient => {
                metrics::counter!("weir_kafka_client_errors_total").increment(1);
                tracing::debug!(error = message.error_text(), "the client goes on after an error");
            }
            code => {
                let operation = format!("read {}[{}]: {}", message.topic(), message.partition(), message.error_text());
                return Err(Error::call(operation, code).into());
            }
        }
        Ok(())
    }

    /// Control records at the tail move the position, too. Nobody tells in which term they were written.
    fn end_of_partition(&mut self, index: u32, offset: i64, broker: i32) -> Result<(), Error> {
        let Some(split) = self.splits.get(index as usize) else { return Ok(()) };
        let end = split.end;
        if offset >= end {
            return self.finish(index, end, broker);
        }
        if offset > split.state.position {
            self.move_to(index, offset, Fetched::nothing(broker));
        }
        Ok(())
    }

    fn out_of_range(&self, index: u32, message: &Message<'_>, code: RDKafkaErrorCode) -> Error {
        let Some(split) = self.splits.get(index as usize) else { return Error::call("find a split", code) };
        let id = split.state.split.clone();
        // The error may not tell the offset.
        let position = if message.offset() >= 0 { message.offset() } else { split.state.position };
        // A topic that was created again may be shorter: that is what must be told then.
        let found = self.admin.topics(&[id.stream.to_string()]);
        if let Err(error) = found.and_then(|found| offsets::same_split(&split.state, &found)) {
            return error;
        }
        match self.admin.ranges(std::slice::from_ref(&id)).map(|ranges| ranges.first().copied()) {
            Ok(Some(range)) if !(range.low..=range.high).contains(&position) => {
                offsets::out_of_range(&id, position, range)
            }
            // The offset exists, but what was read before it does not any more: other records stand there now.
            Ok(_) if message.tells_truncation() => Error::Truncated { split: id, position },
            // By now the range says otherwise: reading on needs a new assignment, which recovery makes.
            Ok(_) => Error::call(format!("read {id} at {position}"), code),
            Err(error) => error,
        }
    }
}
