//! The golden cases, run natively; the host's tests run the same ones against the wasm.

#[test]
fn golden() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    weir_sdk::testing::golden::check::<convert::Convert>(cases).unwrap();
}
