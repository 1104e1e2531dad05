//! A plugin's file: read, wrapped into a component where it is a core module, compiled.
//!
//! Its bytes are anybody's. What no reader here is hardened against is checked before it reads.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use wasmparser::{Validator, WasmFeatures};
use wasmtime::Engine;
use wasmtime::component::Component;
use weir_core::Digest;

use crate::compile;
use crate::error::Error;
use crate::wrap;

/// The largest file that is read; the largest plugin seen (Python) has 18 MB.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Form {
    /// A component.
    #[serde(rename = "component")]
    Component,
    /// A core module that carries its WIT; the host wraps it.
    #[serde(rename = "core module with WIT")]
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
        let bytes = read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let digest = Digest(blake3::hash(&bytes).to_hex().to_string());
        let (form, binary) = component(path, &bytes)?;
        let component = compile::component(engine, path, &binary).map_err(|e| refused(path, &binary, e))?;
        Ok(Self { path: path.to_owned(), size_bytes: bytes.len(), digest, form, component })
    }
}

/// The whole file; not more than a plugin can have, since a path may name something without an end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// Why the compiler does not take it: bytes that are no WebAssembly at all, or a proposal that is switched off.
fn refused(path: &Path, binary: &[u8], error: wasmtime::Error) -> Error {
    match check(path, binary) {
        Err(damaged) => damaged,
        Ok(()) => Error::Compile { path: path.to_owned(), source: error.into() },
    }
}

/// Whether the bytes are whole and valid, whatever proposals they use.
fn check(path: &Path, binary: &[u8]) -> Result<(), Error> {
    let valid = Validator::new_with_features(WasmFeatures::all()).validate_all(binary);
    valid.map(drop).map_err(|e| Error::Damaged { path: path.to_owned(), source: e.into() })
}

/// The file as a component. Bytes 4..8 of WebAssembly are its layer: 1 a core module, 0x1000d a component.
fn component<'a>(path: &Path, bytes: &'a [u8]) -> Result<(Form, Cow<'a, [u8]>), Error> {
    let not_wasm = |found| Error::NotWasm { path: path.to_owned(), found };
    match (bytes.get(..4), bytes.get(4..8)) {
        (Some(b"\0asm"), Some([0x01, 0, 0, 0])) => {
            check(path, bytes)?;
            Ok((Form::CoreModule, Cow::Owned(wrap::module(path, bytes)?)))
        }
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
