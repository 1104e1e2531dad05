//! A core module becomes a component, by the WIT that it carries.
//!
//! The component tools take a module on trust: they slice by the lengths that it states, and order the packages of its
//! WIT by a recursion that ends only if these do not need each other. Both are checked before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;
use wit_parser::decoding;

use crate::error::{Cause, Error};
use crate::world;

/// Wraps a core module, which must be valid.
pub(crate) fn module(path: &Path, module: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |source: Cause| Error::Wrap {
        path: path.to_owned(),
        cure: if chain_names(source.as_ref(), "wasi_snapshot_preview1") {
            world::WASI_CURE
        } else {
            "rebuild it with the plugin SDK or with wit-bindgen"
        },
        source,
    };
    match encode(module).map_err(failed)? {
        Some(component) => Ok(component),
        None => Err(Error::NoWit { path: path.to_owned() }),
    }
}

/// `None`: it carries no WIT.
fn encode(module: &[u8]) -> Result<Option<Vec<u8>>, Cause> {
    check_packages(module)?;
    let (stripped, _) = wit_component::metadata::decode(module)?;
    if stripped.is_none() {
        return Ok(None);
    }
    let mut encoder = ComponentEncoder::default().validate(true).module(module)?;
    Ok(Some(encoder.encode()?))
}

/// Packages that need each other, in a circle, would be ordered for ever.
fn check_packages(module: &[u8]) -> Result<(), Cause> {
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        let Payload::CustomSection(section) = payload? else { continue };
        if !section.name().starts_with("component-type") {
            continue;
        }
        let (resolve, _) = decoding::decode_world(section.data())?;
        let name = |id| resolve.packages.get(id).map(|package| package.name.to_string());
        for (id, package) in resolve.packages.iter() {
            let needed = needs.entry(package.name.to_string()).or_default();
            needed.extend(resolve.package_direct_deps(id).filter_map(name));
        }
    }
    while let Some(free) = needs.iter().find(|(_, needed)| needed.is_empty()).map(|(name, _)| name.clone()) {
        needs.remove(&free);
        for needed in needs.values_mut() {
            needed.remove(&free);
        }
    }
    match needs.into_keys().reduce(|all, name| all + ", " + &name) {
        Some(circle) => Err(format!("its WIT is damaged: packages need each other in a circle: {circle}").into()),
        None => Ok(()),
    }
}

fn chain_names(error: &(dyn std::error::Error + 'static), word: &str) -> bool {
    std::iter::successors(Some(error), |e| e.source()).any(|e| e.to_string().contains(word))
}
