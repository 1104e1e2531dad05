//! Bytes of a plugin that are cut short or changed: whatever they are, an answer and no panic.

use std::path::Path;
use std::sync::OnceLock;

use proptest::prelude::*;
use weir_core::Fault;
use weir_plugin::{Limits, Runtime};

use crate::module::{self, Shelf};

/// The misbehaving guest in both of its forms.
fn forms() -> &'static [Vec<u8>; 2] {
    static FORMS: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    FORMS.get_or_init(|| {
        let module = module::module(&module::guest(module::DESCRIPTION), &module::contract());
        let component = module::component(&module);
        [module, component]
    })
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(module::runtime)
}

/// Loads it, by both ways. A refusal is the file's fault, in words.
fn answer(file: &Path) -> Result<(), String> {
    drop(runtime().inspect(file));
    let Err(error) = runtime().load(file, Limits::default()) else { return Ok(()) };
    assert_eq!(error.fault(), Fault::Config, "{error}");
    Err(error.to_string())
}

#[test]
fn a_file_cut_at_any_length_is_refused() {
    const WORDS: [&str; 7] =
        ["is empty", "\\0asm", "version of the binary", "cut short", "incomplete", "without WIT", "is no operator"];
    let shelf = Shelf::new();
    for form in forms() {
        let refusals = (0..form.len()).map(|length| (length, answer(&shelf.put(&form[..length]))));
        // Without the names of its tools, which come last, a component is as good.
        let mut whole = 0;
        for (length, refusal) in refusals {
            match refusal {
                Err(text) => {
                    assert!(WORDS.iter().any(|word| text.contains(word)), "{length} of {}: {text}", form.len())
                }
                Ok(()) => whole += 1,
            }
        }
        assert!(whole <= 2, "{whole} prefixes of {} bytes run", form.len());
        answer(&shelf.put(form)).unwrap();
    }
}

#[test]
fn a_file_that_goes_on_too_long_is_refused() {
    let shelf = Shelf::new();
    for form in forms() {
        let refusal = answer(&shelf.put([form, &b"more"[..]].concat())).unwrap_err();
        assert!(refusal.contains("cut short or damaged"), "{refusal}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Anywhere, and most of all in the WIT, which is read by code that expects no damage.
    #[test]
    fn changed_bytes_get_an_answer(
        form in 0..2usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = forms()[form].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        drop(answer(&Shelf::new().put(bytes)));
    }

    #[test]
    fn changed_wit_gets_an_answer(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut module = forms()[0].clone();
        let wit = module.windows(14).position(|bytes| bytes == b"component-type").unwrap();
        let at = wit + 14 + at.index(module.len() - wit - 14);
        module[at] ^= 1 << bit;
        drop(answer(&Shelf::new().put(module)));
    }
}
