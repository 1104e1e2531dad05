//! HOT PATH. The keyed state of one operator in one task: the layers in memory in front of RocksDB.
//!
//! Work is per batch: one pass over the keys, one read of RocksDB for those that are missing, one pass to write the
//! values out. Nothing is allocated for a key that is in memory, unless its value grows. Lists and maps are read from
//! RocksDB, and over it what has changed since.

/// One value in memory.
mod entries;
/// The values in memory.
mod layers;
/// Reads of lists and maps.
mod ordered;
/// What changed in lists and maps.
mod overlay;
/// What cannot leave memory.
mod pinned;
/// Which timers come first.
mod timers;

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use weir_core::key_group::key_hash;
use weir_core::ports::{Change, Delta, KeyRef, KeyedState, Now, SCAN_BYTES_MAX, Table, TableKind};
use weir_core::{Epoch, OperatorId, PortError, TableId};

use crate::delta;
use crate::error::Error;
use crate::store::{Shared, TaskTime};
use layers::Layers;
use ordered::Extent;
use overlay::Overlay;

/// So many values at a time are pinned in the block cache.
const READ_KEYS_MAX: usize = 256;

/// Stands for an entry that is not there yet.
const MISSING: u32 = u32::MAX;

/// See the module.
pub(crate) struct TaskState {
    shared: Arc<Shared>,
    operator: OperatorId,
    budget: u64,
    layers: Layers,
    /// The entries of the active overlay of `layers`, each once.
    active: Vec<u32>,
    overlay: Overlay,
    /// What changes in the tables that all tasks have, where another one writes it.
    followed: Option<Overlay>,
    /// The epoch that is sealed and not committed, and what time it was at its end.
    sealed: Option<(Epoch, Now)>,
    /// The last epoch sealed.
    last: Epoch,
    /// What the store shows of this task's memory.
    used: Arc<AtomicU64>,
    slots: Slots,
    /// The tables that were fetched for this call, and the entry of each of their values, slot by slot.
    fetched: Vec<TableId>,
    found: Vec<u32>,
    /// What time it is, which tables expire by it, and how far it has come in an epoch that holds.
    now: Now,
    expiring: Vec<Table>,
    time: Arc<TaskTime>,
    /// Scratch: values that are not in memory; state keys.
    missing: Vec<Missing>,
    keys: Vec<u8>,
}

/// A value that is to be read: its place among those that are found, its table and its slot.
type Missing = (usize, Table, usize);

/// The keys of a call, one behind the other.
#[derive(Default)]
struct Slots {
    bytes: Vec<u8>,
    /// The hash of each, and where it ends.
    ends: Vec<(u64, usize)>,
}

impl Slots {
    fn enter(&mut self, keys: &[KeyRef<'_>]) {
        self.bytes.clear();
        self.ends.clear();
        for key in keys {
            self.bytes.extend_from_slice(key.bytes);
            self.ends.push((key.hash, self.bytes.len()));
        }
    }

    /// The key of a slot of this call.
    fn key(&self, slot: usize) -> KeyRef<'_> {
        let begin = slot.checked_sub(1).map_or(0, |before| self.ends[before].1);
        let (hash, end) = self.ends[slot];
        KeyRef { hash, bytes: &self.bytes[begin..end] }
    }
}

impl TaskState {
    pub(crate) fn new(shared: Arc<Shared>, operator: OperatorId, budget: u64, used: Arc<AtomicU64>) -> Self {
        let time = shared.expiry().task(operator);
        Self {
            shared,
            operator,
            budget,
            layers: Layers::default(),
            active: Vec::new(),
            overlay: Overlay::default(),
            followed: None,
            sealed: None,
            last: Epoch(0),
            used,
            slots: Slots::default(),
            fetched: Vec::new(),
            found: Vec::new(),
            now: Now::UNKNOWN,
            expiring: Vec::new(),
            time,
            missing: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Bytes in memory.
    fn held(&self) -> u64 {
        self.layers.bytes() + self.changed()
    }

    /// Bytes of what changed in lists and maps.
    fn changed(&self) -> u64 {
        self.overlay.bytes() + self.followed.as_ref().map_or(0, Overlay::bytes)
    }

    /// Drops what the store has.
    fn release(&mut self, applied: u64) {
        self.overlay.release(applied);
        self.followed.iter_mut().for_each(|overlay| overlay.release(applied));
    }

    /// What changed in lists, or maps, of this kind.
    fn overlay(&self, table: Table) -> &Overlay {
        self.followed.as_ref().filter(|_| table.kind == TableKind::Broadcast).unwrap_or(&self.overlay)
    }

    /// The same, to be changed.
    fn overlay_mut(&mut self, table: Table) -> &mut Overlay {
        let followed = self.followed.as_mut().filter(|_| table.kind == TableKind::Broadcast);
        followed.unwrap_or(&mut self.overlay)
    }

    /// What `slot` of a list, a map, or a table of timers is kept under.
    fn key(&self, slot: usize, table: Table) -> KeyRef<'_> {
        match table.kind {
            TableKind::Broadcast => KeyRef { hash: key_hash(b""), bytes: b"" },
            _ => self.slots.key(slot),
        }
    }

    /// Appends the entry of each of these values to `found`: of those that are not in memory it is read, their absence too.
    fn fetch(&mut self, wanted: impl Iterator<Item = (Table, usize)>, found: &mut Vec<u32>) -> Result<(), Error> {
        self.missing.clear();
        for (table, slot) in wanted {
            let entry = self.layers.find(table.id, self.slots.key(slot));
            if entry.is_none() {
                self.missing.push((found.len(), table, slot));
            }
            found.push(entry.unwrap_or(MISSING));
        }
        if self.missing.is_empty() { Ok(()) } else { self.read_missing(found) }
    }

    fn read_missing(&mut self, found: &mut [u32]) -> Result<(), Error> {
        let Self { shared, operator, layers, slots, missing, keys, .. } = self;
        for chunk in missing.chunks(READ_KEYS_MAX) {
            keys.clear();
            for &(_, table, slot) in chunk {
                delta::push_key(keys, *operator, table, slots.key(slot));
            }
            let mut rest = keys.as_slice();
            let state_keys: Vec<&[u8]> = chunk
                .iter()
                .map(|&(.., slot)| rest.split_off(..delta::PREFIX + slots.key(slot).bytes.len()).unwrap_or_default())
                .collect();
            let values = shared.read(state_keys.iter().copied())?;
            for ((&(at, table, slot), state_key), value) in chunk.iter().zip(state_keys).zip(values) {
                let key = slots.key(slot);
                // A key may be asked for twice.
                let entry = layers.find(table.id, key);
                found[at] = entry.unwrap_or_else(|| layers.insert(table.id, state_key, value.as_deref()));
            }
        }
        Ok(())
    }

    /// The entry of a value: as it was fetched, or else looked for.
    fn value_entry(&mut self, slot: usize, table: Table) -> u32 {
        let fetched = self.fetched.iter().position(|id| *id == table.id);
        let entry = fetched.and_then(|at| self.found.get(slot * self.fetched.len() + at));
        if let Some(entry) = entry {
            return *entry;
        }
        let key = self.slots.key(slot);
        self.layers.find(table.id, key).unwrap_or_else(|| {
            self.keys.clear();
            delta::push_key(&mut self.keys, self.operator, table, key);
            self.layers.insert(table.id, &self.keys, None)
        })
    }

    fn set(&mut self, slot: usize, table: Table, value: Option<&[u8]>) {
        let entry = self.value_entry(slot, table);
        let stored = value.map(|value| stored(table, self.now, value));
        if self.layers.change(entry, stored.as_deref()) {
            self.active.push(entry);
        }
    }

    /// All that `slot` has in a list or a map. Whatever is read of it is as young as what the overlay lacks.
    fn extent(&mut self, slot: usize, table: Table) -> Extent {
        self.release(self.shared.applied());
        let mut key = std::mem::take(&mut self.keys);
        key.clear();
        delta::push_key(&mut key, self.operator, table, self.key(slot, table));
        let extent = Extent::new(&key);
        self.keys = key;
        extent
    }

    fn timer_key(&self, slot: usize, table: Table, time: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        delta::push_timer(&mut key, self.operator, table, time, self.slots.key(slot));
        key
    }

    fn clear(&mut self, table: Table, extent: &Extent) -> Result<(), Error> {
        let mut entries = Vec::new();
        ordered::scan((self.overlay(table), &self.shared), extent, &[], |entry, _| {
            entries.push(extent.key(entry));
            ControlFlow::Continue(())
        })?;
        entries.iter().for_each(|key| self.overlay_mut(table).change(key, None));
        Ok(())
    }

    fn try_scan(
        &mut self,
        (slot, table): (usize, Table),
        start: &[u8],
        limit: u32,
        out: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        let extent = self.extent(slot, table);
        let source = (self.overlay(table), &*self.shared);
        // A list is numbered from its first element, whatever numbers were there before it was cleared.
        let now = self.now;
        let is_live = |stored: &[u8]| table.live(now, stored).is_some();
        let first = if table.kind == TableKind::List { ordered::first_index(source, &extent, is_live)? } else { 0 };
        let list_start = (table.kind == TableKind::List && !start.is_empty())
            .then(|| first.saturating_add(number_from(start)).to_be_bytes());
        let start = list_start.as_ref().map_or(start, |start| start);
        let (begin, mut left, mut has_more) = (out.len(), limit, false);
        let mut wrong = None;
        ordered::scan(source, &extent, start, |entry, stored| {
            let Some(value) = table.live(now, stored) else { return ControlFlow::Continue(()) };
            has_more = left == 0 || out.len() - begin >= SCAN_BYTES_MAX;
            if has_more {
                return ControlFlow::Break(());
            }
            left -= 1;
            match table.kind {
                TableKind::List => match ordered::index(entry) {
                    Ok(index) => delta::push_entry(out, &(index - first).to_be_bytes(), Some(value)),
                    Err(error) => wrong = Some(error),
                },
                _ => delta::push_entry(out, entry, Some(value)),
            }
            ControlFlow::Continue(())
        })?;
        wrong.map_or(Ok(has_more), Err)
    }

    fn get_values(&mut self, table: Table, wanted: &[(u32, &[u8])], out: &mut Vec<u8>) -> Result<(), Error> {
        let mut found = Vec::with_capacity(wanted.len());
        self.fetch(wanted.iter().map(|(slot, _)| (table, *slot as usize)), &mut found)?;
        for entry in found {
            delta::push_value(out, self.layers.value(entry).and_then(|stored| table.live(self.now, stored)));
        }
        Ok(())
    }

    fn try_get_many(&mut self, table: Table, wanted: &[(u32, &[u8])], out: &mut Vec<u8>) -> Result<(), Error> {
        if table.kind.has_one_value() {
            return self.get_values(table, wanted, out);
        }
        self.release(self.shared.applied());
        for chunk in wanted.chunks(READ_KEYS_MAX) {
            let key = |(slot, entry): &(u32, &[u8])| {
                let mut key = Vec::new();
                delta::push_key(&mut key, self.operator, table, self.key(*slot as usize, table));
                key.extend_from_slice(entry);
                key
            };
            let keys: Vec<Vec<u8>> = chunk.iter().map(key).collect();
            let changed: Vec<Option<Option<&[u8]>>> = keys.iter().map(|key| self.overlay(table).get(key)).collect();
            let missing = keys.iter().zip(&changed).filter(|(_, changed)| changed.is_none());
            let mut stored = self.shared.read(missing.map(|(key, _)| key.as_slice()))?.into_iter();
            for changed in changed {
                let live = |stored| table.live(self.now, stored);
                match changed {
                    Some(value) => delta::push_value(out, value.and_then(live)),
                    None => delta::push_value(out, stored.next().flatten().as_deref().and_then(live)),
                }
            }
        }
        Ok(())
    }

    fn try_change(&mut self, slot: usize, table: Table, change: Change<'_>) -> Result<(), Error> {
        match change {
            Change::Set(value) => self.set(slot, table, Some(value)),
            Change::Clear if table.kind.has_one_value() => self.set(slot, table, None),
            Change::Clear => {
                let extent = self.extent(slot, table);
                self.clear(table, &extent)?;
            }
            Change::Append(value) => {
                let extent = self.extent(slot, table);
                let index = ordered::next_index((&self.overlay, &self.shared), &extent)?;
                let stored = stored(table, self.now, value);
                self.overlay.change(&extent.key(&index.to_be_bytes()), Some(&stored));
            }
            Change::Put { entry: time, .. } if table.kind.is_timer() => {
                let key = self.timer_key(slot, table, time);
                self.overlay.change(&key, Some(&[]));
            }
            Change::Delete(time) if table.kind.is_timer() => {
                let key = self.timer_key(slot, table, time);
                self.overlay.change(&key, None);
            }
            Change::Put { entry, value } => {
                let extent = self.extent(slot, table);
                let stored = stored(table, self.now, value);
                self.overlay_mut(table).change(&extent.key(entry), Some(&stored));
            }
            Change::Delete(entry) => {
                let extent = self.extent(slot, table);
                self.overlay_mut(table).change(&extent.key(entry), None);
            }
        }
        Ok(())
    }
}

/// What is stored of a value: that of a table that expires has before it when it does.
fn stored<'a>(table: Table, now: Now, value: &'a [u8]) -> Cow<'a, [u8]> {
    match table.ttl {
        None => Cow::Borrowed(value),
        Some(ttl) => Cow::Owned([&ttl.expires_ms(now).to_le_bytes(), value].concat()),
    }
}

/// The number that `start` stands for: the first whose eight bytes are not below it.
fn number_from(start: &[u8]) -> u64 {
    let mut number = [0; 8];
    for (to, from) in number.iter_mut().zip(start) {
        *to = *from;
    }
    u64::from_be_bytes(number).saturating_add(u64::from(start.len() > number.len()))
}

impl KeyedState for TaskState {
    fn set_time(&mut self, now: Now, expiring: &[Table]) {
        self.now = now;
        if self.expiring != expiring {
            self.expiring = expiring.to_vec();
            self.shared.expiry().set_tables(self.operator, expiring);
        }
    }

    fn follow(&mut self) {
        self.followed.get_or_insert_default();
    }

    fn enter(&mut self, keys: &[KeyRef<'_>]) {
        // Here, because entries that were found stay where they are as long as their call lasts.
        let applied = self.shared.applied();
        self.release(applied);
        self.layers.evict(applied, self.budget.saturating_sub(self.changed()));
        self.used.store(self.held(), Ordering::Relaxed);
        self.slots.enter(keys);
        self.fetched.clear();
        self.found.clear();
    }

    fn prefetch(&mut self, tables: &[Table], slots: Range<u32>, out: &mut Vec<u8>) -> Result<(), PortError> {
        let begin = self.found.len();
        debug_assert_eq!(begin, slots.start as usize * tables.len(), "slots are fetched in order");
        self.fetched.clear();
        self.fetched.extend(tables.iter().map(|table| table.id));
        let mut found = std::mem::take(&mut self.found);
        let wanted = slots.flat_map(|slot| tables.iter().map(move |table| (*table, slot as usize)));
        let fetched = self.fetch(wanted, &mut found);
        self.found = found;
        fetched?;
        for (&entry, table) in self.found.get(begin..).unwrap_or_default().iter().zip(tables.iter().cycle()) {
            delta::push_value(out, self.layers.value(entry).and_then(|stored| table.live(self.now, stored)));
        }
        Ok(())
    }

    fn get_many(&mut self, table: Table, wanted: &[(u32, &[u8])], out: &mut Vec<u8>) -> Result<(), PortError> {
        Ok(self.try_get_many(table, wanted, out)?)
    }

    fn scan(
        &mut self,
        table: Table,
        slot: u32,
        start: &[u8],
        limit: u32,
        out: &mut Vec<u8>,
    ) -> Result<bool, PortError> {
        Ok(self.try_scan((slot as usize, table), start, limit, out)?)
    }

    fn timers(
        &mut self,
        table: Table,
        groups: Range<u16>,
        start: &[u8],
        limit: usize,
        out: &mut Vec<Vec<u8>>,
    ) -> Result<(), PortError> {
        self.overlay.release(self.shared.applied());
        let source = (&self.overlay, &*self.shared);
        Ok(timers::first(source, (self.operator, table), groups, (start, limit), out)?)
    }

    fn change(&mut self, slot: u32, table: Table, change: Change<'_>) -> Result<(), PortError> {
        Ok(self.try_change(slot as usize, table, change)?)
    }

    fn seal(&mut self, epoch: Epoch) -> Delta {
        assert!(self.sealed.is_none(), "epoch {epoch} is sealed while {:?} is not acknowledged (I2)", self.sealed);
        assert!(self.last < epoch, "epoch {epoch} is sealed after epoch {}", self.last);
        (self.sealed, self.last) = (Some((epoch, self.now)), epoch);
        let mut payload = Vec::with_capacity(self.layers.delta_bytes() + self.overlay.delta_bytes());
        self.layers.seal(epoch.0, &self.active, &mut payload);
        let entries = self.active.len() as u64 + self.overlay.seal(epoch.0, &mut payload);
        // The same is in the delta of the task that writes it: with that it is in the store.
        if let Some(followed) = &mut self.followed {
            followed.seal(epoch.0, &mut Vec::new());
        }
        self.used.store(self.held(), Ordering::Relaxed);
        self.active.clear();
        Delta { entries, payload: Bytes::from(payload) }
    }

    fn commit(&mut self, epoch: Epoch) {
        // Its entries stay as they are: they may be dropped once the store has applied the epoch.
        let sealed = self.sealed.take();
        assert_eq!(sealed.map(|(epoch, _)| epoch), Some(epoch), "only the sealed epoch can be committed");
        self.time.holds(sealed.map_or(Now::UNKNOWN, |(_, now)| now));
    }

    fn bytes(&self) -> u64 {
        self.held()
    }

    fn is_full(&mut self) -> bool {
        let applied = self.shared.applied();
        self.release(applied);
        self.layers.pinned(applied) + self.changed() >= self.budget
    }
}
