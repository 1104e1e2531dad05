//! Tests of the state crate through its public face: what a composition root, an engine and a crash would do.
#![allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails here fails as it should")]

mod broadcast;
mod dir;
mod expiry;
mod log;
mod model;
mod ordered;
mod reducing;
mod savepoint;
mod store;
mod timers;
mod view;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use weir_core::key_group::key_hash;
use weir_core::ports::{Change, Delta, KeyRef, KeyedState, Table, TableKind};
use weir_core::{Digest, Epoch, JobName, RecordId, ShardId, TableId};
use weir_state::{Error, StateDir};

fn job() -> JobName {
    JobName::new("orders").expect("a legal name")
}

fn open(path: &Path) -> Result<StateDir, Error> {
    StateDir::open(path, &job(), ShardId(0))
}

fn key(bytes: &[u8]) -> KeyRef<'_> {
    KeyRef { hash: key_hash(bytes), bytes }
}

/// A table of values.
fn values(id: TableId) -> Table {
    Table { id, kind: TableKind::Value, ttl: None }
}

/// A call that changes a value.
fn change(state: &mut dyn KeyedState, table: TableId, key: KeyRef<'_>, change: Change<'_>) {
    state.enter(&[key]);
    state.change(0, values(table), change).expect("changes");
}

/// A call that fetches values.
fn load(state: &mut dyn KeyedState, tables: &[TableId], keys: &[KeyRef<'_>], out: &mut Vec<u8>) {
    let tables: Vec<Table> = tables.iter().copied().map(values).collect();
    state.enter(keys);
    state.prefetch(&tables, 0..keys.len() as u32, out).expect("loads");
}

/// What `load` says of one key: `None` for absent.
fn load_one(state: &mut dyn KeyedState, table: u16, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    load(state, &[TableId(table)], &[key(bytes)], &mut out);
    decode_values(&out).remove(0)
}

/// `{len:u32, bytes}*` as values.
fn decode_values(mut out: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut values = Vec::new();
    while !out.is_empty() {
        let len = u32::from_le_bytes(out[..4].try_into().expect("four bytes"));
        out = &out[4..];
        if len == u32::MAX {
            values.push(None);
        } else {
            values.push(Some(out[..len as usize].to_vec()));
            out = &out[len as usize..];
        }
    }
    values
}

/// The record of `epoch`, for tests of the store alone.
fn record(epoch: u64) -> RecordId {
    RecordId { epoch: Epoch(epoch), digest: Digest(format!("digest of {epoch}")) }
}

/// A delta of arbitrary bytes, for tests of the log alone.
fn delta(payload: &[u8]) -> Delta {
    Delta { entries: 1, payload: payload.to_vec().into() }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// In a child process: the directory that it shall work on. A test that needs another process starts itself again.
fn child_dir() -> Option<PathBuf> {
    std::env::var_os("WEIR_STATE_TEST_DIR").map(PathBuf::from)
}

/// Runs `test` of this binary in another process that may write no file beyond `blocks` of 512 bytes.
fn run_limited(test: &str, dir: &Path, blocks: u32) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" --exact {test} --nocapture");
    let this = std::env::current_exe().expect("this test binary");
    Command::new("sh").args(["-c", &script]).arg(this).env("WEIR_STATE_TEST_DIR", dir).output().expect("runs")
}

/// What a crash leaves: a copy of the files as they are. Retried when a compaction removes a file meanwhile.
fn copy_dir(from: &Path, to: &Path) {
    let copy = || -> std::io::Result<()> {
        let mut dirs = vec![PathBuf::new()];
        while let Some(dir) = dirs.pop() {
            fs::create_dir_all(to.join(&dir))?;
            for entry in fs::read_dir(from.join(&dir))? {
                let name = dir.join(entry?.file_name());
                if from.join(&name).is_dir() {
                    dirs.push(name);
                } else {
                    fs::copy(from.join(&name), to.join(&name))?;
                }
            }
        }
        Ok(())
    };
    let copied = (0..10).any(|_| {
        if to.exists() {
            fs::remove_dir_all(to).expect("removes the failed copy");
        }
        copy().is_ok()
    });
    assert!(copied, "no consistent copy in ten tries");
}
