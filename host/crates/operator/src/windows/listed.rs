//! HOT PATH. Windows of which a key has a list: sliding windows, out of panes, and sessions.
//!
//! ```text
//! records ─▶ lists ─▶ merge (sessions that they join) ─▶ fold
//! time    ─▶ lists ─▶ merge (the pieces of a window)  ─▶ finish ─▶ lists: what is over goes, the next timer
//! ```
//! A sliding window is merged from its pieces where it is kept, fires as any other, and is gone.

use weir_core::ports::{Change, KeyedState};
use weir_core::{Batch, KeySpec, WindowKey};
use weir_time::Window;
use weir_time::timers::Due;
use weir_time::window::Listed;
use weir_time::window::listed::Pieces;

use super::lists::Lists;
use super::merges::Merges;
use super::names::Names;
use super::round::{Fires, Round};
use super::{Placed, Sorted, Windows, clear};
use crate::error::NodeError;
use crate::load::values;
use crate::runner::{Runner, Step};
use crate::slots::Slots;
use crate::timers::TimerError;

/// So many bytes of accumulators are merged at once, unless one window needs more.
const PIECES_BYTES_MAX: usize = 4 << 20;
/// So many windows at most.
const WINDOWS_MAX: usize = 256;

impl Windows {
    pub(super) fn sort_listed(
        &mut self,
        listed: Listed,
        batch: &Batch,
        key: &KeySpec,
        (slots, state): (&mut Slots, &mut dyn KeyedState),
    ) -> Result<Sorted, TimerError> {
        let (tables, firing, reached) = (self.options.tables, self.options.firing, self.reached);
        let keys = slots.assign(&batch.frame, key);
        let mut lists = Lists::read(keys.iter().map(|key| key.bytes), tables, state)?;
        let (mut placed, mut gone) = (Vec::with_capacity(batch.frame.len()), Vec::new());
        for (record, slot) in batch.frame.records().zip(slots.of_record()) {
            let slot = *slot as usize;
            let Some(list) = lists.get_mut(slot) else {
                placed.push(Placed::without_key());
                continue;
            };
            placed.push(match listed.note(list, self.time_of(&record), firing, reached) {
                Ok(None) => Placed::Late,
                Ok(Some(windows)) => {
                    gone.extend(windows.into_iter().map(|window| (slot, window)));
                    Placed::In
                }
                Err(outside) => Placed::outside(outside),
            });
        }
        // Only now, when no record moves a session any more, is it known which one each is in.
        let placed_in = batch.frame.records().zip(slots.of_record()).zip(&placed);
        for ((record, slot), _) in placed_in.filter(|(_, placed)| matches!(placed, Placed::In)) {
            let (key, Some(list)) = (lists.key(*slot as usize), lists.get(*slot as usize)) else { continue };
            let at_ms = self.time_of(&record);
            let Some(window) = listed.holder(list, at_ms) else { continue };
            self.names.push(key, window);
            for window in listed.again(list, at_ms, firing, reached) {
                let mut name = Vec::new();
                WindowKey { key, start_ms: window.start_ms, end_ms: window.end_ms }.push(&mut name);
                self.again.push(name);
            }
        }
        for list in lists.changed() {
            // A timer that comes too early looks again; one that moved with each record would cost more.
            let next_ms = listed.next_ms(list, reached.number(), firing);
            list.due_ms = list.due_ms.into_iter().chain(next_ms).min();
        }
        lists.write(tables, &mut self.timers, state)?;
        let merges = self.move_on(listed, &lists, gone, state)?;
        Ok(Sorted::new(placed, merges))
    }

    /// Windows are in their lists no more: what they held becomes part of what they are part of.
    fn move_on(
        &mut self,
        listed: Listed,
        lists: &Lists,
        mut gone: Fires,
        state: &mut dyn KeyedState,
    ) -> Result<Merges, TimerError> {
        let mut merges = Merges::default();
        // What began within the batch holds nothing yet.
        gone.retain(|(key, window)| lists.before(*key).is_some_and(|list| list.windows.contains(window)));
        gone.sort_unstable();
        gone.dedup();
        if gone.is_empty() {
            return Ok(merges);
        }
        let heir = |(key, window): &(usize, Window)| Some((*key, listed.heir(lists.get(*key)?, *window)?));
        let heirs: Vec<Option<(usize, Window)>> = gone.iter().map(heir).collect();
        let mut names: Names = gone.iter().map(|(key, window)| (lists.key(*key), *window)).collect();
        let first = gone.len();
        heirs.iter().flatten().for_each(|(key, window)| names.push(lists.key(*key), *window));
        let mut bytes = Vec::new();
        state.enter(&names.all());
        let accumulators = [self.options.tables.accumulators];
        state.prefetch(&accumulators, 0..first as u32, &mut bytes).map_err(TimerError::Read)?;
        let values: Vec<Option<&[u8]>> = values(&bytes).collect();
        let (mut at, mut slot) = (0, first as u32);
        for same in heirs.chunk_by(|one, next| one == next) {
            let held = values.get(at..at + same.len()).unwrap_or_default().iter().flatten().copied();
            if let Some((key, window)) = same.first().copied().flatten() {
                let is_held = held.clone().next().is_some();
                merges.add(held, (lists.key(key), window, slot), self.options.tables, state)?;
                if let (true, Some(early), Some(name)) = (is_held, &mut self.early, names.get(slot as usize)) {
                    early.has_news((slot, name.bytes), self.reached, state)?;
                }
                slot += same.len() as u32;
            }
            at += same.len();
        }
        for (slot, _) in (0..).zip(&values).filter(|(_, held)| held.is_some()) {
            state.change(slot, self.options.tables.accumulators, Change::Clear)?;
        }
        Ok(merges)
    }

    /// What is to be merged for the first of these windows to fire, as many as go at once; each key comes once.
    fn gather(
        &self,
        listed: Listed,
        lists: &mut Lists,
        fires: &[(usize, Window)],
        state: &mut dyn KeyedState,
    ) -> Result<Gathered, TimerError> {
        let tables = self.options.tables;
        let some = fires.iter().enumerate().take(WINDOWS_MAX);
        let some = some.take_while(|(at, (key, _))| fires.iter().take(*at).all(|(other, _)| other != key));
        let wanted = some.filter_map(|(_, (key, window))| {
            let pieces = listed.pieces(lists.get(*key)?, *window);
            Some(Wanted { key: *key, window: *window, pieces })
        });
        let mut wanted: Vec<Wanted> = wanted.collect();
        let mut names = Names::default();
        let all = wanted.iter().flat_map(|wanted| wanted.pieces.all.iter().map(|piece| (wanted.key, *piece)));
        let targets = wanted.iter().flat_map(|wanted| wanted.targets().map(|target| (wanted.key, target)));
        all.chain(targets).for_each(|(key, window)| names.push(lists.key(key), window));
        state.enter(&names.all());
        let mut bytes = Vec::new();
        let (mut pieces, mut taken) = (0, 0);
        for wanted in &wanted {
            if bytes.len() > PIECES_BYTES_MAX {
                break;
            }
            let these = pieces..pieces + wanted.pieces.all.len() as u32;
            pieces = these.end;
            state.prefetch(&[tables.accumulators], these, &mut bytes).map_err(TimerError::Read)?;
            taken += 1;
        }
        let mut slot = wanted.iter().map(|wanted| wanted.pieces.all.len() as u32).sum();
        wanted.truncate(taken);
        let mut gathered = Gathered { taken, ..Gathered::default() };
        let values: Vec<Option<&[u8]>> = values(&bytes).collect();
        let mut rest = values.as_slice();
        for wanted in wanted {
            let (held, after) = rest.split_at_checked(wanted.pieces.all.len()).unwrap_or((rest, &[]));
            rest = after;
            for target in wanted.targets() {
                let held = held.get(wanted.range(target)).unwrap_or_default().iter().flatten().copied();
                gathered.merges.add(held, (lists.key(wanted.key), target, slot), tables, state)?;
                slot += 1;
            }
            for (block, _) in &wanted.pieces.blocks {
                lists.get_mut(wanted.key).into_iter().for_each(|list| listed.keep(list, *block));
            }
            // Where a plugin failed on all records of it, it holds nothing.
            if held.iter().any(Option::is_some) {
                gathered.fires.push(lists.key(wanted.key), wanted.window);
            }
            if !lists.get(wanted.key).is_some_and(|list| list.windows.contains(&wanted.window)) {
                gathered.passing.push(lists.key(wanted.key), wanted.window);
            }
        }
        Ok(gathered)
    }
}

/// A window that is to fire.
struct Wanted {
    key: usize,
    window: Window,
    pieces: Pieces,
}

impl Wanted {
    /// What is to be merged for it: new blocks, and the window itself where it is neither kept nor one of them.
    fn targets(&self) -> impl Iterator<Item = Window> {
        let is_there =
            self.pieces.all == [self.window] || self.pieces.blocks.iter().any(|(block, _)| *block == self.window);
        let own = (!is_there).then_some(self.window);
        self.pieces.blocks.iter().map(|(block, _)| *block).chain(own)
    }

    /// Which of its pieces become `target`.
    fn range(&self, target: Window) -> std::ops::Range<usize> {
        let block = self.pieces.blocks.iter().find(|(block, _)| *block == target);
        block.map_or(0..self.pieces.all.len(), |(_, range)| range.clone())
    }
}

/// Windows about to fire.
#[derive(Default)]
struct Gathered {
    /// How many of those that were asked for.
    taken: usize,
    merges: Merges,
    fires: Names,
    /// Those that are kept no longer than they fire.
    passing: Names,
}

impl Runner {
    /// Something is due for the keys of these timers.
    pub(crate) fn fire_listed(
        &mut self,
        listed: Listed,
        due: Vec<Due>,
        out: &mut Vec<(u32, Batch)>,
    ) -> Result<(), NodeError> {
        let (mut lists, round) = self.on_windows(|windows, state| {
            let keys = due.iter().filter_map(|due| Some(WindowKey::parse(&due.timer.key)?.key));
            let lists = Lists::read(keys, windows.options.tables, state)?;
            let round = Round::of(listed, &lists, &due, windows.options.firing);
            Ok((lists, round))
        })?;
        self.send(listed, &mut lists, &round.fires, out)?;
        self.on_windows(|windows, state| {
            let (tables, firing) = (windows.options.tables, windows.options.firing);
            let mut gone = Names::default();
            for (key, (due, until_ms)) in due.into_iter().zip(round.until_ms).enumerate() {
                let Some(list) = lists.get_mut(key) else { continue };
                let Some(until_ms) = until_ms else {
                    windows.timers.give_back(due);
                    continue;
                };
                let expired = listed.expire(list, until_ms, firing);
                list.due_ms = listed.next_ms(list, until_ms, firing);
                expired.into_iter().for_each(|window| gone.push(lists.key(key), window));
            }
            lists.write(tables, &mut windows.timers, state)?;
            Ok(clear(&gone, windows, state)?)
        })
    }

    /// The windows of these names fire again.
    pub(crate) fn fire_listed_again(
        &mut self,
        listed: Listed,
        names: &[Vec<u8>],
        out: &mut Vec<(u32, Batch)>,
    ) -> Result<(), NodeError> {
        let again = || names.iter().filter_map(|name| WindowKey::parse(name));
        let mut keys: Vec<&[u8]> = again().map(|window| window.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let fires = again().filter_map(|window| {
            Some((keys.binary_search(&window.key).ok()?, Window::new(window.start_ms, window.end_ms)))
        });
        let fires: Fires = fires.collect();
        let mut lists =
            self.on_windows(|windows, state| Lists::read(keys.iter().copied(), windows.options.tables, state))?;
        self.send(listed, &mut lists, &fires, out)?;
        self.on_windows(|windows, state| lists.write(windows.options.tables, &mut windows.timers, state))
    }

    /// Merges these windows from their pieces and sends them.
    fn send(
        &mut self,
        listed: Listed,
        lists: &mut Lists,
        fires: &[(usize, Window)],
        out: &mut Vec<(u32, Batch)>,
    ) -> Result<(), NodeError> {
        let mut rest = fires;
        while !rest.is_empty() {
            let gathered = self.on_windows(|windows, state| windows.gather(listed, lists, rest, state))?;
            rest = rest.get(gathered.taken.max(1)..).unwrap_or_default();
            self.merge(gathered.merges, out)?;
            self.fire(Step::FireAgain, gathered.fires, out)?;
            self.on_windows(|windows, state| Ok(clear(&gathered.passing, windows, state)?))?;
        }
        Ok(())
    }

    /// Has the plugin merge what there is to be merged.
    pub(crate) fn merge(&mut self, merges: Merges, out: &mut Vec<(u32, Batch)>) -> Result<(), NodeError> {
        let (names, batch) = merges.into_batch();
        self.run_named(Step::Merge, names, &batch, out)
    }
}
