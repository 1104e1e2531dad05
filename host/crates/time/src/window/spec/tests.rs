//! Windows as users write them.

use super::*;

fn table(text: &str) -> Result<WindowSpec, ParseError> {
    let pairs = text.split(", ").map(|pair| pair.split_once(" = ").unwrap());
    WindowSpec::from_table(&pairs.map(|(word, text)| (word.to_owned(), text.to_owned())).collect())
}

#[test]
fn what_is_shown_is_read() {
    for text in [
        "tumbling:10s",
        "tumbling:1day",
        "tumbling:1day@Europe/Berlin",
        "tumbling:3month@UTC",
        "sliding:1h/1m",
        "session:30s",
        "count:100",
        "global:count=100",
        "global:every=10s",
    ] {
        let spec: WindowSpec = text.parse().unwrap();
        assert_eq!(spec.to_string(), text);
        assert_eq!(spec.to_string().parse(), Ok(spec));
    }
}

#[test]
fn flag_and_table_are_one_spelling() {
    let spec: WindowSpec = "sliding:1h/1min".parse().unwrap();
    assert_eq!(table("sliding = 1h/1min"), Ok(spec.clone()));
    assert_eq!(spec.kind, Kind::Sliding(Panes::new(3_600_000, 60_000, 0).unwrap()));
    let firing = Firing { lateness_ms: 5_000, early_every_ms: Some(1_000) };
    let full = table("tumbling = 10s, offset = 2s, allowed-lateness = 5s, early-every = 1s, time = event").unwrap();
    assert_eq!(
        full,
        WindowSpec { kind: Kind::Tumbling(Fixed::new(10_000, 2_000).unwrap()), domain: TimeDomain::Event, firing }
    );
    assert_eq!("tumbling:10s, offset=2s,allowed-lateness=5s,early-every=1s,time=event".parse(), Ok(full));
    assert_eq!("tumbling:1day@UTC,early-every=1min".parse(), table("tumbling = 1day, zone = UTC, early-every = 1min"));
    assert_eq!(table("count = 7, time = processing").map(|spec| spec.domain), Ok(TimeDomain::Processing));
}

#[test]
fn what_cannot_be_is_refused_in_a_sentence() {
    let kinds = "is none of tumbling:10s, sliding:1h/1min, session:30s, count:100, global:count=100, global:every=10s";
    for (text, message) in [
        ("", format!("\"\" {kinds}")),
        ("hopping:1s", format!("\"hopping:1s\" {kinds}")),
        ("sliding:1h", format!("\"sliding:1h\" {kinds}")),
        ("global:10s", format!("\"global:10s\" {kinds}")),
        ("tumbling:0s", "a window must be longer than nothing".to_owned()),
        ("tumbling:100years", "tumbling: \"100years\" is longer than 90 years".to_owned()),
        ("tumbling:5us", "tumbling: \"5us\" is not a whole number of milliseconds".to_owned()),
        ("tumbling:ten", "tumbling: \"ten\" is not a duration like 100ms, 15s or 2min".to_owned()),
        (
            "tumbling:1month",
            "\"1month\" has no fixed length: say in which zone, as in zone = \"Europe/Berlin\"".to_owned(),
        ),
        ("tumbling:36h@UTC", "\"36h\" with a zone must be whole days, weeks or months".to_owned()),
        ("tumbling:0day@UTC", "a window must be longer than nothing".to_owned()),
        ("tumbling:1day@Bonn", "\"Bonn\" is no time zone like Europe/Berlin or UTC".to_owned()),
        ("session:1s@UTC", "zone means nothing for session windows".to_owned()),
        ("session:0s", "the gap of a session must be longer than nothing".to_owned()),
        ("count:0", "a window must be longer than nothing".to_owned()),
        ("count:-1", "\"-1\" is not a number of records".to_owned()),
        ("tumbling:1s,early", "\"early\" is no WORD=TEXT, as in early-every=1s".to_owned()),
        ("tumbling:1s,offset=1ms,offset=2ms", "offset is given twice".to_owned()),
        ("tumbling:1day@UTC,zone=UTC", "zone is given twice".to_owned()),
        (
            "tumbling:1s,session=1s",
            "a window is one of tumbling, sliding, session, count and global; here are 2".to_owned(),
        ),
        ("sliding:1s/0s", "the span between two windows must be longer than nothing".to_owned()),
    ] {
        assert_eq!(text.parse::<WindowSpec>().map_err(|error| error.to_string()), Err(message), "{text:?}");
    }
    for (text, message) in [
        ("zone = UTC", "a window is one of tumbling, sliding, session, count and global; here are 0"),
        ("count = 1, session = 1s", "a window is one of tumbling, sliding, session, count and global; here are 2"),
        ("count = 1, offset = 1s", "offset means nothing for count windows"),
        ("count = 1, allowed-lateness = 1s", "allowed-lateness means nothing for count windows"),
        (
            "tumbling = 1s, time = processing, allowed-lateness = 1s",
            "allowed-lateness means nothing for tumbling windows",
        ),
        ("global = count=1, early-every = 1s", "early-every means nothing for global windows"),
        ("count = 1, early-every = 1s", "early-every means nothing for count windows"),
        ("tumbling = 1s, early-every = 0s", "early-every must be longer than nothing"),
        ("tumbling = 1s, offset = 1s", "an offset of 1000 ms must be less than the 1000 ms between two windows"),
        ("tumbling = 1s, time = now", "\"now\" is none of event, processing"),
    ] {
        assert_eq!(table(text).map_err(|error| error.to_string()), Err(message.to_owned()), "{text:?}");
    }
    assert!(matches!(table("tumbling = 1s, lateness = 5s"), Err(ParseError::Word { .. })));
    assert_eq!("sliding:1h/1min,early-every=1s".parse::<WindowSpec>(), Err(ParseError::EarlySliding));
}
