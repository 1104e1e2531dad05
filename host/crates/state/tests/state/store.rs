//! The store: what is applied, what is durable, what a restart replays, what it costs.

use weir_core::ports::{Change, EpochLog, KeyedState, StateBytes, StateStore};
use weir_core::{Epoch, Fault, OperatorId, TableId};

use crate::{change, child_dir, copy_dir, delta, key, load, load_one, open, record, run_limited};

const OPERATOR: OperatorId = OperatorId(1);
const TABLE: TableId = TableId(0);

/// One epoch as the engine does it.
fn epoch(state: &mut dyn KeyedState, log: &mut dyn EpochLog, store: &dyn StateStore, epoch: u64) {
    let delta = state.seal(Epoch(epoch));
    log.append(Epoch(epoch), b"m", std::slice::from_ref(&delta), true).expect("appends");
    state.commit(Epoch(epoch));
    let written = log.records().last().expect("a record").clone();
    store.apply(&written, vec![delta]).expect("applies");
}

#[test]
fn a_task_reads_what_it_wrote_through_every_layer() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let store = dir.store(1 << 20).expect("store");
    let mut state = store.open(OPERATOR, (1, 1));
    assert_eq!(load_one(&mut *state, 0, b"k"), None);
    change(state.as_mut(), TABLE, key(b"k"), Change::Set(b"one"));
    assert_eq!(load_one(&mut *state, 0, b"k"), Some(b"one".to_vec()), "active overlay");
    let delta = state.seal(Epoch(1));
    assert_eq!(load_one(&mut *state, 0, b"k"), Some(b"one".to_vec()), "sealed overlay");
    change(state.as_mut(), TABLE, key(b"k"), Change::Clear);
    assert_eq!(load_one(&mut *state, 0, b"k"), None, "a cleared value hides the sealed one");
    state.commit(Epoch(1));
    store.apply(&record(1), vec![delta]).expect("applies");
    store.join().expect("joins");
    assert_eq!(load_one(&mut *state, 0, b"k"), None, "and the one in RocksDB");
    assert_eq!(
        load_one(&mut *store.open(OPERATOR, (1, 1)), 0, b"k"),
        Some(b"one".to_vec()),
        "another task reads epoch 1"
    );
    assert_eq!(load_one(&mut *store.open(OPERATOR, (1, 1)), 1, b"k"), None, "another table");
    assert_eq!(load_one(&mut *store.open(OperatorId(2), (1, 1)), 0, b"k"), None, "another operator");
    let delta = state.seal(Epoch(2));
    state.commit(Epoch(2));
    store.apply(&record(2), vec![delta]).expect("applies");
    store.join().expect("joins");
    assert_eq!(load_one(&mut *store.open(OPERATOR, (1, 1)), 0, b"k"), None);
    change(state.as_mut(), TABLE, key(b"k"), Change::Set(b""));
    assert_eq!(load_one(&mut *state, 0, b"k"), Some(Vec::new()), "an empty value is a value");
}

#[test]
fn values_come_key_by_key_and_table_by_table() {
    let temp = tempfile::tempdir().expect("temp dir");
    let store = open(temp.path()).expect("opens").store(1 << 20).expect("store");
    let mut state = store.open(OPERATOR, (1, 1));
    change(state.as_mut(), TableId(1), key(b"b"), Change::Set(b"b1"));
    change(state.as_mut(), TableId(0), key(b"a"), Change::Set(b"a0"));
    let mut out = b"before".to_vec();
    let keys = [key(b"a"), key(b"b"), key(b"c"), key(b"b")];
    load(state.as_mut(), &[TableId(1), TableId(0)], &keys, &mut out);
    let value = |bytes: &[u8]| Some(bytes.to_vec());
    let expected = [None, value(b"a0"), value(b"b1"), None, None, None, value(b"b1"), None];
    assert_eq!(crate::decode_values(out.strip_prefix(b"before").expect("appended")), expected);
}

#[test]
fn a_crash_loses_nothing_that_was_committed_and_a_flush_saves_the_replay() {
    let (temp, crashed) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
    let dir = open(temp.path()).expect("opens");
    let (mut log, store) = (dir.log().expect("log"), dir.store(1 << 20).expect("store"));
    let mut state = store.open(OPERATOR, (1, 1));
    for number in 1..=4u64 {
        change(state.as_mut(), TABLE, key(b"k"), Change::Set(&number.to_le_bytes()));
        epoch(&mut *state, &mut *log, &*store, number);
        if number == 2 {
            store.flush().expect("flushes");
            assert_eq!((store.applied(), store.durable()), (Some(log.records()[1].clone()), Epoch(2)));
        }
    }
    store.join().expect("joins");
    assert_eq!((store.applied(), store.durable()), (Some(log.records()[3].clone()), Epoch(2)));
    copy_dir(temp.path(), crashed.path());

    let dir = open(crashed.path()).expect("opens");
    let (log, store) = (dir.log().expect("log"), dir.store(1 << 20).expect("store"));
    assert_eq!(store.applied(), Some(log.records()[1].clone()), "what was not flushed is lost with the process");
    assert_eq!(load_one(&mut *store.open(OPERATOR, (1, 1)), 0, b"k"), Some(2u64.to_le_bytes().to_vec()));
    let applied = store.applied();
    log.replay(applied.as_ref(), 3, &mut |record, delta| store.apply(record, vec![delta])).expect("replays");
    store.join().expect("joins");
    assert_eq!(load_one(&mut *store.open(OPERATOR, (1, 1)), 0, b"k"), Some(4u64.to_le_bytes().to_vec()));
}

#[test]
fn epochs_are_applied_within_a_second_or_so_without_being_asked() {
    let temp = tempfile::tempdir().expect("temp dir");
    let store = open(temp.path()).expect("opens").store(1 << 20).expect("store");
    let mut state = store.open(OPERATOR, (1, 1));
    change(state.as_mut(), TABLE, key(b"k"), Change::Set(b"v"));
    let delta = state.seal(Epoch(1));
    store.apply(&record(1), vec![delta]).expect("applies");
    let began = std::time::Instant::now();
    while store.applied().is_none() {
        assert!(began.elapsed().as_secs() < 30, "nobody applies");
        std::thread::yield_now();
    }
}

#[test]
fn many_keys_or_epochs_are_flushed_without_being_asked() {
    let temp = tempfile::tempdir().expect("temp dir");
    let store = open(temp.path()).expect("opens").store(16 << 20).expect("store");
    let mut state = store.open(OPERATOR, (1, 1));
    for number in 1..=210_000u32 {
        change(state.as_mut(), TABLE, key(&number.to_le_bytes()), Change::Set(b"v"));
    }
    store.apply(&record(1), vec![state.seal(Epoch(1))]).expect("applies");
    store.join().expect("joins");
    // The flush comes after the epoch is applied and before the next one is.
    store.apply(&record(2), Vec::new()).expect("applies");
    store.join().expect("joins");
    assert_eq!(store.durable(), Epoch(1), "many keys");
    for number in 3..=2051 {
        store.apply(&record(number), Vec::new()).expect("applies");
    }
    store.join().expect("joins");
    store.apply(&record(2052), Vec::new()).expect("applies");
    store.join().expect("joins");
    assert!(store.durable() >= Epoch(2049), "many epochs, but only {} is durable", store.durable());
    let bytes = store.bytes(OPERATOR);
    assert!(bytes.disk > 100_000 && bytes.memory > 210_000 * 11, "{bytes:?}");
    assert_eq!(store.bytes(OperatorId(2)), StateBytes::default());
}

#[test]
fn an_epoch_cannot_be_applied_twice() {
    let temp = tempfile::tempdir().expect("temp dir");
    let store = open(temp.path()).expect("opens").store(1 << 20).expect("store");
    store.apply(&record(3), Vec::new()).expect("applies");
    assert_eq!(store.apply(&record(3), Vec::new()).expect_err("is refused").fault(), Fault::Bug);
    store.apply(&record(4), Vec::new()).expect("goes on");
}

#[test]
fn a_malformed_delta_ends_the_store() {
    let temp = tempfile::tempdir().expect("temp dir");
    let store = open(temp.path()).expect("opens").store(1 << 20).expect("store");
    store.apply(&record(1), vec![delta(b"\x09\0\0\0short")]).expect("is taken");
    assert_eq!(store.join().expect_err("is refused").fault(), Fault::Bug);
    assert!(store.apply(&record(2), Vec::new()).is_err(), "the failure stays");
    assert_eq!(store.applied(), None);
}

#[test]
fn closing_writes_nothing_for_the_disk_may_hang() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let store = dir.store(1 << 20).expect("store");
    let mut state = store.open(OPERATOR, (1, 1));
    change(state.as_mut(), TABLE, key(b"k"), Change::Set(b"v"));
    store.apply(&record(1), vec![state.seal(Epoch(1))]).expect("applies");
    store.join().expect("joins");
    drop((state, store));
    assert_eq!(dir.store(1 << 20).expect("opens again").applied(), None, "what was not flushed is in the log");
}

#[test]
fn a_store_without_its_log_is_refused() {
    let temp = tempfile::tempdir().expect("temp dir");
    let store = open(temp.path()).expect("opens").store(1 << 20).expect("store");
    store.apply(&record(3), Vec::new()).expect("applies");
    store.flush().expect("flushes");
    drop(store);
    let error = open(temp.path()).expect("opens").store(1 << 20).err().expect("is refused");
    assert_eq!(error.fault(), Fault::Corrupt);
    assert!(error.to_string().contains("the store holds epoch 3 (digest of 3), but the epoch log is empty"), "{error}");
}

#[test]
fn a_full_disk_is_fatal_to_the_store() {
    if let Some(dir) = child_dir() {
        let store = open(&dir).expect("opens").store(1 << 20).expect("store");
        let mut state = store.open(OPERATOR, (1, 1));
        // Bytes that do not compress: xorshift.
        let mut random = 1u64;
        for number in 1..=10_000u64 {
            let value: Vec<u8> = (0..8)
                .flat_map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random.to_le_bytes()
                })
                .collect();
            change(state.as_mut(), TABLE, key(&number.to_le_bytes()), Change::Set(&value));
        }
        let failed = store.apply(&record(1), vec![state.seal(Epoch(1))]).and_then(|()| store.flush());
        let error = failed.expect_err("the flush does not fit");
        assert_eq!(error.fault(), Fault::User, "{error}");
        assert!(store.apply(&record(2), Vec::new()).is_err(), "no epoch is taken after it");
        assert_eq!(store.durable(), Epoch(0));
        return;
    }
    let temp = tempfile::tempdir().expect("temp dir");
    let out = run_limited("store::a_full_disk_is_fatal_to_the_store", temp.path(), 256);
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    open(temp.path()).expect("opens").store(1 << 20).expect("what was there before is unharmed");
}

#[test]
fn the_size_on_disk_is_known_after_a_restart_without_being_asked_for_twice() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    dir.log().expect("log").append(Epoch(1), b"m", &[], true).expect("appends");
    let store = dir.store(1 << 20).expect("store");
    let mut state = store.open(OPERATOR, (1, 1));
    for number in 0..20_000u32 {
        change(state.as_mut(), TABLE, key(&number.to_le_bytes()), Change::Set(&number.to_le_bytes()));
    }
    store.apply(&record(1), vec![state.seal(Epoch(1))]).expect("applies");
    store.flush().expect("flushes");
    drop((state, store, dir));
    let store = open(temp.path()).expect("opens").store(1 << 20).expect("store");
    let _task = store.open(OPERATOR, (1, 1));
    let began = std::time::Instant::now();
    while store.bytes(OPERATOR).disk < 20_000 {
        assert!(began.elapsed().as_secs() < 30, "{:?}", store.bytes(OPERATOR));
        std::thread::yield_now();
    }
    assert_eq!(store.bytes(OPERATOR).memory, 0, "nothing was read yet");
}

#[test]
fn a_task_is_full_of_what_is_not_applied_and_not_of_what_it_read() {
    let temp = tempfile::tempdir().expect("temp dir");
    let store = open(temp.path()).expect("opens").store(1 << 20).expect("store");
    let mut state = store.open(OPERATOR, (1, 1));
    let mut number = 0u32;
    while !state.is_full() {
        number += 1;
        change(state.as_mut(), TABLE, key(&number.to_le_bytes()), Change::Set(&[7; 100]));
        assert!(state.bytes() < 1 << 20, "it says so in time");
    }
    let delta = state.seal(Epoch(1));
    state.commit(Epoch(1));
    assert!(state.is_full(), "what holds and is not in the store still cannot go");
    store.apply(&record(1), vec![delta]).expect("applies");
    store.hurry();
    let began = std::time::Instant::now();
    while state.is_full() {
        assert!(began.elapsed().as_secs() < 30, "nobody applies");
        std::thread::yield_now();
    }
    let mut out = Vec::new();
    for id in 1..=number {
        load(state.as_mut(), &[TABLE], &[key(&id.to_le_bytes())], &mut out);
    }
    assert!(state.bytes() > 400 << 10 && !state.is_full(), "the cache is as large as it may be: {}", state.bytes());
}

#[test]
fn memory_stays_within_its_share_when_the_state_does_not() {
    let temp = tempfile::tempdir().expect("temp dir");
    let (budget, keys) = (1u64 << 20, 40_000u32);
    let store = open(temp.path()).expect("opens").store(budget).expect("store");
    let mut state = store.open(OPERATOR, (1, 2));
    let mut out = Vec::new();
    for (number, batch) in (1..).zip((0..keys).collect::<Vec<_>>().chunks(500)) {
        for id in batch {
            change(state.as_mut(), TABLE, key(&id.to_le_bytes()), Change::Set(&[id.to_le_bytes(); 25].concat()));
        }
        let delta = state.seal(Epoch(number));
        state.commit(Epoch(number));
        store.apply(&record(number), vec![delta]).expect("applies");
        store.join().expect("joins");
        load(state.as_mut(), &[TABLE], &[key(b"absent")], &mut out);
    }
    for id in 0..keys {
        assert_eq!(load_one(&mut *state, 0, &id.to_le_bytes()), Some([id.to_le_bytes(); 25].concat()), "key {id}");
        assert!(id < 1000 || state.bytes() <= budget / 4 + 1024, "{} bytes at key {id}", state.bytes());
    }
}
