//! `wit/operator-packed.component-type` is the world of `wit/` in binary, for plugins that no binding generator serves:
//! they carry it as a custom section. It must say what `wit/` says. `BLESS=1 cargo test` writes it anew.

use std::path::Path;

use wit_component::StringEncoding;
use wit_parser::Resolve;

#[test]
fn the_component_type_is_the_world_of_wit() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&wit).unwrap();
    let world = resolve.select_world(&[package], Some("operator-packed")).unwrap();
    let encoded = wit_component::metadata::encode(&resolve, world, StringEncoding::UTF8, None).unwrap();
    let file = wit.join("operator-packed.component-type");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &encoded).unwrap();
    }
    assert!(std::fs::read(&file).unwrap() == encoded, "stale: run this test with BLESS=1");
}
