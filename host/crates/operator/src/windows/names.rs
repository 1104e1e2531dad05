//! HOT PATH. The key and the window of each record of a batch or of a list: found once, whatever the calls are that it is
//! cut into.

use std::ops::Range;

use weir_core::WindowKey;
use weir_core::ports::KeyRef;
use weir_time::Window;

use crate::slots::Slots;

/// See the module. Its bytes lie one behind the other, as [`WindowKey`] has them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    /// Of each its hash and where it ends.
    ends: Vec<(u64, usize)>,
    /// For each slot of the call under way the number of its first.
    firsts: Vec<usize>,
}

impl Names {
    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// One more: a key and its window.
    pub(crate) fn push(&mut self, key: &[u8], window: Window) {
        let name = WindowKey { key, start_ms: window.start_ms, end_ms: window.end_ms };
        name.push(&mut self.bytes);
        self.ends.push((name.hash(), self.bytes.len()));
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All of them, in order.
    pub(crate) fn all(&self) -> Vec<KeyRef<'_>> {
        (0..self.len()).filter_map(|at| self.get(at)).collect()
    }

    /// All of them, each a key and its window.
    pub(crate) fn windows(&self) -> impl Iterator<Item = (&[u8], Window)> {
        let names = (0..self.len()).filter_map(|at| WindowKey::parse(self.get(at)?.bytes));
        names.map(|name| (name.key, Window::new(name.start_ms, name.end_ms)))
    }

    /// The key of the one of this number.
    pub(crate) fn key(&self, at: usize) -> &[u8] {
        self.get(at).and_then(|name| WindowKey::parse(name.bytes)).map_or(&[], |name| name.key)
    }

    /// The one of this number.
    pub(crate) fn get(&self, at: usize) -> Option<KeyRef<'_>> {
        name(&self.bytes, &self.ends, at)
    }

    /// Those of a call on the records of these numbers become its slots.
    pub(crate) fn assign(&mut self, numbers: Range<usize>, slots: &mut Slots) -> Vec<KeyRef<'_>> {
        let Self { bytes, ends, firsts } = self;
        let first = numbers.start;
        let keys = slots.assign_keys(numbers.len(), numbers.map(|at| name(bytes, ends, at)));
        firsts.clear();
        for (number, slot) in (first..).zip(slots.of_record()) {
            // Slots are numbered in the order of their first records.
            if *slot as usize == firsts.len() {
                firsts.push(number);
            }
        }
        keys
    }

    /// How many slots the call has.
    pub(crate) fn slots(&self) -> u32 {
        self.firsts.len() as u32
    }

    /// The name of a slot of the call, and its window.
    pub(crate) fn of_slot(&self, slot: u32) -> Option<(&[u8], Window)> {
        let bytes = self.get(*self.firsts.get(slot as usize)?)?.bytes;
        Some((bytes, window_of(bytes)?))
    }
}

fn name<'a>(bytes: &'a [u8], ends: &[(u64, usize)], at: usize) -> Option<KeyRef<'a>> {
    let (hash, end) = *ends.get(at)?;
    let begin = at.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |(_, end)| *end);
    Some(KeyRef { hash, bytes: bytes.get(begin..end)? })
}

/// The window of a name.
pub(crate) fn window_of(name: &[u8]) -> Option<Window> {
    WindowKey::parse(name).map(|key| Window::new(key.start_ms, key.end_ms))
}

/// Keys and their windows.
impl<'a> FromIterator<(&'a [u8], Window)> for Names {
    fn from_iter<T: IntoIterator<Item = (&'a [u8], Window)>>(names: T) -> Self {
        let mut all = Self::default();
        names.into_iter().for_each(|(key, window)| all.push(key, window));
        all
    }
}

/// Names as they are kept.
impl<'a> FromIterator<&'a [u8]> for Names {
    fn from_iter<T: IntoIterator<Item = &'a [u8]>>(names: T) -> Self {
        let names = names.into_iter().filter_map(WindowKey::parse);
        names.map(|name| (name.key, Window::new(name.start_ms, name.end_ms))).collect()
    }
}
