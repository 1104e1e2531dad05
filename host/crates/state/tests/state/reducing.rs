//! Numbers: read by slot wherever they are, and found again after a restart.

use weir_core::ports::{Change, KeyedState, StateStore, Table, TableKind};
use weir_core::{Epoch, OperatorId, TableId};

use crate::{decode_values, key, open, record};

const TOTAL: Table = Table { id: TableId(3), kind: TableKind::Reducing, ttl: None };

fn get(state: &mut dyn KeyedState, users: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
    let (keys, mut out): (Vec<_>, _) = (users.iter().map(|user| key(user)).collect(), Vec::new());
    state.enter(&keys);
    let wanted: Vec<(u32, &[u8])> = (0..users.len() as u32).map(|slot| (slot, &[][..])).collect();
    state.get_many(TOTAL, &wanted, &mut out).unwrap();
    decode_values(&out)
}

#[test]
fn a_number_is_read_from_overlay_and_store_and_goes_when_it_is_cleared() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).unwrap().store(1 << 20).unwrap();
    let mut state = store.open(OperatorId(1), (1, 1));
    assert_eq!(get(state.as_mut(), &[b"a", b"b", b"a"]), [None, None, None]);
    // Changed in the call that has read it, as whoever combines does.
    state.change(1, TOTAL, Change::Set(b"12345678")).unwrap();
    assert_eq!(get(state.as_mut(), &[b"a", b"b"]), [None, Some(b"12345678".to_vec())]);
    let delta = state.seal(Epoch(1));
    state.commit(Epoch(1));
    store.apply(&record(1), vec![delta]).unwrap();
    store.join().unwrap();
    let mut restored = store.open(OperatorId(1), (1, 1));
    assert_eq!(get(restored.as_mut(), &[b"b", b"c"]), [Some(b"12345678".to_vec()), None]);
    restored.change(0, TOTAL, Change::Clear).unwrap();
    assert_eq!(get(restored.as_mut(), &[b"b"]), [None]);
}
