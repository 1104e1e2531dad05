//! HOT PATH. What fires at once of keys for which something is due: in order of time over all of them, though a key has one
//! timer, and what it has next may be due before what others have now.

use std::collections::BTreeMap;

use weir_time::Window;
use weir_time::timers::Due;
use weir_time::window::firing::Firing;
use weir_time::window::{List, Listed};

use super::lists::Lists;

/// So many windows fire at once, and those that end with the last of them.
const FIRES_MAX: usize = 1_024;

/// Windows that fire, each of the key with this number.
pub(super) type Fires = Vec<(usize, Window)>;

/// See the module.
#[derive(Default)]
pub(super) struct Round {
    /// In order of time, then of keys.
    pub(super) fires: Fires,
    /// For each key up to when it has fired then; `None`: its turn has not come.
    pub(super) until_ms: Vec<Option<i64>>,
}

impl Round {
    /// Of the keys of `lists`, of which these timers are `due`, in order. Nobody else has anything before the last of them.
    pub(super) fn of(listed: Listed, lists: &Lists, due: &[Due], firing: Firing) -> Self {
        let last_ms = due.last().map(|due| due.timer.time_ms);
        let mut ahead: Vec<List> = (0..due.len()).filter_map(|key| lists.get(key).cloned()).collect();
        let turns = due.iter().enumerate().map(|(key, due)| ((due.timer.time_ms, &*due.timer.key), key));
        let mut turns: BTreeMap<(i64, &[u8]), usize> = turns.collect();
        let mut round = Self { fires: Fires::new(), until_ms: vec![None; due.len()] };
        let mut at_ms = i64::MIN;
        while let Some(((next_ms, name), key)) = turns.pop_first() {
            if round.fires.len() >= FIRES_MAX && next_ms > at_ms {
                break;
            }
            at_ms = next_ms;
            let (Some(list), Some(until_ms)) = (ahead.get_mut(key), round.until_ms.get_mut(key)) else { continue };
            *until_ms = Some(at_ms);
            round.fires.extend(listed.fires(list, at_ms).into_iter().map(|window| (key, window)));
            drop(listed.expire(list, at_ms, firing));
            let again_ms = listed.next_ms(list, at_ms, firing).filter(|again_ms| Some(*again_ms) <= last_ms);
            turns.extend(again_ms.map(|again_ms| ((again_ms, name), key)));
        }
        round
    }
}
