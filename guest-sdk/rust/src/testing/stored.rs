//! The state that a harness keeps between calls, and the changes of it that a call asks for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::wire::{Op, Update};
use crate::Failure;
use crate::description::{Table, TableKind, Ttl};
use crate::frame::NULL;
use crate::state::merge_stored;

/// A table, and a key.
type Place = (&'static str, Vec<u8>);

/// What is under no key is under none of any length.
const NO_KEY: &Vec<u8> = &Vec::new();

/// When a timer is due, and its key: in this order they fire.
pub(crate) type Timer = (i64, Vec<u8>);

/// The index of a table.
type Index = u32;

/// What each key has in each table.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    values: HashMap<Place, Vec<u8>>,
    lists: HashMap<Place, Vec<Vec<u8>>>,
    maps: HashMap<Place, BTreeMap<Vec<u8>, Vec<u8>>>,
    timers: BTreeMap<Index, BTreeSet<Timer>>,
    expiry: Expiry,
}

/// What expires by event time, as the host has it: what is past its time is taken away when time goes on.
#[derive(Debug, Default)]
struct Expiry {
    /// How long what is written stays, by table.
    ttl_ms: HashMap<&'static str, i64>,
    /// How far event time has come, and what stands for it where it has not begun.
    now_ms: Option<i64>,
    latest_ms: Option<i64>,
    /// Of values, and of entries of maps.
    entries: HashMap<(Place, Option<Vec<u8>>), i64>,
    /// Of the elements of lists, in their order.
    elements: HashMap<Place, Vec<i64>>,
}

impl Expiry {
    /// When what is written now in this table expires, if it does.
    fn expires_ms(&self, table: &'static str) -> Option<i64> {
        let ttl_ms = self.ttl_ms.get(table)?;
        Some(self.now_ms.or(self.latest_ms).map_or(i64::MAX, |now_ms| now_ms.saturating_add(*ttl_ms)))
    }
}

/// A change of what a key has in a table.
#[derive(Debug)]
pub(crate) enum Change {
    Set(Place, Vec<u8>),
    Clear(Place),
    Append(Place, Vec<u8>),
    Put(Place, Vec<u8>, Vec<u8>),
    Delete(Place, Vec<u8>),
    SetTimer(Index, Timer),
    CancelTimer(Index, Timer),
}

impl Change {
    /// What `update` asks for, checked as the host does. A merge is a set, of what it makes of what `stored` and the changes
    /// before it, of the same call, have left.
    pub(crate) fn new(
        update: &Update<'_>,
        (tables, keys, is_broadcast): (&[Table], &[Vec<u8>], bool),
        (stored, before): (&Stored, &[Self]),
    ) -> Result<Self, Failure> {
        let table = tables.get(update.table as usize);
        let key = match table.map(|table| table.kind) {
            // What all tasks have is under no key, and changed by what comes to all of them.
            Some(TableKind::Broadcast) => (is_broadcast && update.slot == NULL).then_some(NO_KEY),
            _ => keys.get(update.slot as usize),
        };
        let (Some(table), Some(key)) = (table, key) else {
            return Err(Failure::new(format!("update of table {}, slot {}", update.table, update.slot)));
        };
        let place = (table.name, key.clone());
        let value = update.value.unwrap_or_default().to_vec();
        let entry = update.entry.unwrap_or_default().to_vec();
        let time_ms = || update.value.and_then(|time| time.try_into().ok()).map(i64::from_le_bytes).unwrap_or_default();
        match (update.op, table.kind) {
            (Op::Set, TableKind::Value) => Ok(Self::Set(place, value)),
            (Op::Clear, TableKind::Value | TableKind::Reducing | TableKind::List) => Ok(Self::Clear(place)),
            (Op::Clear, TableKind::Map | TableKind::Broadcast) => Ok(Self::Clear(place)),
            (Op::Merge, TableKind::Reducing) => {
                let last = before.iter().rev().find_map(|change| match change {
                    Self::Set(of, value) if *of == place => Some(Some(value.as_slice())),
                    Self::Clear(of) if *of == place => Some(None),
                    _ => None,
                });
                let has = last.unwrap_or_else(|| stored.value(table.name, key));
                let merged = merge_stored(&table.schema, has, &value);
                let merged = merged.map_err(|failure| failure.context(format_args!("table `{}`", table.name)))?;
                Ok(Self::Set(place, merged))
            }
            (Op::Append, TableKind::List) => Ok(Self::Append(place, value)),
            (Op::Put, TableKind::Map | TableKind::Broadcast) => Ok(Self::Put(place, entry, value)),
            (Op::Delete, TableKind::Map | TableKind::Broadcast) => Ok(Self::Delete(place, entry)),
            (Op::SetTimer, TableKind::Timer | TableKind::ProcessingTimer) => {
                Ok(Self::SetTimer(update.table, (time_ms(), key.clone())))
            }
            (Op::CancelTimer, TableKind::Timer | TableKind::ProcessingTimer) => {
                Ok(Self::CancelTimer(update.table, (time_ms(), key.clone())))
            }
            (op, kind) => Err(Failure::new(format!("{op:?} of table `{}`, whose kind is {kind:?}", table.name))),
        }
    }
}

impl Stored {
    /// Nothing, in these tables.
    pub(crate) fn of(tables: &[Table]) -> Self {
        let ttl_ms = tables.iter().filter_map(|table| match table.ttl? {
            Ttl::Event(ms) => Some((table.name, i64::try_from(ms).unwrap_or(i64::MAX))),
            Ttl::Processing(_) => None,
        });
        Self { expiry: Expiry { ttl_ms: ttl_ms.collect(), ..Expiry::default() }, ..Self::default() }
    }

    /// A call with records up to this timestamp.
    pub(crate) fn begin(&mut self, latest_ms: Option<i64>) {
        self.expiry.latest_ms = latest_ms;
    }

    /// Event time has come to `to_ms`, and what was due has fired.
    pub(crate) fn has_come(&mut self, to_ms: i64) {
        let Self { values, lists, maps, expiry, .. } = self;
        expiry.now_ms = expiry.now_ms.max(Some(to_ms));
        expiry.entries.retain(|(place, entry), expires_ms| {
            if *expires_ms <= to_ms {
                match entry {
                    None => drop(values.remove(place)),
                    Some(entry) => drop(maps.get_mut(place).and_then(|map| map.remove(entry))),
                }
            }
            *expires_ms > to_ms
        });
        for (place, elements) in &mut expiry.elements {
            let past = elements.iter().take_while(|expires_ms| **expires_ms <= to_ms).count();
            elements.drain(..past);
            lists.entry(place.clone()).or_default().drain(..past);
        }
    }

    pub(crate) fn value(&self, table: &'static str, key: &[u8]) -> Option<&[u8]> {
        self.values.get(&(table, key.to_vec())).map(Vec::as_slice)
    }

    pub(crate) fn list(&self, table: &'static str, key: &[u8]) -> &[Vec<u8>] {
        self.lists.get(&(table, key.to_vec())).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn map(&self, table: &'static str, key: &[u8]) -> Option<&BTreeMap<Vec<u8>, Vec<u8>>> {
        self.maps.get(&(table, key.to_vec()))
    }

    /// The timers of a table that are due at `to_ms`, in order, up to the first whose key is among them already: what the one before it
    /// does may change it.
    pub(crate) fn due(&self, table: Index, to_ms: i64) -> Vec<Timer> {
        let mut keys = HashSet::new();
        let timers = self.timers.get(&table).into_iter().flatten();
        let due = timers.take_while(|(time_ms, key)| *time_ms <= to_ms && keys.insert(key.as_slice()));
        due.cloned().collect()
    }

    /// When the timers of `key` in a table are due, in order.
    pub(crate) fn timers(&self, table: Index, key: &[u8]) -> Vec<i64> {
        self.timers.get(&table).into_iter().flatten().filter(|(_, of)| of == key).map(|(time_ms, _)| *time_ms).collect()
    }

    pub(crate) fn change(&mut self, change: Change) {
        self.note(&change);
        match change {
            Change::Set(place, value) => drop(self.values.insert(place, value)),
            Change::Clear(place) => {
                self.values.remove(&place);
                self.lists.remove(&place);
                self.maps.remove(&place);
            }
            Change::Append(place, value) => self.lists.entry(place).or_default().push(value),
            Change::Put(place, entry, value) => drop(self.maps.entry(place).or_default().insert(entry, value)),
            Change::Delete(place, entry) => drop(self.maps.entry(place).or_default().remove(&entry)),
            Change::SetTimer(table, timer) => drop(self.timers.entry(table).or_default().insert(timer)),
            Change::CancelTimer(table, timer) => drop(self.timers.entry(table).or_default().remove(&timer)),
        }
    }

    /// When what changes expires.
    fn note(&mut self, change: &Change) {
        let expiry = &mut self.expiry;
        match change {
            Change::Set(place, _) => {
                let expires_ms = expiry.expires_ms(place.0);
                expiry.entries.extend(expires_ms.map(|ms| ((place.clone(), None), ms)));
            }
            Change::Put(place, entry, _) => {
                let expires_ms = expiry.expires_ms(place.0);
                expiry.entries.extend(expires_ms.map(|ms| ((place.clone(), Some(entry.clone())), ms)));
            }
            Change::Append(place, _) => {
                let Some(expires_ms) = expiry.expires_ms(place.0) else { return };
                expiry.elements.entry(place.clone()).or_default().push(expires_ms);
            }
            Change::Clear(place) => {
                expiry.entries.retain(|(of, _), _| of != place);
                expiry.elements.remove(place);
            }
            Change::Delete(place, entry) => {
                expiry.entries.remove(&(place.clone(), Some(entry.clone())));
            }
            Change::SetTimer(..) | Change::CancelTimer(..) => {}
        }
    }
}
