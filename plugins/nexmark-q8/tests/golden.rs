//! The golden cases, run natively. The host's tests run the same ones against the wasm.

use weir_sdk::testing::{WindowKind, golden};

#[test]
fn golden() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    golden::check_windows::<nexmark_q8::NewSellers>(cases, WindowKind::Tumbling(10_000)).unwrap();
}
