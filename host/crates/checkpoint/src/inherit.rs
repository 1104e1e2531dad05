//! What a pipeline goes on with of the state that was recorded: operators and tables are found again by name, and must
//! still mean the same. What the pipeline does not use, or would misread, is dropped, kept or renamed only with the
//! user's leave ([`weir_core::Consent`]); without it the job does not start.
//!
//! Leave is given for what does not fit. A start that finds everything as it is recorded does nothing, whatever was
//! said: a supervisor repeats the same command line.

use weir_core::ports::{TableKind, TimeDomain, WINDOW_NEWS};
use weir_core::{Consent, KeySpec, OperatorId, StateName, TableId};

use crate::manifest::{OperatorEntry, Plan, PluginEntry, TableEntry};

/// Names that have changed.
mod rename;
/// What a start says it did, and why there is none.
mod words;

pub use words::{Misfit, Mismatch, Note};

/// What the pipeline runs now under one operator name.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The operator's name in the pipeline.
    pub name: String,
    /// What its state is keyed by.
    pub key: KeySpec,
    /// Its plugin.
    pub plugin: PluginEntry,
    /// Its tables in the plugin's order.
    pub tables: Vec<DeclaredTable>,
}

/// One table that a plugin declares.
#[derive(Debug, Clone)]
pub struct DeclaredTable {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: TableKind,
    /// Version or schema of its values; empty says nothing.
    pub schema: String,
    /// The time by which its values expire, if they do.
    pub expires: Option<TimeDomain>,
}

/// Operators with their numbers, and the next number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbered {
    /// The operators.
    pub operators: Vec<OperatorEntry>,
    /// For the next new operator.
    pub next: u16,
}

impl Numbered {
    /// As `plan` has them.
    pub fn of(plan: &Plan) -> Self {
        Self { operators: plan.operators.clone(), next: plan.next_operator }
    }
}

/// Carries numbers over by name: what is known keeps its own, what is new gets the next. Gives what to record, and what
/// to tell.
pub fn inherit(kept: &Numbered, declared: &[Declared], consent: &Consent) -> Result<(Numbered, Vec<Note>), Mismatch> {
    let mut heir =
        Heir { declared, consent, used: Vec::new(), notes: Vec::new(), misfits: Vec::new(), next: kept.next };
    let renamed = heir.rename(kept.operators.clone());
    let mut operators: Vec<OperatorEntry> = renamed.into_iter().filter_map(|entry| heir.fit(entry)).collect();
    heir.number(&mut operators);
    heir.tell_unused();
    match heir.misfits.is_empty() {
        true => Ok((Numbered { operators, next: heir.next }, heir.notes)),
        false => Err(Mismatch(heir.misfits)),
    }
}

/// At work on the operators, one after the other.
struct Heir<'a> {
    declared: &'a [Declared],
    consent: &'a Consent,
    /// Leave that was needed.
    used: Vec<StateName>,
    notes: Vec<Note>,
    misfits: Vec<Misfit>,
    next: u16,
}

impl Heir<'_> {
    fn declared(&self, name: &str) -> Option<&Declared> {
        self.declared.iter().find(|now| now.name == name)
    }

    /// Whether `--drop-state` names exactly this.
    fn drops(&mut self, name: &StateName) -> bool {
        let may = self.consent.drop.contains(name);
        if may {
            self.used.push(name.clone());
        }
        may
    }

    /// Whether `--keep-state` names this, or all of its operator.
    fn keeps(&mut self, name: &StateName) -> bool {
        let all = StateName::operator(&name.operator);
        let given = [name, &all].into_iter().find(|name| self.consent.keep.contains(name)).cloned();
        let may = given.is_some();
        self.used.extend(given);
        may
    }

    /// The entry as this pipeline goes on with it; `None`: nothing of it is left.
    fn fit(&mut self, mut entry: OperatorEntry) -> Option<OperatorEntry> {
        let Some(now) = self.declared(&entry.name).cloned() else {
            self.part_with(entry);
            return None;
        };
        // It says only of what is kept in others that it is not told yet.
        let is_told = |table: &TableEntry| table.kind == TableKind::WindowTimer && table.name == WINDOW_NEWS;
        entry.tables.retain(|table| !is_told(table) || now.tables.iter().any(|declared| declared.name == table.name));
        let key_changed = entry.key != now.key && !entry.tables.is_empty();
        let misfits: Vec<_> = entry.tables.iter().map(|table| table_misfit(&entry, table, &now)).collect();
        let all = StateName::operator(&entry.name);
        if (key_changed || misfits.iter().any(Option::is_some)) && self.drops(&all) {
            entry.tables.clear();
            self.notes.push(Note::Dropped(all));
            return Some(entry);
        }
        for (table, misfit) in std::mem::take(&mut entry.tables).into_iter().zip(misfits) {
            let name = StateName::table(&entry.name, &table.name);
            if self.stays(name, misfit, key_changed) {
                entry.tables.push(table);
            }
        }
        if key_changed && !entry.tables.is_empty() {
            match self.keeps(&all) {
                true => self.notes.push(Note::Kept(all)),
                false => self.misfits.push(Misfit::Key { operator: now.name, was: entry.key.clone(), now: now.key }),
            }
        }
        Some(entry)
    }

    /// Whether the table is gone on with. One that does not fit may go or stay with leave.
    fn stays(&mut self, name: StateName, misfit: Option<Misfit>, key_changed: bool) -> bool {
        if (key_changed || misfit.is_some()) && self.drops(&name) {
            self.notes.push(Note::Dropped(name));
            return false;
        }
        match misfit {
            None => {}
            Some(misfit) if misfit.may_be_kept() && self.keeps(&name) => self.notes.push(Note::Kept(name)),
            Some(misfit) => self.misfits.push(misfit),
        }
        true
    }

    /// An operator that the pipeline does not have: it may go if it has no state, or with leave.
    fn part_with(&mut self, entry: OperatorEntry) {
        let all = StateName::operator(&entry.name);
        if entry.tables.is_empty() {
            return;
        }
        if self.drops(&all) {
            return self.notes.push(Note::Dropped(all));
        }
        let mut left = Vec::new();
        for table in entry.tables {
            let name = StateName::table(&entry.name, &table.name);
            match self.drops(&name) {
                true => self.notes.push(Note::Dropped(name)),
                false => left.push(table.name),
            }
        }
        if !left.is_empty() {
            self.misfits.push(Misfit::Operator { operator: entry.name, tables: left, heirs: Vec::new() });
        }
    }

    /// Numbers for what is new; plugin, key and schema as they are now.
    fn number(&mut self, operators: &mut Vec<OperatorEntry>) {
        let unborn: Vec<String> = self
            .declared
            .iter()
            .filter(|now| !now.tables.is_empty())
            .filter(|now| operators.iter().all(|e| e.name != now.name || e.tables.is_empty()))
            .map(|now| now.name.clone())
            .collect();
        for misfit in &mut self.misfits {
            misfit.name_heirs(&unborn);
        }
        for now in self.declared {
            let at = operators.iter().position(|e| e.name == now.name);
            let at = match at.or_else(|| self.enlist(operators, now)) {
                Some(at) => at,
                None => return self.misfits.push(Misfit::TooMany),
            };
            let Some(entry) = operators.get_mut(at) else { continue };
            (entry.plugin, entry.key) = (now.plugin.clone(), now.key.clone());
            for table in &now.tables {
                if number_table(entry, table).is_none() {
                    self.misfits.push(Misfit::TooMany);
                }
            }
        }
    }

    fn enlist(&mut self, operators: &mut Vec<OperatorEntry>, now: &Declared) -> Option<usize> {
        let id = OperatorId(self.next);
        self.next = self.next.checked_add(1)?;
        let (name, plugin, key) = (now.name.clone(), now.plugin.clone(), now.key.clone());
        operators.push(OperatorEntry { name, id, key, plugin, tables: Vec::new(), next_table: 0 });
        Some(operators.len() - 1)
    }

    /// Says which leave was not needed, so that nobody takes it for what happened.
    fn tell_unused(&mut self) {
        let given = [(&self.consent.drop, "--drop-state"), (&self.consent.keep, "--keep-state")];
        for (names, flag) in given {
            for name in names.iter().filter(|name| !self.used.contains(name)) {
                self.notes.push(Note::NotNeeded { flag, name: name.to_string() });
            }
        }
    }
}

/// What is wrong with a table of `entry`, if anything is.
fn table_misfit(entry: &OperatorEntry, table: &TableEntry, now: &Declared) -> Option<Misfit> {
    let (operator, name) = (entry.name.clone(), table.name.clone());
    let Some(declared) = now.tables.iter().find(|t| t.name == table.name) else {
        let is_new = |t: &&DeclaredTable| entry.tables.iter().all(|kept| kept.name != t.name);
        let heirs = now.tables.iter().filter(is_new).map(|t| t.name.clone()).collect();
        return Some(Misfit::Table { operator, table: name, heirs });
    };
    if declared.kind != table.kind {
        return Some(Misfit::Kind { operator, table: name, was: table.kind, now: declared.kind });
    }
    if declared.expires != table.expires {
        let (was, is) = (table.expires, declared.expires);
        return Some(Misfit::Expires { operator, table: name, was, now: is });
    }
    // A plugin that says nothing of its values is believed: nothing can be compared.
    let differs = !table.schema.is_empty() && !declared.schema.is_empty() && table.schema != declared.schema;
    let (was, is) = (table.schema.clone(), declared.schema.clone());
    differs.then_some(Misfit::Schema { operator, table: name, was, now: is })
}

fn number_table(entry: &mut OperatorEntry, now: &DeclaredTable) -> Option<()> {
    if let Some(table) = entry.tables.iter_mut().find(|t| t.name == now.name) {
        // What was said once is not forgotten by a version that says nothing.
        if !now.schema.is_empty() {
            table.schema.clone_from(&now.schema);
        }
        return Some(());
    }
    let id = TableId(entry.next_table);
    entry.next_table = entry.next_table.checked_add(1)?;
    let DeclaredTable { name, kind, schema, expires } = now.clone();
    entry.tables.push(TableEntry { name, id, kind, schema, expires });
    Some(())
}

#[cfg(test)]
mod tests;
