//! HOT PATH. Windows of which a key has a list: what a record changes of it, what fires when, and what a window is merged
//! from. The list has the accumulators that are kept: of sliding windows panes and the blocks that are merged of them, of
//! sessions those that have not expired.
//!
//! Which sessions there are is a matter of records that came, not of what a plugin makes of them: one that it fails on is in
//! its session all the same, and so the sessions are the same for any cut of batches.

use std::ops::Range;

use weir_core::Watermark;

use super::firing::{Arrival, Firing};
use super::list::{List, length};
use super::panes::{Block, Panes};
use super::session::Sessions;
use super::{OutOfRange, Window};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Sliding windows.
    Sliding(Panes),
    /// Sessions.
    Session {
        /// How long nothing comes until one is over, in milliseconds.
        gap_ms: i64,
    },
}

/// What a window is merged from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pieces {
    /// The accumulators, in order of time. Where it is the window itself, there is nothing to merge.
    pub all: Vec<Window>,
    /// Blocks that are not kept yet, each with its part of `all`: merged once, they serve later windows as well.
    pub blocks: Vec<(Window, Range<usize>)>,
}

impl Listed {
    /// Notes a record in the list of its key: which windows are in it no more, that were before. `None` where the record is
    /// late: it leaves no trace.
    pub fn note(
        self,
        list: &mut List,
        timestamp_ms: i64,
        firing: Firing,
        reached: Watermark,
    ) -> Result<Option<Vec<Window>>, OutOfRange> {
        match self {
            Self::Sliding(panes) => {
                let pane = panes.span(panes.pane(timestamp_ms)?);
                if reached.has_reached(panes.gone_ms(pane).saturating_add(firing.lateness_ms)) {
                    return Ok(None);
                }
                insert(list, pane);
                if !reached.has_reached(pane.end_ms) {
                    return Ok(Some(Vec::new()));
                }
                // What is merged already lacks the record.
                let lacks_it = |kept: &Window| length(*kept) > panes.pane_ms() && kept.contains(pane.start_ms);
                let (gone, kept) = std::mem::take(&mut list.windows).into_iter().partition(lacks_it);
                list.windows = kept;
                Ok(Some(gone))
            }
            Self::Session { gap_ms } => {
                let mut sessions = Sessions::from(std::mem::take(&mut list.windows));
                let session = sessions.preview(timestamp_ms, gap_ms);
                let gone = session.and_then(|session| match firing.arrival(session, reached) {
                    Arrival::Late => Ok(None),
                    Arrival::OnTime | Arrival::Again => Ok(Some(sessions.join(timestamp_ms, gap_ms)?.absorbed)),
                });
                list.windows = sessions.into();
                gone
            }
        }
    }

    /// The accumulator that takes a record which is noted.
    pub fn holder(self, list: &List, timestamp_ms: i64) -> Option<Window> {
        match self {
            Self::Sliding(panes) => panes.pane(timestamp_ms).ok().map(|pane| panes.span(pane)),
            Self::Session { .. } => {
                let after = list.windows.partition_point(|session| session.end_ms <= timestamp_ms);
                list.windows.get(after).copied().filter(|session| session.contains(timestamp_ms))
            }
        }
    }

    /// The windows that have fired already and hold this record, which has just come: they fire again.
    pub fn again(self, list: &List, timestamp_ms: i64, firing: Firing, reached: Watermark) -> Vec<Window> {
        let fires_again = |window: &Window| firing.arrival(*window, reached) == Arrival::Again;
        match self {
            Self::Sliding(panes) => {
                let first_ms = panes.first_end_ms(timestamp_ms, i64::MIN).unwrap_or(i64::MAX);
                let windows = panes.windows(timestamp_ms).ok().filter(|_| reached.has_reached(first_ms));
                windows.into_iter().flatten().filter(fires_again).collect()
            }
            Self::Session { .. } => self.holder(list, timestamp_ms).into_iter().filter(fires_again).collect(),
        }
    }

    /// When something is due for the key after `after_ms`, up to which everything has fired and nothing that expires by then
    /// is in the list any more.
    pub fn next_ms(self, list: &List, after_ms: i64, firing: Firing) -> Option<i64> {
        match self {
            Self::Sliding(panes) => {
                let kept = panes_of(list, panes);
                let live = kept.get(kept.partition_point(|pane| panes.gone_ms(*pane) <= after_ms)..);
                let fires = live.and_then(<[_]>::first).map(|pane| panes.first_end_of(pane.start_ms, after_ms));
                let expires = kept.first().map(|pane| panes.gone_ms(*pane).saturating_add(firing.lateness_ms));
                fires.into_iter().chain(expires).min()
            }
            Self::Session { .. } => {
                let next = |session: &Window| match session.end_ms > after_ms {
                    true => session.end_ms,
                    false => firing.expires_ms(*session),
                };
                list.windows.iter().map(next).min()
            }
        }
    }

    /// The windows that fire at `at_ms`, when something is due.
    pub fn fires(self, list: &List, at_ms: i64) -> Vec<Window> {
        match self {
            Self::Sliding(panes) => {
                panes.ending_at(at_ms).into_iter().filter(|window| has_pane(list, panes, *window)).collect()
            }
            Self::Session { .. } => list.windows.iter().copied().filter(|session| session.end_ms == at_ms).collect(),
        }
    }

    /// What `window` is merged from.
    pub fn pieces(self, list: &List, window: Window) -> Pieces {
        let Self::Sliding(panes) = self else {
            return Pieces { all: vec![window], blocks: Vec::new() };
        };
        let mut pieces = Pieces::default();
        for block in panes.cover(window) {
            let first = pieces.all.len();
            collect(list, panes, block, &mut pieces.all);
            if pieces.all.len() > first + 1 {
                pieces.blocks.push((panes.span(block), first..pieces.all.len()));
            }
        }
        pieces
    }

    /// A block was merged and is kept from now on.
    pub fn keep(self, list: &mut List, block: Window) {
        insert(list, block);
    }

    /// Takes out what no window needs any more, where everything up to `at_ms` has fired.
    pub fn expire(self, list: &mut List, at_ms: i64, firing: Firing) -> Vec<Window> {
        let gone_ms = |window: &Window| match self {
            Self::Sliding(panes) => panes.gone_ms(*window),
            Self::Session { .. } => window.end_ms,
        };
        let is_gone = |window: &Window| gone_ms(window).saturating_add(firing.lateness_ms) <= at_ms;
        let (gone, kept) = std::mem::take(&mut list.windows).into_iter().partition(is_gone);
        list.windows = kept;
        gone
    }

    /// The session that one which is in the list no more has become part of; a block that was left out is part of nothing.
    pub fn heir(self, list: &List, gone: Window) -> Option<Window> {
        match self {
            Self::Sliding(_) => None,
            Self::Session { .. } => self.holder(list, gone.start_ms),
        }
    }
}

/// Panes come first, in order of time, and then the blocks, the smaller ones first.
fn place(window: Window) -> (i64, i64) {
    (length(window), window.start_ms)
}

fn insert(list: &mut List, window: Window) {
    if let Err(at) = list.windows.binary_search_by_key(&place(window), |kept| place(*kept)) {
        list.windows.insert(at, window);
    }
}

fn panes_of(list: &List, panes: Panes) -> &[Window] {
    let count = list.windows.partition_point(|window| length(*window) == panes.pane_ms());
    list.windows.get(..count).unwrap_or_default()
}

fn has_pane(list: &List, panes: Panes, window: Window) -> bool {
    let kept = panes_of(list, panes);
    let next = kept.get(kept.partition_point(|pane| pane.start_ms < window.start_ms));
    next.is_some_and(|pane| window.contains(pane.start_ms))
}

/// What is kept of `block`: itself, or what is kept of its halves.
fn collect(list: &List, panes: Panes, block: Block, all: &mut Vec<Window>) {
    let span = panes.span(block);
    if list.windows.binary_search_by_key(&place(span), |kept| place(*kept)).is_ok() {
        all.push(span);
    } else if has_pane(list, panes, span) {
        block.halves().into_iter().flatten().for_each(|half| collect(list, panes, half, all));
    }
}
