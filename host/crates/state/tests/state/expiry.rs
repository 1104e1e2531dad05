//! What expires is not there past its time, wherever it is kept.

use std::num::NonZeroU64;

use weir_core::ports::{Change, KeyedState, Now, StateStore, Table, TableKind, Ttl};
use weir_core::{Epoch, OperatorId, TableId};

use crate::{decode_values, key, open, record};

fn table(id: u16, kind: TableKind) -> Table {
    Table { id: TableId(id), kind, ttl: Some(Ttl::Event(NonZeroU64::new(100).unwrap())) }
}

fn at(state: &mut dyn KeyedState, event_ms: i64) {
    let now = Now { event_ms: Some(event_ms), written_ms: Some(event_ms), processing_ms: 0 };
    state.set_time(now, &[table(0, TableKind::Value), table(1, TableKind::List), table(2, TableKind::Map)]);
    state.enter(&[key(b"k")]);
}

/// The value, the list's elements behind their indexes, the map's entries behind their keys, and one entry by its key.
fn seen(state: &mut dyn KeyedState) -> [Vec<Option<Vec<u8>>>; 4] {
    let [mut value, mut list, mut map, mut entry] = [const { Vec::new() }; 4];
    state.prefetch(&[table(0, TableKind::Value)], 0..1, &mut value).unwrap();
    assert!(!state.scan(table(1, TableKind::List), 0, &[], 10, &mut list).unwrap());
    assert!(!state.scan(table(2, TableKind::Map), 0, &[], 10, &mut map).unwrap());
    state.get_many(table(2, TableKind::Map), &[(0, b"old")], &mut entry).unwrap();
    [value, list, map, entry].map(|bytes| decode_values(&bytes))
}

fn some(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(bytes.to_vec())
}

#[test]
fn what_expires_is_not_there_past_its_time_wherever_it_is_kept() {
    for is_applied in [false, true] {
        let temp = tempfile::tempdir().unwrap();
        let store = open(temp.path()).unwrap().store(1 << 20).unwrap();
        let mut state = store.open(OperatorId(1), (1, 1));
        for (time_ms, name) in [(0, &b"old"[..]), (50, b"new")] {
            at(state.as_mut(), time_ms);
            state.change(0, table(0, TableKind::Value), Change::Set(name)).unwrap();
            state.change(0, table(1, TableKind::List), Change::Append(name)).unwrap();
            state.change(0, table(2, TableKind::Map), Change::Put { entry: name, value: b"v" }).unwrap();
        }
        if is_applied {
            let delta = state.seal(Epoch(1));
            state.commit(Epoch(1));
            store.apply(&record(1), vec![delta]).unwrap();
            store.join().unwrap();
            state = store.open(OperatorId(1), (1, 1));
        }
        let index = |index: u64| some(&index.to_be_bytes());
        at(state.as_mut(), 99);
        let all = [
            vec![some(b"new")],
            vec![index(0), some(b"old"), index(1), some(b"new")],
            vec![some(b"new"), some(b"v"), some(b"old"), some(b"v")],
            vec![some(b"v")],
        ];
        assert_eq!(seen(state.as_mut()), all);
        at(state.as_mut(), 100);
        // The list is counted from the first element that is there.
        let rest = [vec![some(b"new")], vec![index(0), some(b"new")], vec![some(b"new"), some(b"v")], vec![None]];
        assert_eq!(seen(state.as_mut()), rest);
        at(state.as_mut(), 150);
        assert_eq!(seen(state.as_mut()), [vec![None], vec![], vec![], vec![None]]);
        // What is written again begins anew.
        state.change(0, table(1, TableKind::List), Change::Append(b"newest")).unwrap();
        at(state.as_mut(), 249);
        assert_eq!(seen(state.as_mut())[1], [index(0), some(b"newest")]);
    }
}
