//! HOT PATH. The lists of some keys, from their table and back. Each key has one timer, for what is due for it next.

use weir_core::ports::{Change, KeyRef, KeyedState};
use weir_core::{Fault, PortError};
use weir_time::Window;
use weir_time::window::List;

use super::WindowTables;
use super::names::Names;
use crate::load::values;
use crate::timers::{NodeTimers, TimerError};

/// See the module. A key is its number here.
#[derive(Default)]
pub(crate) struct Lists {
    /// Each key, and all of time: how its list and its timer are kept.
    names: Names,
    lists: Vec<List>,
    /// As they were read.
    before: Vec<List>,
}

impl Lists {
    /// Those of these `keys`, all distinct.
    pub(super) fn read<'a>(
        keys: impl IntoIterator<Item = &'a [u8]>,
        tables: WindowTables,
        state: &mut dyn KeyedState,
    ) -> Result<Self, TimerError> {
        let mut names = Names::default();
        keys.into_iter().for_each(|key| names.push(key, Window::GLOBAL));
        let (mut bytes, mut lists) = (Vec::new(), Vec::with_capacity(names.len()));
        state.enter(&names.all());
        state.prefetch(tables.lists.as_slice(), 0..names.len() as u32, &mut bytes).map_err(TimerError::Read)?;
        for list in values(&bytes) {
            let list = list.map_or_else(|| Some(List::default()), List::decode);
            let unreadable = || PortError::new(Fault::Corrupt, "a list of windows is not one");
            lists.push(list.ok_or_else(unreadable).map_err(TimerError::Read)?);
        }
        Ok(Self { names, before: lists.clone(), lists })
    }

    /// A key.
    pub(super) fn key(&self, number: usize) -> &[u8] {
        self.names.key(number)
    }

    /// Its list.
    pub(super) fn get(&self, number: usize) -> Option<&List> {
        self.lists.get(number)
    }

    /// Its list, to be changed.
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut List> {
        self.lists.get_mut(number)
    }

    /// Its list as it was.
    pub(super) fn before(&self, number: usize) -> Option<&List> {
        self.before.get(number)
    }

    /// All that have changed.
    pub(super) fn changed(&mut self) -> impl Iterator<Item = &mut List> {
        self.lists.iter_mut().zip(&self.before).filter(|(list, before)| list != before).map(|(list, _)| list)
    }

    /// Writes what has changed, and moves the timers.
    pub(super) fn write(
        &self,
        tables: WindowTables,
        timers: &mut NodeTimers,
        state: &mut dyn KeyedState,
    ) -> Result<(), TimerError> {
        let changed = (0..).zip(self.lists.iter().zip(&self.before)).filter(|(_, (list, before))| list != before);
        let changed: Vec<_> = changed.filter_map(|(at, lists)| Some((self.names.get(at)?, lists))).collect();
        let names: Vec<KeyRef<'_>> = changed.iter().map(|(name, _)| *name).collect();
        state.enter(&names);
        for (slot, (name, (list, before))) in (0..).zip(changed) {
            if let Some(table) = tables.lists {
                let bytes = list.encode();
                let change = if list.windows.is_empty() { Change::Clear } else { Change::Set(&bytes) };
                state.change(slot, table, change)?;
            }
            if list.due_ms == before.due_ms {
                continue;
            }
            if let Some(due_ms) = before.due_ms {
                timers.cancel((slot, name.bytes), due_ms, state)?;
            }
            if let Some(due_ms) = list.due_ms {
                timers.set((slot, name.bytes), due_ms, 0, state)?;
            }
        }
        Ok(())
    }
}
