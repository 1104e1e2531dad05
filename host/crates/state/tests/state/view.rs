//! Looking at a directory: what it holds is seen, nothing is touched, whether its owner works or not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use weir_core::ports::{Change, EpochLog, StateStore, TableKind};
use weir_core::{Epoch, Fault, OperatorId, TableId};
use weir_state::{Error, StateView};

use crate::{change, delta, key, open};

const TABLE: TableId = TableId(0);

/// Every file with its bytes.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).expect("reads"));
        }
    }
    found
}

/// What a look at record `index` shows: operator, key, value.
pub(crate) fn entries(dir: &Path, index: usize) -> Vec<(u16, String, String)> {
    let view = StateView::open(dir).expect("a state directory");
    let store = view.store().expect("a store");
    let log = view.log().expect("a log");
    let mut shown = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let snapshot = store.as_of(&log, index).expect("a snapshot");
    let each = |entry: weir_state::StateEntry<'_>| {
        shown.push((entry.operator.0, text(entry.key(TableKind::Value)?.0), text(entry.value)));
        Ok::<_, Error>(())
    };
    snapshot.each(each).expect("shows");
    shown.sort();
    shown
}

fn shown(entries: &[(u16, &str, &str)]) -> Vec<(u16, String, String)> {
    entries.iter().map(|(operator, key, value)| (*operator, (*key).to_owned(), (*value).to_owned())).collect()
}

/// Four epochs of two operators; the store has applied two of them.
fn four_epochs(dir: &weir_state::StateDir) -> (Box<dyn EpochLog>, std::sync::Arc<weir_state::RocksStore>) {
    let (mut log, store) = (dir.log().expect("log"), dir.store(1 << 20).expect("store"));
    let (mut one, mut two) = (store.open(OperatorId(1), (1, 2)), store.open(OperatorId(2), (1, 2)));
    for epoch in 1..=4u64 {
        let value = epoch.to_string();
        change(one.as_mut(), TABLE, key(b"counter"), Change::Set(value.as_bytes()));
        change(one.as_mut(), TABLE, key(format!("only-{epoch}").as_bytes()), Change::Set(b"x"));
        match epoch {
            1 => change(two.as_mut(), TABLE, key(b"gone"), Change::Set(b"soon")),
            _ => change(two.as_mut(), TABLE, key(b"gone"), Change::Clear),
        }
        let deltas = [one.seal(Epoch(epoch)), two.seal(Epoch(epoch))];
        log.append(Epoch(epoch), b"m", &deltas, true).expect("appends");
        one.commit(Epoch(epoch));
        two.commit(Epoch(epoch));
        if epoch <= 2 {
            store.apply(log.records().last().expect("a record"), deltas.to_vec()).expect("applies");
            store.flush().expect("flushes");
        }
    }
    (log, store)
}

#[test]
fn the_state_of_each_epoch_is_shown_and_nothing_is_touched_while_the_owner_works() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let (log, store) = four_epochs(&dir);
    let before = files(temp.path());
    let second = [(1, "counter", "2"), (1, "only-1", "x"), (1, "only-2", "x")];
    assert_eq!(entries(temp.path(), 1), shown(&second));
    let fourth = [(1, "counter", "4"), (1, "only-1", "x"), (1, "only-2", "x"), (1, "only-3", "x"), (1, "only-4", "x")];
    assert_eq!(entries(temp.path(), 3), shown(&fourth));
    let view = StateView::open(temp.path()).expect("a state directory");
    assert_eq!((view.job().as_str(), view.shard().0), ("orders", 0));
    assert_eq!(view.owner().expect("asks"), Some(std::process::id().to_string()));
    assert_eq!(view.store().expect("a store").applied(), Some(&log.records()[1]));
    let older =
        view.store().expect("a store").as_of(&view.log().expect("a log"), 0).err().expect("is behind the store");
    assert_eq!(older.fault(), Fault::Corrupt);
    assert_eq!(files(temp.path()), before, "a look writes nothing");
    drop((log, store, dir));
    assert_eq!(view.owner().expect("asks"), None);
    open(temp.path()).expect("a look holds no lock");
}

#[test]
fn a_tail_that_is_being_written_is_no_damage() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut log = open(temp.path()).expect("opens").log().expect("log");
    log.append(Epoch(1), b"m", &[delta(b"d")], true).expect("appends");
    let segment = temp.path().join("log/0000000001.log");
    let whole = fs::read(&segment).expect("reads");
    fs::write(&segment, [&whole[..], b"half a record"].concat()).expect("tears");
    let view = StateView::open(temp.path()).expect("a state directory");
    let seen = view.log().expect("no damage");
    assert_eq!((seen.records().len(), seen.torn_bytes(), seen.segments()), (1, 13, 1));
    assert_eq!(fs::metadata(&segment).expect("is there").len(), whole.len() as u64 + 13, "it is not cut off by a look");
}

#[test]
fn what_is_no_state_directory_is_refused() {
    let temp = tempfile::tempdir().expect("temp dir");
    let refused = |path: &Path| StateView::open(path).expect_err("is refused");
    assert_eq!(refused(&temp.path().join("nowhere")).fault(), Fault::Config);
    assert!(refused(temp.path()).to_string().contains("no FORMAT file"));
    fs::write(temp.path().join("FORMAT"), "weir-state\nversion 9\n").expect("writes");
    assert!(refused(temp.path()).to_string().contains("has format version 9"));
    assert_eq!(files(temp.path()).len(), 1, "nothing is written");
}
