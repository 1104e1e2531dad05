//! What is read of a file, and which file is no longer the one that was read.

use std::fs;

use weir_core::Fault;

use super::*;

fn source(content: &[u8]) -> (tempfile::TempDir, FileSource) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines.txt");
    fs::write(&path, content).unwrap();
    (dir, FileSource::new(path, LineFormat::Value))
}

/// Every (offset, value) from `splits` on, and where that ends.
fn read(source: &FileSource, splits: Vec<SplitState>) -> (Vec<(i64, Vec<u8>)>, SplitState) {
    let mut reader = source.open(splits).unwrap();
    let mut all = Vec::new();
    while let Poll::Batch(batch) = reader.poll(Duration::ZERO).unwrap() {
        let values = batch.frame.records().map(|r| r.value.unwrap().to_vec());
        all.extend(batch.origins.iter().map(|o| o.offset).zip(values));
    }
    (all, reader.snapshot().remove(0))
}

#[test]
fn any_position_can_be_read_from_again() {
    let content = b"one\n\nthree\nlast";
    let (_dir, source) = source(content);
    let first = source.resolve().unwrap();
    let (all, end) = read(&source, first.clone());
    assert_eq!(all.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 4, 5, 11]);
    assert!(end.is_finished() && end.position == content.len() as i64);
    for (index, (position, _)) in all.iter().enumerate() {
        let split = SplitState { position: *position, ..first[0].clone() };
        assert_eq!(read(&source, vec![split]).0, all[index..]);
    }
    assert_eq!(read(&source, vec![end]).0, []);
}

#[test]
fn what_is_appended_later_is_not_read() {
    let (_dir, source) = source(b"a\n");
    let first = source.resolve().unwrap();
    fs::write(&source, b"a\nb\n").unwrap();
    assert_eq!(read(&source, first).0, [(0, b"a".to_vec())]);
}

#[test]
fn a_file_that_changed_is_refused() {
    let (_dir, source) = source(b"aa\nbb\n");
    let split = |position| vec![SplitState { position, ..source.resolve().unwrap().remove(0) }];
    let (middle, all, done) = (split(2), split(0), split(6));
    for (content, splits, wanted) in [
        (&b"aa\nbb\n"[..], &middle, "no line begins there"),
        (b"aa\n", &all, "it now has 3 bytes"),
        (b"aa\nbc\n", &all, "other bytes stand there now"),
        (b"xx\nbb\ncc\n", &done, "other bytes stand there now"),
        (b"aa\nb\ncc\n", &done, "other bytes stand there now"),
    ] {
        fs::write(&source, content).unwrap();
        // In place or by a later start.
        for error in [
            source.open(splits.clone()).map(drop),
            source.resume(splits.clone()).and_then(|s| source.open(s)).map(drop),
        ] {
            let error = error.unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
            assert_eq!(error.fault(), Fault::Corrupt);
        }
    }
}

#[test]
fn another_file_of_that_name_is_refused_a_copy_of_it_is_not() {
    let (dir, source) = source(b"2026-01-01 a\n2026-01-01 b\n");
    let (_, end) = read(&source, source.resolve().unwrap());
    let new = dir.path().join("new");
    for (content, rest) in [
        (&b"2026-01-02 c\n2026-01-02 d\n2026-01-02 e\n"[..], None),
        (b"2026-01-02 c\n2026-01-02 d\n", None),
        (b"2026-01-01 a\n2026-01-01 b\n", Some(&[][..])),
        (b"2026-01-01 a\n2026-01-01 b\nc\n", Some(&[(26, b"c".to_vec())][..])),
    ] {
        fs::write(&new, content).unwrap();
        fs::rename(&new, &source).unwrap();
        let resumed = source.resume(vec![end.clone()]);
        assert_eq!(resumed.ok().map(|splits| read(&source, splits).0).as_deref(), rest);
    }
}

#[test]
fn a_path_is_known_however_it_is_written() {
    let (dir, source) = source(b"a\n");
    let path = |path: PathBuf| SplitId::new(path.to_string_lossy().as_ref(), 0);
    let own = source.resolve().unwrap().remove(0).split;
    assert_eq!(source.recognise(&own), Some(own.clone()));
    fs::hard_link(&source, dir.path().join("hard")).unwrap();
    for same in [dir.path().join(".").join("lines.txt"), dir.path().join("hard")] {
        assert_eq!(source.recognise(&path(same)), Some(own.clone()));
    }
    fs::write(dir.path().join("other.txt"), "").unwrap();
    assert_eq!(source.recognise(&path(dir.path().join("other.txt"))), None);
    assert_eq!(source.recognise(&path(dir.path().join("missing.txt"))), None);
}

#[test]
fn a_last_line_that_had_no_end_is_read_again_if_it_grew() {
    let long = "x".repeat(3 * BACK_BYTES as usize);
    for (first, then, wanted) in [
        ("a\nb".to_owned(), "a\nb".to_owned(), vec![]),
        ("a\nb".to_owned(), "a\nb\n".to_owned(), vec![]),
        ("a\nb".to_owned(), "a\nb\nc\n".to_owned(), vec!["c".to_owned()]),
        ("a\nb".to_owned(), "a\nbb\nc".to_owned(), vec!["bb".to_owned(), "c".to_owned()]),
        ("a".to_owned(), "ab".to_owned(), vec!["ab".to_owned()]),
        (format!("a\n{long}"), format!("a\n{long}y\n"), vec![format!("{long}y")]),
        (String::new(), "a\n".to_owned(), vec!["a".to_owned()]),
    ] {
        let (_dir, source) = source(first.as_bytes());
        let (_, end) = read(&source, source.resolve().unwrap());
        fs::write(&source, then).unwrap();
        let (all, now) = read(&source, source.resume(vec![end]).unwrap());
        let values: Vec<String> = all.into_iter().map(|(_, value)| String::from_utf8(value).unwrap()).collect();
        assert!(values == wanted, "{} lines", values.len());
        assert!(now.is_finished());
    }
}

#[test]
fn a_file_that_is_written_anew_while_it_is_read_is_noticed() {
    let lines = b"a line\n".repeat(3000);
    for (anew, wanted) in [(&b"b\n"[..], "it now has 2 bytes"), (&b"other \n".repeat(4000)[..], "written anew")] {
        let (_dir, source) = source(&lines);
        let mut reader = source.open(source.resolve().unwrap()).unwrap();
        assert!(matches!(reader.poll(Duration::ZERO).unwrap(), Poll::Batch(_)));
        fs::write(&source, anew).unwrap();
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        reader.verify(Box::new(move |verified| answer.send(verified).unwrap()));
        let error = answered.recv().unwrap().unwrap_err();
        assert!(error.to_string().contains(wanted), "nothing of it holds: {error}");
        let error = loop {
            match reader.poll(Duration::ZERO) {
                Ok(Poll::Batch(_)) => {}
                Ok(other) => panic!("{other:?}"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains(wanted), "{error}");
        assert_eq!(error.fault(), Fault::Corrupt);
    }
}

#[test]
fn state_without_an_identity_goes_on() {
    let (_dir, source) = source(b"aa\nbb\n");
    let split = SplitState { position: 3, identity: None, ..source.resolve().unwrap().remove(0) };
    let (all, now) = read(&source, vec![split.clone()]);
    assert_eq!(all, [(3, b"bb".to_vec())]);
    assert!(now.is_finished());
    let foreign = SplitState { identity: Some("AbCd".into()), ..split };
    assert!(source.open(vec![foreign]).is_err(), "an identity of no file");
}

#[test]
fn what_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = FileSource::new(dir.path().join("missing"), LineFormat::Value).discover().unwrap_err();
    assert!(missing.to_string().contains("missing; check its path"), "{missing}");
    let folder = FileSource::new(dir.path(), LineFormat::Value).resolve().unwrap_err();
    assert!(folder.to_string().contains("is no regular file"), "{folder}");
    let foreign = vec![SplitState { split: SplitId::new("x", 0), position: 0, end: None, identity: None, term: None }];
    let (_dir, source) = source(b"");
    assert_eq!(source.open(foreign).map(drop).unwrap_err().fault(), Fault::Corrupt);
}
