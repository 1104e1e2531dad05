//! `wit/operator-packed.component-type`, `timers-packed`, `aggregate-packed` and `timestamps-packed` beside it are the worlds of `wit/` in binary, for
//! plugins that no binding generator serves: they carry one as a custom section. They must say what `wit/` says.
//! `BLESS=1 cargo test` writes them anew.

use std::path::Path;

use wit_component::StringEncoding;
use wit_parser::Resolve;

#[test]
fn the_component_types_are_the_worlds_of_wit() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&wit).unwrap();
    for name in ["operator-packed", "timers-packed", "aggregate-packed", "timestamps-packed"] {
        let world = resolve.select_world(&[package], Some(name)).unwrap();
        let encoded = wit_component::metadata::encode(&resolve, world, StringEncoding::UTF8, None).unwrap();
        let file = wit.join(format!("{name}.component-type"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, &encoded).unwrap();
        }
        assert!(std::fs::read(&file).unwrap() == encoded, "{name} is stale: run this test with BLESS=1");
    }
}
