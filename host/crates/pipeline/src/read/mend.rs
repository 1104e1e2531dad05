//! What cannot be read is put right where it can be guessed what was meant, and else taken out, so that it stands in the way of
//! nothing else. Each time something is gone that could not be read: a file is mended in as many steps as it has mistakes.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};
use weir_connector::{Error, Found};

use super::{Unknown, Unread};

/// Mends a file, mistake by mistake.
#[derive(Default)]
pub(super) struct Mender {
    /// What is wrong, and what is not known of the file from then on.
    pub found: Found,
    /// Where keys stand that were taken for others. Their values were meant for something else, perhaps.
    guessed: Vec<usize>,
}

impl Mender {
    /// Mends `file` where `unread` says that it could not be read, which is told as `error`. False: it does not say where.
    pub(super) fn mend(&mut self, file: &mut DeTable<'_>, unread: &Unread, error: Error) -> bool {
        let Some(at) = unread.at() else { return false };
        let mut once = Once { at, unread, is_told: true, mender: self };
        if !once.table(file, &[]) {
            return false;
        }
        if once.is_told {
            self.found.add(error);
        }
        true
    }
}

/// One thing to mend.
struct Once<'a> {
    at: usize,
    unread: &'a Unread,
    /// False where it only follows from what was told.
    is_told: bool,
    mender: &'a mut Mender,
}

impl Once<'_> {
    /// Mends the table at `path`, if it is there.
    fn table<'de>(&mut self, table: &mut DeTable<'de>, path: &[&str]) -> bool {
        let keys: Vec<Spanned<DeString<'de>>> = table.keys().cloned().collect();
        for key in keys {
            let name: &str = key.get_ref();
            let path = [path, &[name]].concat();
            if key.span().contains(&self.at) {
                self.key(table, &key);
                return true;
            }
            let Some(value) = table.get_mut(name) else { continue };
            if self.inside(value.get_mut(), &path) {
                return true;
            }
            if value.span().contains(&self.at) {
                self.is_told = !self.mender.guessed.contains(&key.span().start);
                let at = path.join(".");
                match path.as_slice() {
                    // Others may read it by its name, which is no mistake of theirs.
                    ["sources" | "operators" | "sinks", _] if !self.mender.found.is_wrong(&at) => {
                        *value.get_mut() = DeValue::Table(DeTable::new());
                    }
                    _ => drop(table.remove(name)),
                }
                self.mender.found.add_unread(at);
                return true;
            }
        }
        false
    }

    fn inside(&mut self, value: &mut DeValue<'_>, path: &[&str]) -> bool {
        match value {
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(list) => self.list(list, path),
            _ => false,
        }
    }

    fn list(&mut self, list: &mut DeArray<'_>, path: &[&str]) -> bool {
        if list.iter_mut().any(|value| self.inside(value.get_mut(), path)) {
            return true;
        }
        let position = list.iter().position(|value| value.span().contains(&self.at));
        if let Some(position) = position {
            self.mender.found.add_unread(path.join(".") + "[]");
            let others = list.iter().enumerate().filter(|(number, _)| *number != position);
            *list = others.map(|(_, value)| value.clone()).collect();
        }
        position.is_some()
    }

    /// A key that nobody reads: its value belongs to the one that was meant.
    fn key<'de>(&mut self, table: &mut DeTable<'de>, key: &Spanned<DeString<'de>>) {
        let value = table.remove::<str>(key.get_ref());
        let meant = self.unread.unknown().filter(|unknown| unknown.is_key);
        let (Some(value), Some(Unknown { close: Some(meant), .. })) = (value, meant) else { return };
        let start = key.span().start;
        if self.mender.guessed.contains(&start) {
            return;
        }
        self.mender.guessed.push(start);
        let span = value.span();
        match (table.get_mut(meant.as_str()).map(Spanned::get_mut), value.into_inner()) {
            (None, value) => drop(table.insert(Spanned::new(key.span(), Cow::Owned(meant)), Spanned::new(span, value))),
            (Some(DeValue::Table(there)), DeValue::Table(more)) => {
                for (name, value) in more {
                    if !there.contains_key(&name) {
                        there.insert(name, value);
                    }
                }
            }
            (Some(_), _) => {}
        }
    }
}
