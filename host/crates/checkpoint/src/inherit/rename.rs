//! Names that have changed: applied before anything is compared. A name that is still in use is never taken for an old
//! one, so that doing it twice is doing it once.

use weir_core::{Rename, StateName};

use super::{Heir, Misfit, Note};
use crate::manifest::{OperatorEntry, TableEntry};

/// Where the state is that a rename speaks of, and where it would go.
enum Found {
    /// There is none under the old name: it was renamed before, or never was.
    Nothing,
    /// At this index, and the new name is free.
    At(usize),
    /// The new name has state at the other index.
    Taken(usize, usize),
}

fn find<T>(entries: &[T], name: impl Fn(&T) -> &str, old: &str, new: &str) -> Found {
    let at = |wanted: &str| entries.iter().position(|entry| name(entry) == wanted);
    match (at(old), at(new)) {
        (None, _) => Found::Nothing,
        (Some(old), None) => Found::At(old),
        (Some(old), Some(new)) => Found::Taken(old, new),
    }
}

impl Heir<'_> {
    /// The entries under the names that the pipeline has for them.
    pub(super) fn rename(&mut self, mut entries: Vec<OperatorEntry>) -> Vec<OperatorEntry> {
        let (operators, tables): (Vec<&Rename>, Vec<&Rename>) =
            self.consent.rename.iter().partition(|rename| matches!(rename, Rename::Operator { .. }));
        for rename in operators.into_iter().chain(tables) {
            if let Err(misfit) = self.rename_one(&mut entries, rename) {
                self.misfits.push(misfit);
            }
        }
        entries
    }

    fn rename_one(&mut self, entries: &mut Vec<OperatorEntry>, rename: &Rename) -> Result<(), Misfit> {
        match rename {
            Rename::Operator { old, new } => {
                let exists = self.declared(new).is_some();
                self.check_names(rename, exists, self.declared(old).is_some())?;
                // An operator that never had state gives its name away.
                entries.retain(|entry| entry.name != *new || !entry.tables.is_empty());
                let found = find(entries, |entry| &entry.name, old, new);
                let target = StateName::operator(new);
                if let Some(entry) = self.clear_the_way(entries, found, rename, target)? {
                    entry.name.clone_from(new);
                }
            }
            Rename::Table { operator, old, new } => {
                let now = self.declared(operator).ok_or_else(|| Misfit::NoSuchName(rename.clone()))?;
                let has = |name: &str| now.tables.iter().any(|table| table.name == *name);
                self.check_names(rename, has(new), has(old))?;
                let tables = entries.iter_mut().find(|entry| entry.name == *operator).map(|entry| &mut entry.tables);
                let mut none = Vec::new();
                let tables: &mut Vec<TableEntry> = tables.unwrap_or(&mut none);
                let found = find(tables, |table| &table.name, old, new);
                let target = StateName::table(operator, new);
                if let Some(table) = self.clear_the_way(tables, found, rename, target)? {
                    table.name.clone_from(new);
                }
            }
        }
        Ok(())
    }

    fn check_names(&self, rename: &Rename, new_exists: bool, old_exists: bool) -> Result<(), Misfit> {
        match (new_exists, old_exists) {
            (false, _) => Err(Misfit::NoSuchName(rename.clone())),
            (true, true) => Err(Misfit::StillUsed(rename.clone())),
            (true, false) => Ok(()),
        }
    }

    /// What is to be renamed, once nothing else has its new name.
    fn clear_the_way<'e, T>(
        &mut self,
        entries: &'e mut Vec<T>,
        found: Found,
        rename: &Rename,
        target: StateName,
    ) -> Result<Option<&'e mut T>, Misfit> {
        let at = match found {
            Found::Nothing => {
                self.notes.push(Note::NotNeeded { flag: "--rename-state", name: rename.to_string() });
                return Ok(None);
            }
            Found::At(at) => at,
            Found::Taken(old, new) if self.drops(&target) => {
                self.notes.push(Note::Dropped(target));
                drop(entries.remove(new));
                if new < old { old - 1 } else { old }
            }
            Found::Taken(..) => return Err(Misfit::Taken { rename: rename.clone(), target }),
        };
        self.notes.push(Note::Renamed(rename.clone()));
        Ok(entries.get_mut(at))
    }
}
