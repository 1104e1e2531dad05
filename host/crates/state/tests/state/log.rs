//! The epoch log: what is written is found again, what is torn is cut, what is damaged is refused.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use weir_core::ports::{Change, Delta, EpochLog, KeyRef, StateStore};
use weir_core::{Epoch, Fault, OperatorId, PortError, RecordId, TableId};
use weir_state::Error;

use crate::{change, child_dir, delta, golden, open, record, run_limited};

fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("log/{number:010}.log"))
}

fn epochs(log: &dyn EpochLog) -> Vec<u64> {
    log.records().iter().map(|record| record.epoch.0).collect()
}

fn append(log: &mut dyn EpochLog, epoch: u64) {
    let manifest = format!("manifest {epoch}");
    log.append(Epoch(epoch), manifest.as_bytes(), &[delta(b"one"), delta(&epoch.to_le_bytes())], true)
        .expect("appends");
}

fn replayed(log: &dyn EpochLog, applied: u64, index: usize) -> Vec<(u64, Delta)> {
    let mut all = Vec::new();
    let mut each = |record: &RecordId, delta| {
        all.push((record.epoch.0, delta));
        Ok::<_, PortError>(())
    };
    let applied = log.records().iter().find(|record| record.epoch.0 == applied);
    log.replay(applied, index, &mut each).expect("replays");
    all
}

#[test]
fn the_bytes_of_a_record_are_pinned() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let store = dir.store(1 << 20).expect("store");
    let (mut three, mut four) = (store.open(OperatorId(3), (1, 2)), store.open(OperatorId(4), (1, 2)));
    let hash = 0x0123_4567_89ab_cdef;
    change(three.as_mut(), TableId(1), KeyRef { hash, bytes: b"user-1" }, Change::Set(b"42"));
    change(three.as_mut(), TableId(1), KeyRef { hash: 5, bytes: b"" }, Change::Clear);
    change(four.as_mut(), TableId(0), KeyRef { hash: 5, bytes: b"\xff\0" }, Change::Set(b""));
    let deltas = [three.seal(Epoch(7)), four.seal(Epoch(7))];
    dir.log().expect("log").append(Epoch(7), br#"{"epoch":7}"#, &deltas, true).expect("appends");
    let written = fs::read(segment(temp.path(), 1)).expect("segment");
    assert_eq!(written, fs::read(golden("log-record.bin")).expect("golden"));
}

/// How often `text` stands in the log.
fn times(dir: &Path, text: &str) -> usize {
    let segments = fs::read_dir(dir.join("log")).expect("a log").map(|file| fs::read(file.expect("a file").path()));
    let is_it = |bytes: Vec<u8>| bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    segments.map(|bytes| is_it(bytes.expect("reads"))).sum()
}

#[test]
fn a_plan_is_written_when_it_changes_and_with_each_segment() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let (one, two) = (Bytes::from_static(b"plan one"), Bytes::from_static(b"plan two"));
    let plans =
        |log: &dyn EpochLog| (0..log.records().len()).map(|at| log.plan(at).expect("reads")).collect::<Vec<_>>();
    let mut log = dir.log().expect("log");
    log.set_plan(&one);
    append(&mut *log, 1);
    append(&mut *log, 2);
    log.set_plan(&two);
    append(&mut *log, 3);
    drop(log);
    let mut log = dir.log().expect("opens again");
    log.set_plan(&two);
    append(&mut *log, 4);
    assert_eq!(plans(&*log), [&one, &one, &two, &two]);
    assert_eq!((times(temp.path(), "plan one"), times(temp.path(), "plan two")), (1, 1));
    assert_eq!(log.manifest(3).expect("reads"), "manifest 4");
    // What is cut off takes its plan along.
    log.cut_after(1).expect("cuts");
    append(&mut *log, 5);
    assert_eq!(plans(&*log), [&one, &one, &two]);
    // The next segment must do without the one before it.
    for epoch in 6..2060 {
        log.append(Epoch(epoch), b"m", &[], false).expect("appends");
    }
    log.trim(Epoch(2059)).expect("trims");
    assert!(!segment(temp.path(), 1).exists() && log.records().len() < 100);
    assert!(plans(&*log).iter().all(|plan| *plan == two));
    drop(log);
    let mut log = dir.log().expect("opens again");
    assert!(plans(&*log).iter().all(|plan| *plan == two));
    assert_eq!(times(temp.path(), "plan two"), 1);
    log.set_plan(&one);
    log.replace(Epoch(1), b"anew").expect("replaces");
    assert_eq!((plans(&*log), log.manifest(0).expect("reads")), (vec![one], "anew".into()));
}

/// An epoch writes what moved, the plan comes once a segment, and both go when the store has what they stand for.
#[test]
fn the_log_of_a_thousand_partitions_is_bounded_however_many_epochs_there_are() {
    // As `checkpoint` makes them of a thousand splits.
    let (plan, manifest) = (Bytes::from(vec![b'p'; 100_000]), vec![b'm'; 16_000]);
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let (mut log, store) = (dir.log().expect("log"), dir.store(1 << 20).expect("store"));
    log.set_plan(&plan);
    let (mut bytes, mut records) = (0, 0);
    for epoch in 1..=5_000 {
        // As the engine does it.
        store.logged(manifest.len() as u64);
        log.append(Epoch(epoch), &manifest, &[], false).expect("appends");
        store.apply(log.records().last().expect("a record"), Vec::new()).expect("applies");
        if epoch % 100 == 0 {
            store.join().expect("joins");
        }
        log.trim(store.durable()).expect("trims");
        if epoch == 1_000 {
            assert!(log.bytes() < 1_000 * 16_100 + 100_000, "{} bytes of a thousand epochs", log.bytes());
        }
        (bytes, records) = (log.bytes().max(bytes), log.records().len().max(records));
    }
    // One segment that is written to, and one that the store does not have for sure yet.
    assert!(records <= 2 * 2_048 && bytes <= 2 * (2_048 * 16_100 + 100_000), "{records} records, {bytes} bytes");
}

#[test]
fn a_manifest_that_is_no_longer_what_it_was_is_refused() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut log = open(temp.path()).expect("opens").log().expect("log");
    append(&mut *log, 1);
    let bytes = fs::read(segment(temp.path(), 1)).expect("segment");
    let at = bytes.windows(8).position(|window| window == b"manifest").expect("is there");
    fs::write(segment(temp.path(), 1), [&bytes[..at], b"M", &bytes[at + 1..]].concat()).expect("writes");
    let error = log.manifest(0).expect_err("is damaged");
    assert!(error.fault() == Fault::Corrupt && error.to_string().contains("digest"), "{error}");
}

#[test]
fn records_are_found_again_and_replayed_after_what_is_applied() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let mut log = dir.log().expect("log");
    for epoch in 1..=5 {
        append(&mut *log, epoch);
    }
    log.append(Epoch(6), b"", &[], false).expect("an epoch without changes");
    let bytes = log.bytes();
    drop(log);
    let log = dir.log().expect("opens again");
    assert_eq!(epochs(&*log), [1, 2, 3, 4, 5, 6]);
    assert_eq!(log.manifest(2).expect("reads"), "manifest 3");
    assert_eq!(log.bytes(), bytes);
    let deltas = replayed(&*log, 2, 3);
    assert_eq!(deltas.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [3, 4]);
    assert_eq!((deltas[0].1.entries, &deltas[0].1.payload[..]), (2, &b"one\x03\0\0\0\0\0\0\0"[..]));
    assert!(replayed(&*log, 5, 5)[0].1.payload.is_empty(), "an empty epoch is replayed too");
    let beyond = log.replay(None, 6, &mut |_, _| Ok(())).expect_err("there is no seventh record");
    assert_eq!(beyond.fault(), Fault::Bug);
}

#[test]
fn a_cut_is_for_good_and_the_next_attempt_goes_on_behind_it() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let mut log = dir.log().expect("log");
    // Three segments: a segment takes 2048 records.
    for epoch in 1..=5000 {
        log.append(Epoch(epoch), b"m", &[delta(b"d")], false).expect("appends");
    }
    for (index, next) in [(4500, 4502), (4500, 4502), (2048, 2050), (2047, 2049), (100, 102), (0, 2)] {
        log.cut_after(index).expect("cuts");
        assert_eq!(log.records().len(), index + 1);
        append(&mut *log, next);
        assert_eq!(replayed(&*log, next - 1, index + 1).len(), 1);
        drop(log);
        log = dir.log().expect("opens again");
        assert_eq!(epochs(&*log).last(), Some(&next));
        assert_eq!(log.records().len(), index + 2);
    }
    assert!(!segment(temp.path(), 2).exists());
}

#[test]
fn trim_drops_whole_segments_and_never_the_last_record() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let mut log = dir.log().expect("log");
    for epoch in 1..=4096 {
        log.append(Epoch(epoch), b"m", &[delta(b"d")], false).expect("appends");
    }
    log.trim(Epoch(2048)).expect("trims");
    assert_eq!(epochs(&*log)[0], 1, "epoch 2048 itself is still needed");
    log.trim(Epoch(2049)).expect("trims");
    assert_eq!(epochs(&*log)[0], 2049);
    log.trim(Epoch(9999)).expect("trims");
    assert_eq!(epochs(&*log)[0], 2049, "the last segment stays");
    assert_eq!(replayed(&*log, 4090, 2047).len(), 6);
    drop(log);
    let mut log = dir.log().expect("opens again");
    assert_eq!(epochs(&*log)[0], 2049);
    append(&mut *log, 4097);
    for (applied, held) in [(None, "nothing"), (Some(record(7)), "epoch 7 (digest of 7)")] {
        let error = log.replay(applied.as_ref(), 3, &mut |_, _| Ok(())).expect_err("what comes next is gone");
        assert_eq!(error.fault(), Fault::Corrupt);
        let expected = format!("holds {held}, but the epoch log begins at epoch 2049");
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

#[test]
fn a_store_of_another_time_is_refused_whatever_its_number() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut log = open(temp.path()).expect("opens").log().expect("log");
    for epoch in 1..=4 {
        append(&mut *log, epoch);
    }
    let third = log.records()[2].clone();
    let replay = |applied: &RecordId, index| log.replay(Some(applied), index, &mut |_, _| Ok(()));
    replay(&third, 2).expect("holds it");
    let error = replay(&record(3), 3).expect_err("the number is right, and the record another");
    assert_eq!(error.fault(), Fault::Corrupt);
    assert!(error.to_string().contains("does not hold that record"), "{error}");
    assert_eq!(replay(&third, 1).expect_err("it is ahead of what is to be restored").fault(), Fault::Corrupt);
}

#[test]
fn a_first_start_that_is_tried_again_replaces_the_log() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let mut log = dir.log().expect("log");
    log.replace(Epoch(1), b"first try").expect("replaces an empty log");
    log.replace(Epoch(1), b"second try").expect("replaces");
    append(&mut *log, 2);
    log.replace(Epoch(1), b"third try").expect("replaces");
    fs::write(temp.path().join("log/replace.tmp"), "a try that died").expect("writes");
    append(&mut *log, 2);
    drop(log);
    let log = dir.log().expect("opens again");
    assert_eq!(epochs(&*log), [1, 2]);
    assert_eq!(log.manifest(0).expect("reads"), "third try");
}

#[test]
fn a_large_record_gets_its_own_segment() {
    let temp = tempfile::tempdir().expect("temp dir");
    let dir = open(temp.path()).expect("opens");
    let mut log = dir.log().expect("log");
    let large = delta(&vec![7; 65 << 20]);
    append(&mut *log, 1);
    log.append(Epoch(2), b"large", std::slice::from_ref(&large), false).expect("appends");
    append(&mut *log, 3);
    drop(log);
    let log = dir.log().expect("opens again");
    assert_eq!(epochs(&*log), [1, 2, 3]);
    assert_eq!(replayed(&*log, 1, 1)[0].1.payload, large.payload);
    assert!(segment(temp.path(), 3).exists());
}

#[test]
fn an_epoch_that_goes_back_is_a_bug() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut log = open(temp.path()).expect("opens").log().expect("log");
    append(&mut *log, 2);
    assert_eq!(log.append(Epoch(2), b"", &[], true).expect_err("a number stands once").fault(), Fault::Bug);
    assert!(log.append(Epoch(3), b"", &[], true).expect_err("is refused").to_string().contains("no more writes"));
}

/// Three records in one segment, and where each begins.
fn three_records(dir: &Path) -> (Vec<u8>, [usize; 3]) {
    let mut log = open(dir).expect("opens").log().expect("log");
    let mut begins = [0; 3];
    for (at, begin) in begins.iter_mut().enumerate() {
        *begin = log.bytes() as usize;
        append(&mut *log, at as u64 + 1);
    }
    (fs::read(segment(dir, 1)).expect("segment"), begins)
}

#[test]
fn a_record_torn_at_any_byte_is_left_out() {
    let temp = tempfile::tempdir().expect("temp dir");
    let (bytes, [_, _, third]) = three_records(temp.path());
    let dir = open(temp.path()).expect("opens");
    for cut in third..bytes.len() {
        for zeros in [0, 1, 5000] {
            let torn = [&bytes[..cut], &vec![0; zeros]].concat();
            fs::write(segment(temp.path(), 1), &torn).expect("tears");
            let mut log = dir.log().expect("a torn tail is no damage");
            // The last bytes of the record happen to be zeros: then nothing is torn.
            let expected: &[u64] = if torn.starts_with(&bytes) { &[1, 2, 3] } else { &[1, 2] };
            assert_eq!(epochs(&*log), expected, "cut at {cut}, then {zeros} zeros");
            assert_eq!(fs::read(segment(temp.path(), 1)).expect("reads"), torn, "opening writes nothing");
            append(&mut *log, 4);
            drop(log);
            assert_eq!(epochs(&*dir.log().expect("opens again")), [expected, &[4]].concat());
        }
    }
}

#[test]
fn a_flipped_bit_is_detected_or_harmless() {
    let temp = tempfile::tempdir().expect("temp dir");
    let (bytes, [_, second, third]) = three_records(temp.path());
    let dir = open(temp.path()).expect("opens");
    for bit in 0..bytes.len() * 8 {
        let at = bit / 8;
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (bit % 8);
        fs::write(segment(temp.path(), 1), &flipped).expect("flips");
        if at >= third {
            // Nobody can tell it from a torn tail; if the marker names epoch 3, the caller refuses to start.
            assert_eq!(epochs(&*dir.log().expect("opens")), [1, 2], "bit {bit}");
            continue;
        }
        let begin = if at < second { 0 } else { second as u64 };
        let error = dir.log().err().expect("is refused");
        assert!(
            matches!(&error, Error::Damaged { path, offset, .. }
                if *offset == begin && *path == segment(temp.path(), 1)),
            "bit {bit}: {error}"
        );
        assert_eq!(error.fault(), Fault::Corrupt);
    }
}

#[test]
fn damage_that_is_no_torn_tail_is_refused() {
    let refused = |damage: &dyn Fn(&Path), reason: &str| {
        let temp = tempfile::tempdir().expect("temp dir");
        let dir = open(temp.path()).expect("opens");
        let mut log = dir.log().expect("log");
        for epoch in 1..=6144 {
            log.append(Epoch(epoch), b"m", &[], false).expect("appends");
        }
        drop(log);
        damage(temp.path());
        let error = dir.log().err().expect("is refused");
        assert_eq!(error.fault(), Fault::Corrupt);
        assert!(error.to_string().contains(reason), "{error} does not contain {reason:?}");
    };
    let shorten = |dir: &Path| {
        let path = segment(dir, 1);
        let bytes = fs::read(&path).expect("reads");
        fs::write(path, &bytes[..bytes.len() - 1]).expect("writes");
    };
    let newer = |dir: &Path| {
        // A header of the version after today's that checks, behind everything else.
        let path = segment(dir, 3);
        let mut bytes = fs::read(&path).expect("reads");
        let mut header = bytes[..44].to_vec();
        header[4] += 1;
        header.extend_from_slice(&crc32c_of(&header).to_le_bytes());
        bytes.extend_from_slice(&header);
        fs::write(path, bytes).expect("writes");
    };
    refused(&shorten, "0000000001.log is damaged at offset 100303: the file ends within a record");
    refused(
        &|dir| fs::remove_file(segment(dir, 2)).expect("removes"),
        "0000000002.log is damaged at offset 0: the segment is missing",
    );
    refused(&newer, "another log format");
    refused(&|dir| fs::rename(segment(dir, 1), segment(dir, 4)).expect("renames"), "its epoch is not younger");
}

/// CRC-32C bit by bit: a second opinion on the crate that the log uses.
fn crc32c_of(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 })
    })
}

#[test]
fn a_full_disk_poisons_the_log_and_tears_no_epoch() {
    if let Some(dir) = child_dir() {
        let mut log = open(&dir).expect("opens").log().expect("log");
        let mut epoch = 1;
        let error = loop {
            match log.append(Epoch(epoch), b"m", &[delta(&[7; 1000])], true) {
                Ok(()) => epoch += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.fault(), Fault::User);
        assert!(error.to_string().contains("failed to append to"), "{error}");
        let again = log.append(Epoch(epoch), b"", &[], false).expect_err("poisoned");
        assert!(again.to_string().contains("takes no more writes after a failed one"), "{again}");
        assert_eq!(log.records().len() as u64, epoch - 1);
        fs::write(dir.join("appended"), (epoch - 1).to_string()).expect("tells the parent");
        return;
    }
    let temp = tempfile::tempdir().expect("temp dir");
    let out = run_limited("log::a_full_disk_poisons_the_log_and_tears_no_epoch", temp.path(), 64);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    let appended: u64 = fs::read_to_string(temp.path().join("appended")).expect("told").parse().expect("a number");
    assert!(appended > 10);
    let torn = fs::metadata(segment(temp.path(), 1)).expect("segment").len();
    assert_eq!(torn % 512, 0, "the limit cut a record in two");
    let mut log = open(temp.path()).expect("opens").log().expect("a torn tail is no damage");
    assert_eq!(log.records().len() as u64, appended);
    append(&mut *log, appended + 1);
    assert_eq!(epochs(&*log).last(), Some(&(appended + 1)));
}
