//! A table that all tasks have: each sees what it changed, the store gets it once, and whoever starts later finds all of it.

use weir_core::OperatorId;
use weir_core::frame::NULL;
use weir_core::ports::StateStore;

use super::*;

const RATES: Table = Table { id: TableId(1), kind: TableKind::Broadcast, ttl: None };
const COUNTS: TableId = TableId(0);

fn put(state: &mut dyn KeyedState, entry: &str, value: &str) {
    state.enter(&[]);
    state.change(NULL, RATES, Change::Put { entry: entry.as_bytes(), value: value.as_bytes() }).unwrap();
}

/// All of it, and what of it is found by key.
fn all(state: &mut dyn KeyedState) -> Vec<String> {
    state.enter(&[key(b"whoever")]);
    let (mut out, mut all, mut gets) = (Vec::new(), Vec::new(), Vec::new());
    assert!(!state.scan(RATES, NULL, b"", 100, &mut out).unwrap());
    for pair in decode_values(&out).chunks(2) {
        let (entry, value) = (pair[0].as_ref().unwrap(), pair[1].as_ref().unwrap());
        all.push(format!("{}={}", str::from_utf8(entry).unwrap(), str::from_utf8(value).unwrap()));
        state.get_many(RATES, &[(NULL, entry)], &mut gets).unwrap();
        assert_eq!(decode_values(&gets).pop().unwrap().as_ref(), Some(value));
    }
    all
}

#[test]
fn every_task_sees_what_it_changed_and_one_of_them_writes_it() {
    let dir = tempfile::TempDir::new().unwrap();
    let dir = open(&dir.path().join("state")).unwrap();
    let store = dir.store(64 << 20).unwrap();
    let mut tasks: Vec<_> = (0..3).map(|_| store.open(OperatorId(3), (1, 3))).collect();
    tasks.iter_mut().skip(1).for_each(|task| task.follow());
    for (epoch, changes) in [(1, &[("eur", "1"), ("usd", "2")][..]), (2, &[("usd", "3"), ("chf", "4")])] {
        let wanted = if epoch == 1 { ["eur=1", "usd=2"] } else { ["chf=4", "usd=3"] };
        let mut deltas = Vec::new();
        for (number, task) in tasks.iter_mut().enumerate() {
            changes.iter().for_each(|(entry, value)| put(&mut **task, entry, value));
            if epoch == 2 {
                task.enter(&[]);
                task.change(NULL, RATES, Change::Delete(b"eur")).unwrap();
            }
            // What is a key's own is each task's to write.
            change(&mut **task, COUNTS, key(format!("key-{number}").as_bytes()), Change::Set(b"n"));
            assert_eq!(all(&mut **task), wanted, "epoch {epoch}, task {number}");
            let delta = task.seal(Epoch(epoch));
            let written = 1 + if number == 0 { changes.len() as u64 + epoch - 1 } else { 0 };
            assert_eq!(delta.entries, written, "epoch {epoch}, task {number}");
            assert_eq!(all(&mut **task), wanted, "sealed");
            deltas.push(delta);
        }
        tasks.iter_mut().for_each(|task| task.commit(Epoch(epoch)));
        store.apply(&record(epoch), deltas).unwrap();
        store.join().unwrap();
        // What the store has leaves their memory.
        tasks.iter_mut().for_each(|task| assert_eq!(all(&mut **task), wanted));
        let bytes: Vec<u64> = tasks.iter().map(|task| task.bytes()).collect();
        assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]), "{bytes:?}");
    }
    // Another number of tasks, later.
    for writes in [true, false] {
        let mut task = store.open(OperatorId(3), (1, 2));
        if !writes {
            task.follow();
        }
        assert_eq!(all(&mut *task), ["chf=4", "usd=3"]);
        task.enter(&[]);
        task.change(NULL, RATES, Change::Clear).unwrap();
        assert_eq!(all(&mut *task), Vec::<String>::new());
        assert_eq!(task.seal(Epoch(3)).entries, if writes { 2 } else { 0 });
    }
}
