//! Makes plugin files: a module by hand, with the WIT of `wit/` or another one embedded.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use weir_plugin::{CodeCache, Runtime};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

pub(crate) const DESCRIPTION: &str = r#"{"name":"misbehaving","version":"1.2.3","outputs":["a","b"],
    "tables":[{"name":"seen","kind":"value","schema":"u32"}]}"#;

/// A host that compiles anew each time.
pub(crate) fn runtime() -> Runtime {
    Runtime::new(&CodeCache::Off).unwrap()
}

/// A directory of plugin files.
pub(crate) struct Shelf(TempDir);

impl Shelf {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// A file with these bytes.
    pub(crate) fn put(&self, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join("plugin.wasm");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The misbehaving guest.
    pub(crate) fn misbehaving(&self) -> PathBuf {
        self.put(module(&guest(DESCRIPTION), &contract()))
    }
}

/// The text of the misbehaving guest that describes itself so.
pub(crate) fn guest(description: &str) -> String {
    include_str!("misbehaving.wat")
        .replace("DESCRIPTION", &description.replace('"', "\\\"").replace('\n', "\\n"))
        .replace("LENGTH", &description.len().to_string())
}

/// The repository's own WIT and its packed world.
pub(crate) fn contract() -> (Resolve, String) {
    let mut resolve = Resolve::default();
    resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../wit")).unwrap();
    (resolve, "weir:operator/operator-packed".to_owned())
}

/// Some other WIT, whose world is `package/world`.
pub(crate) fn other(wit: &str, world: &str) -> (Resolve, String) {
    let mut resolve = Resolve::default();
    resolve.push_str("other.wit", wit).unwrap();
    (resolve, world.to_owned())
}

/// A core module with WIT embedded.
pub(crate) fn module(text: &str, (resolve, world): &(Resolve, String)) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let packages: Vec<_> = resolve.packages.iter().map(|(id, _)| id).collect();
    let world = resolve.select_world(&packages, Some(world)).unwrap();
    wit_component::embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// The component that a tool chain would make of a module.
pub(crate) fn component(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default().validate(true).module(module).unwrap().encode().unwrap()
}
