//! Timers: in order over all key groups, whether they are in memory or in the store.

use weir_core::key_group::KEY_GROUPS;
use weir_core::ports::StateStore;
use weir_core::window_key::time_bytes;
use weir_core::{OperatorId, WindowKey};

use super::*;

const TIMERS: Table = Table { id: TableId(1), kind: TableKind::WindowTimer, ttl: None };
const WINDOWS: Table = Table { id: TableId(0), kind: TableKind::Window, ttl: None };

/// The key of a window that ends at `end_ms`.
fn window(user: &str, end_ms: i64) -> (Vec<u8>, u64) {
    let window = WindowKey { key: user.as_bytes(), start_ms: end_ms - 10, end_ms };
    let mut bytes = Vec::new();
    window.push(&mut bytes);
    (bytes, window.hash())
}

fn set(state: &mut dyn KeyedState, user: &str, end_ms: i64, change: Change<'_>) {
    let (bytes, hash) = window(user, end_ms);
    state.enter(&[KeyRef { hash, bytes: &bytes }]);
    state.change(0, TIMERS, change).unwrap();
}

/// The timers from `start` on: time and key.
fn timers(state: &mut dyn KeyedState, start: &[u8], limit: usize) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    state.timers(TIMERS, 0..KEY_GROUPS, start, limit, &mut found).unwrap();
    assert!(found.is_sorted());
    let shown = |bytes: &Vec<u8>| {
        let window = WindowKey::parse(&bytes[8..]).unwrap();
        (window.end_ms, String::from_utf8(window.key.to_vec()).unwrap())
    };
    found.iter().map(shown).collect()
}

#[test]
fn they_come_in_order_from_memory_and_from_the_store() {
    let dir = tempfile::TempDir::new().unwrap();
    let dir = open(&dir.path().join("state")).unwrap();
    let store = dir.store(64 << 20).unwrap();
    let mut state = store.open(OperatorId(3), (1, 1));
    let all: Vec<(i64, String)> = (0..300).map(|n| (n / 3 * 10, format!("user-{}", n % 7))).collect();
    let mut all: Vec<_> = all.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    // Half of them are applied, the others only in memory; some are gone again.
    for (epoch, part) in (1..).zip(all.chunks(all.len().div_ceil(2))) {
        for (at, user) in part {
            set(&mut *state, user, *at, Change::Put { entry: &time_bytes(*at), value: &[] });
        }
        if epoch == 1 {
            let delta = state.seal(Epoch(1));
            state.commit(Epoch(1));
            store.apply(&record(1), vec![delta]).unwrap();
            store.join().unwrap();
        }
    }
    for (at, user) in all.iter().step_by(5) {
        set(&mut *state, user, *at, Change::Delete(&time_bytes(*at)));
    }
    let mut number = 0;
    all.retain(|_| {
        number += 1;
        (number - 1) % 5 != 0
    });
    assert_eq!(timers(&mut *state, &[], usize::MAX), all);
    assert_eq!(timers(&mut *state, &[], 10), all[..10]);
    // From one on, this one too.
    let (at, user) = &all[20];
    let start = [&time_bytes(*at)[..], &window(user, *at).0].concat();
    assert_eq!(timers(&mut *state, &start, 7), all[20..27]);
}

#[test]
fn windows_of_a_key_are_found_and_cleared_one_by_one() {
    let dir = tempfile::TempDir::new().unwrap();
    let dir = open(&dir.path().join("state")).unwrap();
    let store = dir.store(64 << 20).unwrap();
    let mut state = store.open(OperatorId(3), (1, 1));
    let keys: Vec<(Vec<u8>, u64)> = [10, 20, 30].map(|end| window("ada", end)).to_vec();
    let names: Vec<KeyRef<'_>> = keys.iter().map(|(bytes, hash)| KeyRef { hash: *hash, bytes }).collect();
    state.enter(&names);
    for slot in 0..3 {
        state.change(slot, WINDOWS, Change::Set(&[slot as u8])).unwrap();
    }
    let delta = state.seal(Epoch(1));
    state.commit(Epoch(1));
    store.apply(&record(1), vec![delta]).unwrap();
    store.join().unwrap();
    // A task that has read nothing clears one of them.
    drop(state);
    let mut state = store.open(OperatorId(3), (1, 1));
    state.enter(&names[1..2]);
    state.change(0, WINDOWS, Change::Clear).unwrap();
    let mut values = Vec::new();
    state.enter(&names);
    state.prefetch(&[WINDOWS], 0..3, &mut values).unwrap();
    assert_eq!(decode_values(&values), [Some(vec![0]), None, Some(vec![2])]);
}
