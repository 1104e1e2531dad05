//! HOT PATH. What an operator can do with the record it is given.

use std::fmt;
use std::io;
use std::marker::PhantomData;

use crate::description::{Table, TableKind};
use crate::failure::{self, Failure};
use crate::frame::{FrameWriter, NULL};
use crate::instance::HostRef;
use crate::record::Record;
use crate::state::{
    Broadcast, BroadcastTable, Cells, Collection, Collections, List, ListTable, Map, MapTable, Number, Reducing,
    ReducingTable, Value, ValueTable,
};
use crate::timer::{self, TimeDomain, timers_in};
use crate::update::{Queue, push_reject};

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Everything.
    Trace = 0,
    /// What helps to find a mistake.
    Debug = 1,
    /// What happens in normal life, rarely.
    Info = 2,
    /// Something is odd, and nothing was lost.
    Warn = 3,
    /// Somebody must act.
    Error = 4,
}

/// A frame that grows beyond this goes to the host before the batch ends.
const FLUSH_BYTES: usize = 1 << 20;

/// What an operator can do with the record it is given: keep state under its key, emit records, log.
pub struct Context<'a> {
    pub(crate) input: u32,
    /// Whether the record has come to all tasks.
    pub(crate) is_broadcast: bool,
    pub(crate) source: u32,
    pub(crate) slot: u32,
    pub(crate) tables: &'a [Table],
    pub(crate) cells: &'a mut Cells,
    pub(crate) collections: &'a mut Collections,
    pub(crate) queue: &'a mut Queue,
    pub(crate) values: &'a [u8],
    pub(crate) outputs: &'a mut [FrameWriter],
    /// The first thing that went wrong where nothing could be returned.
    pub(crate) failure: Option<Failure>,
    /// The last record of which the host has output already, while it was under way.
    pub(crate) spilled: u32,
    pub(crate) host: HostRef<'a>,
}

impl Context<'_> {
    /// Index of the input the record came from; 0 unless the plugin describes several, and for a timer.
    pub fn input(&self) -> u32 {
        self.input
    }

    /// The value of the record's key in `table`: `ctx.value(COUNT).get()?`, `.set(&n)?`, `.clear()?`.
    #[inline]
    pub fn value<T>(&mut self, table: ValueTable<T>) -> Value<'_, T> {
        let index = self.cell_index(table.name());
        self.cells.value(table, index, self.values)
    }

    /// The number of the record's key in `table`: `ctx.reducing(TOTAL).merge(5)?`, `.clear()?`, and `.get()?` where it comes
    /// with the batch.
    #[inline]
    pub fn reducing<T: Number>(&mut self, table: ReducingTable<T>) -> Reducing<'_, T> {
        let place = self.place(table.name(), TableKind::Reducing);
        let cell = if table.is_prefetched() { self.cell_index(table.name()).ok() } else { None };
        Reducing { table, place, cell, cells: self.cells, loaded: self.values, queue: self.queue }
    }

    /// The list of the record's key in `table`: `ctx.list(SEEN).push(&v)?`, `.all()?`, `.first(10)?`, `.clear()?`.
    pub fn list<T>(&mut self, table: ListTable<T>) -> List<'_, T> {
        List { list: self.collection(table.name(), TableKind::List), value: PhantomData }
    }

    /// The map of the record's key in `table`: `ctx.map(BY_PAGE).get(&k)?`, `.put(&k, &v)?`, `.remove(&k)?`,
    /// `.scan(Some(&k), 10)?`, `.all()?`, `.clear()?`.
    pub fn map<K, V>(&mut self, table: MapTable<K, V>) -> Map<'_, K, V> {
        Map { map: self.collection(table.name(), TableKind::Map), entry: PhantomData }
    }

    /// A table that all tasks have, whatever the record's key: `ctx.broadcast(RULES).get(&k)?`, `.all()?`, and for records that
    /// have come to all tasks `.put(&k, &v)?`, `.remove(&k)?`, `.clear()?`.
    pub fn broadcast<K, V>(&mut self, table: BroadcastTable<K, V>) -> Broadcast<'_, K, V> {
        let is_changeable = self.is_broadcast;
        let map = Map { map: self.collection(table.name(), TableKind::Broadcast), entry: PhantomData };
        Broadcast { map, is_changeable, entry: PhantomData }
    }

    /// Sets a timer of the record's key: [`crate::Operator::on_timer`] is called once event time has come to `at_ms`
    /// (milliseconds since 1970), after all records before it. One in the past is due as soon as time goes on at all. A key
    /// may have many timers, of each moment one, however often it is set. Fails for a record without a key, for a plugin
    /// without [`crate::Description::with_timers`], and for a time that no record can have.
    #[inline]
    pub fn set_timer(&mut self, at_ms: i64) -> Result<(), Failure> {
        let place = self.timer_place(TimeDomain::Event)?;
        timer::set(self.queue, place, at_ms)
    }

    /// Takes a timer of the record's key back; one that is not set is none. Fails as [`Context::set_timer`] does.
    #[inline]
    pub fn cancel_timer(&mut self, at_ms: i64) -> Result<(), Failure> {
        let place = self.timer_place(TimeDomain::Event)?;
        timer::cancel(self.queue, place, at_ms)
    }

    /// Sets a timer of the record's key in processing time: [`crate::Operator::on_timer`] is called once the host's clock has
    /// come to `at_ms`, at once where it has, as in `ctx.set_processing_timer(ctx.processing_time() + 1_000)?`. At the end of
    /// event time it is called for each that is set by then, and what is set from then on waits for another start. Fails as
    /// [`Context::set_timer`] does, for a plugin without [`crate::Description::with_processing_timers`].
    #[inline]
    pub fn set_processing_timer(&mut self, at_ms: i64) -> Result<(), Failure> {
        let place = self.timer_place(TimeDomain::Processing)?;
        timer::set(self.queue, place, at_ms)
    }

    /// Takes a timer of processing time back; one that is not set is none.
    #[inline]
    pub fn cancel_processing_timer(&mut self, at_ms: i64) -> Result<(), Failure> {
        let place = self.timer_place(TimeDomain::Processing)?;
        timer::cancel(self.queue, place, at_ms)
    }

    /// Processing time: milliseconds since 1970 by the host's clock, the same for all records of a call. What depends on it
    /// differs from run to run.
    pub fn processing_time(&mut self) -> i64 {
        self.host.processing_time()
    }

    /// Event time: the watermark, before which every record has come. `None` where nothing is known; at the end of time
    /// `i64::MAX`. How far it is when a record comes depends on batches.
    pub fn watermark(&mut self) -> Option<i64> {
        Some(self.host.watermark()).filter(|at_ms| *at_ms != i64::MIN)
    }

    #[inline]
    fn timer_place(&self, domain: TimeDomain) -> Result<(u32, u32), Failure> {
        let table = self.tables.iter().position(|table| timers_in(table) == Some(domain));
        let table = table.ok_or_else(|| no_timers(domain))?;
        Ok((self.slot()?, table as u32))
    }

    /// The place of a value among those that were handed over: they are of the tables of values alone.
    #[inline]
    fn cell_index(&self, table: &str) -> Result<usize, Failure> {
        let values = || self.tables.iter().filter(|t| t.is_handed_over());
        let index = values().position(|t| t.name == table).ok_or_else(|| no_table(table))?;
        let slot = self.slot()?;
        Ok((slot as usize).saturating_mul(values().count()).saturating_add(index))
    }

    fn collection(&mut self, name: &'static str, kind: TableKind) -> Result<Collection<'_>, Failure> {
        let place = self.place(name, kind)?;
        Ok(Collection { name, place, collections: self.collections, host: &mut *self.host })
    }

    /// Slot and table.
    #[inline]
    fn place(&self, name: &str, kind: TableKind) -> Result<(u32, u32), Failure> {
        let index = self.tables.iter().position(|t| t.name == name && t.kind == kind).ok_or_else(|| no_table(name))?;
        // What all tasks have is under no key.
        let slot = if kind == TableKind::Broadcast { NULL } else { self.slot()? };
        Ok((slot, index as u32))
    }

    #[inline]
    fn slot(&self) -> Result<u32, Failure> {
        if self.slot == NULL { Err(no_key()) } else { Ok(self.slot) }
    }

    /// Emits a record. It counts as made from the current one.
    #[inline]
    pub fn emit(&mut self, record: Record<'_>) {
        self.emit_to(0, record);
    }

    /// Emits a record to one of several outputs, by its index in the description.
    #[inline]
    pub fn emit_to(&mut self, output: u32, record: Record<'_>) {
        let source = self.source;
        if let Some(writer) = self.writer(output) {
            writer.push(&record, source);
        }
    }

    /// Emits `record` with a value that `write` writes straight into the output: no buffer in between.
    #[inline]
    pub fn emit_with(&mut self, record: Record<'_>, write: impl FnOnce(&mut ValueWriter<'_>)) {
        let source = self.source;
        if let Some(writer) = self.writer(0) {
            writer.push_with(&record, source, |frame| write(&mut ValueWriter { start: frame.len(), frame }));
        }
    }

    /// Writes a line to the host's log.
    #[cold]
    pub fn log(&mut self, level: Level, message: impl AsRef<str>) {
        self.host.log(level, message.as_ref());
    }

    /// The current record, or window, is `done`. One that failed is undone and rejected.
    #[inline]
    pub(crate) fn settle(&mut self, done: Result<(), Failure>, rejects: &mut Vec<u8>) -> Result<(), Failure> {
        // What could not be returned where it happened comes first: it may be the cause of the other.
        if let Some(failure) = self.failure.take().or(done.err()) {
            if !self.undo() {
                // So much came out of it that the host has some already: only the whole call can be undone.
                return Err(Failure { index: Some(self.source), ..failure });
            }
            push_reject(rejects, self.source, &failure);
        }
        Ok(())
    }

    /// Takes back what the current record has done to outputs and state; false if the host has some of it already.
    #[cold]
    fn undo(&mut self) -> bool {
        let source = self.source;
        self.outputs.iter_mut().for_each(|writer| writer.undo(source));
        self.cells.undo(self.slot, self.tables.iter().filter(|t| t.is_handed_over()).count());
        self.collections.undo();
        self.queue.undo();
        self.spilled != source
    }

    #[inline]
    fn writer(&mut self, output: u32) -> Option<&mut FrameWriter> {
        match self.outputs.get_mut(output as usize) {
            Some(writer) => {
                if writer.len() > FLUSH_BYTES {
                    if writer.has_begun(self.source) {
                        self.spilled = self.source;
                    }
                    if let Some(frame) = writer.finish() {
                        self.host.emit(output, frame);
                    }
                }
                writer.begin(self.source);
                Some(writer)
            }
            None => {
                let failure = || undeclared(format_args!("output {output} is not in the plugin's description"));
                self.failure.get_or_insert_with(failure);
                None
            }
        }
    }
}

#[cold]
fn no_table(name: &str) -> Failure {
    undeclared(format_args!("table `{name}` is not in the plugin's description, or of another kind there"))
}

#[cold]
fn no_timers(domain: TimeDomain) -> Failure {
    let lacking = match domain {
        TimeDomain::Event => "with_timers",
        TimeDomain::Processing => "with_processing_timers",
    };
    undeclared(format_args!("timers are not in the plugin's description: it lacks `.{lacking}()`"))
}

#[cold]
fn undeclared(what: fmt::Arguments<'_>) -> Failure {
    Failure::new(what.to_string()).with_code(failure::UNDECLARED)
}

#[cold]
fn no_key() -> Failure {
    Failure::new(
        "record has no key, and state is kept by key; lines of stdin and files have one only with \
         --from '-?format=key-value' (or json); --key header:NAME keys by a header",
    )
    .with_code(failure::NO_KEY)
}

/// Where [`Context::emit_with`] writes a value; `write!` and `serde_json::to_writer` work on it.
pub struct ValueWriter<'a> {
    frame: &'a mut Vec<u8>,
    start: usize,
}

impl ValueWriter<'_> {
    /// Appends bytes.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.frame.extend_from_slice(bytes);
    }

    /// What was written so far, to be changed in place.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.frame.get_mut(self.start..).unwrap_or_default()
    }
}

impl io::Write for ValueWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
