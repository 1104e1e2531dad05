//! The golden cases, run natively. The host's tests run the same ones against the wasm.

#[test]
fn golden() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    weir_sdk::testing::golden::check_windows::<window_count::WindowCount>(cases, 10_000).unwrap();
}
