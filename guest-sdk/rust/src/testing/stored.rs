//! The state that a harness keeps between calls, and the changes of it that a call asks for.

use std::collections::{BTreeMap, HashMap};

use super::wire::{Op, Update};
use crate::Failure;
use crate::description::{Table, TableKind};

/// A table, and a key.
type Place = (&'static str, Vec<u8>);

/// What each key has in each table.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    values: HashMap<Place, Vec<u8>>,
    lists: HashMap<Place, Vec<Vec<u8>>>,
    maps: HashMap<Place, BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// A change of what a key has in a table.
#[derive(Debug)]
pub(crate) enum Change {
    Set(Place, Vec<u8>),
    Clear(Place),
    Append(Place, Vec<u8>),
    Put(Place, Vec<u8>, Vec<u8>),
    Delete(Place, Vec<u8>),
}

impl Change {
    /// What `update` asks for, checked as the host does.
    pub(crate) fn new(update: &Update<'_>, tables: &[Table], keys: &[Vec<u8>]) -> Result<Self, Failure> {
        let (Some(table), Some(key)) = (tables.get(update.table as usize), keys.get(update.slot as usize)) else {
            return Err(Failure::new(format!("update of table {}, slot {}", update.table, update.slot)));
        };
        let place = (table.name, key.clone());
        let value = update.value.unwrap_or_default().to_vec();
        let entry = update.entry.unwrap_or_default().to_vec();
        match (update.op, table.kind) {
            (Op::Set, TableKind::Value) => Ok(Self::Set(place, value)),
            (Op::Clear, _) => Ok(Self::Clear(place)),
            (Op::Append, TableKind::List) => Ok(Self::Append(place, value)),
            (Op::Put, TableKind::Map) => Ok(Self::Put(place, entry, value)),
            (Op::Delete, TableKind::Map) => Ok(Self::Delete(place, entry)),
            (op, kind) => Err(Failure::new(format!("{op:?} of table `{}`, whose kind is {kind:?}", table.name))),
        }
    }
}

impl Stored {
    pub(crate) fn value(&self, table: &'static str, key: &[u8]) -> Option<&[u8]> {
        self.values.get(&(table, key.to_vec())).map(Vec::as_slice)
    }

    pub(crate) fn list(&self, table: &'static str, key: &[u8]) -> &[Vec<u8>] {
        self.lists.get(&(table, key.to_vec())).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn map(&self, table: &'static str, key: &[u8]) -> Option<&BTreeMap<Vec<u8>, Vec<u8>>> {
        self.maps.get(&(table, key.to_vec()))
    }

    pub(crate) fn change(&mut self, change: Change) {
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
        }
    }
}
