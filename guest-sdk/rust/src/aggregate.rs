//! HOT PATH. Windows: the host says which window a record is in, when one fires, and keeps an accumulator for each; an
//! [`Aggregate`] says what an accumulator is, how a record is folded into it, and what a window sends.

use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::description::{Description, TableKind};
use crate::failure::{self, Failure};
use crate::frame::{Cursor, Frame, FrameWriter, NULL, malformed};
use crate::instance::{HostRef, configuration, flush};
use crate::record::Record;
use crate::state::{Cells, Collections, StateValue};
use crate::update::{OP_SET, Queue, push_update};

/// What folds the records of windows.
///
/// ```
/// use weir_sdk::{Aggregate, Context, Description, Failure, NoConfig, Record, Window};
///
/// struct Count;
///
/// impl Aggregate for Count {
///     type Config = NoConfig;
///     type Accumulator = u64;
///
///     fn describe() -> Description {
///         Description::new("count", "1.0.0").window("tumbling:10s")
///     }
///
///     fn open(_: NoConfig) -> Result<Self, Failure> {
///         Ok(Self)
///     }
///
///     fn fold(&mut self, count: &mut u64, _: &Record<'_>) -> Result<(), Failure> {
///         *count += 1;
///         Ok(())
///     }
///
///     fn merge(&mut self, count: &mut u64, later: u64) -> Result<(), Failure> {
///         *count += later;
///         Ok(())
///     }
///
///     fn finish(&mut self, window: &Window<'_>, count: u64, ctx: &mut Context<'_>) -> Result<(), Failure> {
///         ctx.emit(window.record(count.to_string().as_bytes()));
///         Ok(())
///     }
/// }
///
/// weir_sdk::aggregate!(Count);
///
/// use weir_sdk::testing::{Message, WindowKind, Windows};
///
/// let mut windows = Windows::<Count>::new(WindowKind::Tumbling(10_000), "{}").unwrap();
/// let records = [("x", 1_000), ("y", 2_000)].map(|(value, at)| Message::new("ada", value).with_timestamp(at));
/// windows.fold(&records).unwrap();
/// assert_eq!(windows.advance(10_000).unwrap(), [Message::new("ada", "2").with_timestamp(9_999).into_output(0)]);
/// ```
/// An instance may be replaced by a new one between any two calls: what must last belongs into the accumulator.
pub trait Aggregate: Sized {
    /// What the user may configure, read from JSON. [`crate::NoConfig`] where there is nothing.
    type Config: DeserializeOwned;

    /// What is kept of a window. A new one begins with the default.
    type Accumulator: StateValue + Default;

    /// The plugin's name, version and outputs; its windows, where it is made for some.
    fn describe() -> Description;

    /// Makes an instance.
    fn open(config: Self::Config) -> Result<Self, Failure>;

    /// Folds a record into the accumulator of its key and window. A failure costs a call, and drops this instance: the host
    /// finds its way around the record, or stops, as the pipeline says.
    fn fold(&mut self, accumulator: &mut Self::Accumulator, record: &Record<'_>) -> Result<(), Failure>;

    /// Merges what came `later` into what came before: a sliding window is merged from its parts, a session from those that a
    /// record has joined. It must not matter what is merged first: `(a b) c` is `a (b c)`.
    fn merge(&mut self, accumulator: &mut Self::Accumulator, later: Self::Accumulator) -> Result<(), Failure>;

    /// What a window sends. It may fire again, after late records. State is the host's here: `ctx` emits and logs.
    fn finish(
        &mut self,
        window: &Window<'_>,
        accumulator: Self::Accumulator,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure>;
}

/// A window that fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window<'a> {
    key: &'a [u8],
    timestamp: i64,
    start_ms: i64,
    end_ms: i64,
}

impl<'a> Window<'a> {
    /// Its key.
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// Its first millisecond, since 1970.
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// The first millisecond after it.
    pub fn end_ms(&self) -> i64 {
        self.end_ms
    }

    /// A record with its key and `value`, at its last millisecond: later operators find it in the same time.
    pub fn record<'b>(&self, value: &'b [u8]) -> Record<'b>
    where
        'a: 'b,
    {
        Record::new(Some(self.key), Some(value)).with_timestamp(Some(self.timestamp))
    }

    /// The window of a record of a due list.
    fn of(record: &Record<'a>) -> Option<Self> {
        let (start, end) = record.value?.split_first_chunk::<8>()?;
        let (start_ms, end_ms) = (i64::from_le_bytes(*start), i64::from_le_bytes(end.try_into().ok()?));
        Some(Self { key: record.key?, timestamp: record.timestamp, start_ms, end_ms })
    }
}

/// The name of the table of accumulators.
const TABLE: &str = "windows";

/// An aggregate, and the buffers it keeps from call to call.
pub struct WindowInstance<Op: Aggregate> {
    aggregate: Op,
    /// Of this call's slots: what was read of them so far.
    accumulators: Vec<Option<Op::Accumulator>>,
    outputs: Vec<FrameWriter>,
    bytes: Vec<u8>,
}

impl<Op: Aggregate> WindowInstance<Op> {
    /// What the host reads before anything else: the aggregate's own words, and its accumulators.
    pub fn describe() -> Description {
        let mut description = Op::describe();
        description.push(TABLE, TableKind::Window, <Op::Accumulator as StateValue>::TYPE.to_owned());
        description
    }

    /// Opens the aggregate with its configuration, a JSON object.
    pub fn open(config: &str) -> Result<Self, Failure> {
        let aggregate = Op::open(configuration(config)?)?;
        let outputs = (0..Op::describe().output_count()).map(|_| FrameWriter::default()).collect();
        Ok(Self { aggregate, accumulators: Vec::new(), outputs, bytes: Vec::new() })
    }

    /// Folds one batch: arguments and result are those of `aggregate.fold` in `wit/`.
    pub fn fold(&mut self, batch: &[u8], slots: &[u32], values: &[u8]) -> Result<Vec<u8>, Failure> {
        self.change(batch, slots, values, Op::fold)
    }

    /// Merges accumulators: arguments and result are those of `aggregate.merge` in `wit/`.
    pub fn merge(&mut self, parts: &[u8], slots: &[u32], values: &[u8]) -> Result<Vec<u8>, Failure> {
        self.change(parts, slots, values, |aggregate, accumulator, part| {
            let later = part.value.ok_or_else(|| malformed("list of accumulators"))?;
            aggregate.merge(accumulator, decode::<Op>(later)?)
        })
    }

    /// Changes the accumulator of each record of `batch`, in order.
    fn change(
        &mut self,
        batch: &[u8],
        slots: &[u32],
        values: &[u8],
        change: impl Fn(&mut Op, &mut Op::Accumulator, &Record<'_>) -> Result<(), Failure>,
    ) -> Result<Vec<u8>, Failure> {
        let values = values_of(values)?;
        self.accumulators.clear();
        self.accumulators.resize_with(values.len(), || None);
        let mut frame = Frame::new(batch)?;
        let mut slots = slots.iter();
        let mut index = 0;
        while let Some(record) = frame.next()? {
            let slot = slots.next().map_or(usize::MAX, |slot| *slot as usize);
            let place = self.accumulators.get_mut(slot).zip(values.get(slot));
            let (accumulator, stored) = place.ok_or_else(|| malformed("list of slots"))?;
            let accumulator = match accumulator {
                Some(accumulator) => accumulator,
                None => accumulator.insert(stored.map_or_else(|| Ok(Default::default()), decode::<Op>)?),
            };
            let changed = change(&mut self.aggregate, accumulator, &record);
            changed.map_err(|failure| Failure { index: Some(index), ..failure })?;
            index += 1;
        }
        let mut updates = Vec::new();
        for (slot, accumulator) in (0..).zip(&self.accumulators) {
            let Some(accumulator) = accumulator else { continue };
            self.bytes.clear();
            accumulator.encode(&mut self.bytes)?;
            push_update(&mut updates, OP_SET, 0, slot, &self.bytes);
        }
        Ok(updates)
    }

    /// Makes output of windows: arguments and result are those of `aggregate.finish` in `wit/`. A window that fails is undone
    /// and rejected, and the others go on.
    pub fn finish(&mut self, due: &[u8], slots: &[u32], values: &[u8], host: HostRef<'_>) -> Result<Vec<u8>, Failure> {
        self.outputs.iter_mut().for_each(FrameWriter::clear);
        let (mut cells, mut collections, mut queue) = (Cells::default(), Collections::default(), Queue::default());
        let mut rejects = Vec::new();
        let accumulators = values_of(values)?;
        let mut frame = Frame::new(due)?;
        let mut ctx = Context {
            is_broadcast: false,
            input: 0,
            source: 0,
            slot: NULL,
            tables: &[],
            cells: &mut cells,
            collections: &mut collections,
            queue: &mut queue,
            values: &[],
            outputs: &mut self.outputs,
            failure: None,
            spilled: NULL,
            host: &mut *host,
        };
        while let Some(record) = frame.next()? {
            let window = Window::of(&record).ok_or_else(|| malformed("list of windows"))?;
            let slot = slots.get(ctx.source as usize).and_then(|slot| accumulators.get(*slot as usize));
            let stored = slot.ok_or_else(|| malformed("list of slots"))?;
            let accumulator = stored.map_or_else(|| Ok(Default::default()), decode::<Op>);
            let done = accumulator.and_then(|accumulator| self.aggregate.finish(&window, accumulator, &mut ctx));
            ctx.settle(done, &mut rejects)?;
            ctx.source += 1;
        }
        flush(&mut self.outputs, host);
        Ok(rejects)
    }
}

fn decode<Op: Aggregate>(bytes: &[u8]) -> Result<Op::Accumulator, Failure> {
    let about = |failure: Failure| failure.context("failed to read an accumulator").with_code(failure::STATE);
    Op::Accumulator::decode(bytes).map_err(about)
}

/// The value of each slot; `None`: absent.
fn values_of(values: &[u8]) -> Result<Vec<Option<&[u8]>>, Failure> {
    let (mut cursor, mut all) = (Cursor::new(values, 0), Vec::new());
    while !cursor.is_at_end() {
        all.push(cursor.sized().ok_or_else(|| malformed("list of values"))?);
    }
    Ok(all)
}
