//! The golden cases, run natively; the host's tests run the same ones against the wasm. And that keys are forgotten.

use dedupe::Dedupe;
use weir_sdk::testing::{Harness, Message};

#[test]
fn golden() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    weir_sdk::testing::golden::check::<Dedupe>(cases).unwrap();
}

#[test]
fn a_key_is_forgotten_when_its_time_is_over() {
    let mut dedupe = Harness::<Dedupe>::new(r#"{"within-ms": 100}"#).unwrap();
    let at = |timestamp| Message::new("a", "x").with_timestamp(timestamp);
    // The second is let through before the timer of the first has fired.
    assert_eq!(dedupe.process(&[at(1_000), at(1_100)]).unwrap().len(), 2);
    assert_eq!(dedupe.timers(b"a"), [1_200]);
    assert_eq!(dedupe.advance(1_199).unwrap(), []);
    assert!(dedupe.state("first", b"a").is_some());
    assert_eq!(dedupe.advance(1_200).unwrap(), []);
    assert_eq!((dedupe.state("first", b"a"), dedupe.timers(b"a").len()), (None, 0));
}
