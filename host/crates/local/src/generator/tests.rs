//! What is made up, always the same, and what its settings do at their ends.

use super::*;

fn options(generator: Generator, count: Option<u64>) -> GenerateOptions {
    GenerateOptions { generator, rate: None, keys: NonZeroU64::new(10).unwrap(), count, bytes: None }
}

/// Every (offset, key, value) from `position` to the end.
fn read(options: GenerateOptions, position: i64) -> Vec<(i64, String, String)> {
    let source = GeneratorSource::new(options);
    let split = SplitState { position, ..source.resolve().unwrap().remove(0) };
    let mut reader = source.open(vec![split]).unwrap();
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let mut all = Vec::new();
    loop {
        match reader.poll(Duration::from_millis(5)).unwrap() {
            Poll::Batch(batch) => {
                assert!(batch.frame.len() <= BATCH_RECORDS);
                let records = batch.frame.records().zip(&batch.origins);
                all.extend(records.map(|(r, o)| (o.offset, text(r.key), text(r.value))));
            }
            Poll::Pending => {}
            Poll::Unreadable(record) => panic!("{record:?}"),
            Poll::Finished => return all,
        }
    }
}

#[test]
fn a_sequence_counts() {
    let all = read(GenerateOptions { bytes: Some(5), ..options(Generator::Sequence, Some(3000)) }, 0);
    assert_eq!(all.len(), 3000);
    assert_eq!(all.last(), Some(&(2999, "9".into(), "02999".into())));
}

#[test]
fn settings_at_their_ends_work() {
    let most = NonZeroU64::new(u64::MAX).unwrap();
    for generator in [Generator::Sequence, Generator::Clicks] {
        let options = options(generator, Some(3));
        for bytes in [0, 1, 65_535, 65_536, 70_000, 3 << 20] {
            let all = read(GenerateOptions { bytes: Some(bytes), ..options }, 0);
            let least = if generator == Generator::Clicks { 200 } else { 1 };
            assert!(all.iter().all(|(_, _, v)| v.len() == (bytes as usize).max(least) || bytes < 300), "{bytes}");
            assert_eq!(all.len(), 3);
        }
        let last = i64::MAX as u64;
        let endless = GenerateOptions { rate: Some(most), keys: most, count: Some(last), ..options };
        assert_eq!(read(endless, i64::MAX - 3).len(), 3);
        assert_eq!(read(GenerateOptions { count: Some(0), ..options }, 0), []);
    }
    let zeros = read(GenerateOptions { bytes: Some(70_000), ..options(Generator::Sequence, Some(1)) }, 0);
    assert!(zeros[0].2.bytes().all(|b| b == b'0'));
}

#[test]
fn the_record_at_an_offset_is_always_the_same() {
    for (_, generator) in Generator::ALL {
        let all = read(options(generator, Some(2500)), 0);
        assert_eq!(read(options(generator, Some(2500)), 1234), all[1234..]);
    }
    let first = &read(options(Generator::Clicks, Some(1)), 0)[0];
    let pinned = "{\"user_id\":\"user-5\",";
    assert!(first.2.starts_with(pinned), "{} is pinned: goldens depend on it", first.2);
}

#[test]
fn clicks_are_json_of_the_size_asked_for() {
    let all = read(options(Generator::Clicks, Some(1000)), 0);
    let mut dear = 0;
    for (offset, key, value) in &all {
        let click: serde_json::Value = serde_json::from_str(value).unwrap();
        assert_eq!(click["user_id"], key.as_str());
        assert_eq!(click["sequence"], *offset);
        assert_eq!((value.len(), click.as_object().unwrap().len()), (clicks::BYTES, 12));
        dear += usize::from(click["price"].as_f64().unwrap() >= 50.0);
    }
    assert!((400..600).contains(&dear), "about half cost 50 or more, not {dear} of 1000");
}

/// The pinned one says that figures of today and of tomorrow are of the same events.
#[test]
fn nexmark_is_persons_auctions_and_bids_at_their_times() {
    let all = read(options(Generator::Nexmark, Some(5000)), 0);
    let events: Vec<serde_json::Value> = all.iter().map(|(_, _, value)| serde_json::from_str(value).unwrap()).collect();
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!(["person", "auction", "bid"].map(count), [100, 300, 4600]);
    for (event, (offset, key, _)) in events.iter().zip(&all) {
        let number = &event[if event["type"] == "bid" { "auction" } else { "id" }];
        assert_eq!(*key, number.to_string());
        assert_eq!(event["date_time"], 1_760_000_000_000 + (*offset + 5) / 10, "{offset}");
    }
    let source = GeneratorSource::new(options(Generator::Nexmark, Some(1)));
    let split = source.resolve().unwrap();
    let Poll::Batch(batch) = source.open(split).unwrap().poll(Duration::ZERO).unwrap() else { panic!("a record") };
    assert_eq!(batch.frame.records().next().unwrap().timestamp_ms, 1_760_000_000_000);
    let pinned = r#"{"type":"bid","auction":1000,"bidder":1001,"price":73134520,"channel":"channel-7568","url":"https://www.nexmark.com/rswp/bsu/_gzj/item.htm?query=1&channel_id=163053568","date_time":1760000000000,"extra":"tjegpemlelrhcglaovelrtxwcwcintpbwbhwemkngirkduwbqfbwmnrtegvmrittzvxgswwdln"}"#;
    assert_eq!(all[4].2, pinned);
}

#[test]
fn a_rate_is_kept() {
    let rate = NonZeroU64::new(1000).unwrap();
    let pace = Pace { rate, since: Instant::now(), given: 10 };
    assert_eq!(pace.due(Duration::from_millis(10)), 0);
    assert_eq!(pace.due(Duration::from_millis(15)), 5);
    assert!(pace.until_next(Duration::from_millis(10)) > Duration::from_micros(999));
    let began = Instant::now();
    assert_eq!(read(GenerateOptions { rate: Some(rate), ..options(Generator::Sequence, Some(100)) }, 0).len(), 100);
    assert!(began.elapsed() >= Duration::from_millis(100));
}
