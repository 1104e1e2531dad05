//! A plugin's file: read, wrapped into a component where it is a core module, compiled.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;
use weir_core::Digest;
use wit_component::ComponentEncoder;

use crate::error::Error;
use crate::world;

/// What the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A component.
    Component,
    /// A core module that carries its WIT; the host wraps it.
    CoreModule,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Component => "component",
            Self::CoreModule => "core module with WIT",
        })
    }
}

/// A compiled file that nobody has checked yet.
pub(crate) struct Artifact {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: usize,
    pub(crate) digest: Digest,
    pub(crate) form: Form,
    pub(crate) component: Component,
}

impl Artifact {
    pub(crate) fn load(engine: &Engine, path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let digest = Digest(blake3::hash(&bytes).to_hex().to_string());
        let (form, binary) = component(path, &bytes)?;
        let component = Component::from_binary(engine, &binary)
            .map_err(|e| Error::Compile { path: path.to_owned(), source: e.into() })?;
        Ok(Self { path: path.to_owned(), size_bytes: bytes.len(), digest, form, component })
    }
}

/// The file as a component. Bytes 4..8 of WebAssembly are its layer: 1 a core module, 0x1000d a component.
fn component<'a>(path: &Path, bytes: &'a [u8]) -> Result<(Form, Cow<'a, [u8]>), Error> {
    let not_wasm = |found| Error::NotWasm { path: path.to_owned(), found };
    match (bytes.get(..4), bytes.get(4..8)) {
        (Some(b"\0asm"), Some([0x01, 0, 0, 0])) => Ok((Form::CoreModule, Cow::Owned(wrap(path, bytes)?))),
        (Some(b"\0asm"), Some([_, 0, 1, 0])) => Ok((Form::Component, Cow::Borrowed(bytes))),
        (Some(b"\0asm"), Some(_)) => Err(not_wasm("has a version of the binary format that this host does not know")),
        (Some(b"\x7fELF"), _) => Err(not_wasm("is a native program or precompiled code")),
        _ if bytes.is_empty() => Err(not_wasm("is empty")),
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            Err(not_wasm("is WebAssembly text, which must be assembled"))
        }
        _ => Err(not_wasm("does not begin with the bytes \"\\0asm\"")),
    }
}

fn wrap(path: &Path, module: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Wrap {
        path: path.to_owned(),
        cure: if chain_names(source.as_ref(), "wasi_snapshot_preview1") {
            world::WASI_CURE
        } else {
            "rebuild it with the plugin SDK or with wit-bindgen"
        },
        source,
    };
    let (stripped, _) = wit_component::metadata::decode(module).map_err(|e| failed(e.into()))?;
    if stripped.is_none() {
        return Err(Error::NoWit { path: path.to_owned() });
    }
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| failed(e.into()))
}

fn chain_names(error: &(dyn std::error::Error + 'static), word: &str) -> bool {
    std::iter::successors(Some(error), |e| e.source()).any(|e| e.to_string().contains(word))
}
