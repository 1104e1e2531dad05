//! Files that are no plugin: each refusal names the file, what is wrong and what to do.

use std::path::Path;

use weir_core::Fault;
use weir_plugin::Limits;

use crate::module::{self, Shelf};

fn refused(file: &Path) -> String {
    let error = module::runtime().load(file, Limits::default()).err().expect("refused");
    assert_eq!(error.fault(), Fault::Config, "{error}");
    let text = error.to_string();
    assert!(text.contains(&file.display().to_string()), "names the file: {text}");
    text
}

#[track_caller]
fn check(bytes: impl AsRef<[u8]>, expected: &str) {
    let text = refused(&Shelf::new().put(bytes));
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_file_that_is_not_there() {
    assert!(refused(Path::new("/no/such/plugin.wasm")).contains("check the path"));
    assert!(refused(Path::new("/")).contains("failed to read plugin"));
}

#[test]
fn a_file_that_is_not_wasm() {
    check("", "is empty");
    check("#!/bin/sh\n", "does not begin with the bytes");
    check("(module)", "is WebAssembly text");
    check(b"\x7fELF\x02\x01", "is a native program");
    check(b"\0asm\x02\0\0\0", "has a version of the binary format");
    check(b"\0asm\x0d\0\x01\0garbage", "is cut short or damaged");
}

#[test]
fn a_feature_that_is_switched_off() {
    let text = "(component (core module (memory i64 1)))";
    check(wat::parse_str(text).unwrap(), "uses WebAssembly features that this host does not run");
}

#[test]
fn a_file_without_an_end() {
    assert!(refused(Path::new("/dev/zero")).contains("failed to read plugin"));
}

#[test]
fn a_module_without_wit() {
    check(wat::parse_str("(module)").unwrap(), "is a core module without WIT");
}

#[test]
fn another_version_of_the_contract() {
    let wit = "package weir:operator@0.2.0;
        interface plugin { describe: func() -> string; }
        world w { export plugin; }";
    let text = r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "weir:operator/plugin@0.2.0#describe") (result i32) unreachable))"#;
    check(
        module::module(text, &module::other(wit, "weir:operator/w")),
        "it has weir:operator/plugin@0.2.0, this host runs weir:operator/plugin@0.1.0",
    );
}

#[test]
fn a_patch_of_the_contract_runs() {
    let text = module::guest(module::DESCRIPTION).replace("@0.1.0", "@0.1.7");
    let (_, world) = module::contract();
    let wit = WIT.replace("@0.1.0", "@0.1.7");
    let file = Shelf::new();
    let path = file.put(module::module(&text, &module::other(&wit, &world)));
    module::runtime().load(&path, Limits::default()).unwrap();
}

#[test]
fn a_missing_export() {
    let wit = "package a:b; interface i { f: func(); } world w { export i; }";
    let text = r#"(module (func (export "a:b/i#f")))"#;
    check(module::module(text, &module::other(wit, "a:b/w")), "does not export weir:operator/plugin@0.1.0, only a:b/i");
}

#[test]
fn an_import_that_is_not_granted() {
    for (import, expected) in [("wasi:clocks/now", "--stub-wasi"), ("my:clock/now", "remove the import")] {
        let (package, interface) = import.split_once('/').unwrap();
        let wit = format!("{WIT}\nworld greedy {{ include operator-packed; import {import}@1.0.0; }}");
        let own = format!("package {package}@1.0.0; interface {interface} {{ tell: func(); }}");
        let mut resolve = module::other(&own, "").0;
        resolve.push_str("greedy.wit", &wit).unwrap();
        let call = format!(r#"(import "{import}@1.0.0" "tell" (func)) (memory (export "memory") 2)"#);
        let text = module::guest(module::DESCRIPTION).replace(r#"(memory (export "memory") 2)"#, &call);
        let text = refused(&Shelf::new().put(module::module(&text, &(resolve, "weir:operator/greedy".to_owned()))));
        assert!(text.contains(&format!("imports {import}@1.0.0, which is not granted")), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn other_types_under_the_right_name() {
    let wit = WIT.replace("describe: func() -> string", "describe: func() -> list<u8>");
    let guest = module::guest(module::DESCRIPTION);
    check(
        module::module(&guest, &module::other(&wit, "weir:operator/operator-packed")),
        "has function describe with other types than weir:operator@0.1.0",
    );
    let wit = WIT.replace("emit: func(output: u32,", "emit: func(output: s32,");
    check(
        module::module(&guest, &module::other(&wit, "weir:operator/operator-packed")),
        "has an import with other types than weir:operator@0.1.0",
    );
}

#[test]
fn wasi_of_the_first_preview() {
    let import = r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32))) (memory (export "memory") 2)"#;
    let text = module::guest(module::DESCRIPTION).replace(r#"(memory (export "memory") 2)"#, import);
    check(module::module(&text, &module::contract()), "grants nothing of WASI");
}

#[test]
fn a_description_that_is_none() {
    let text = module::guest(r#"{"name":"no version"}"#);
    check(module::module(&text, &module::contract()), "missing field `version`");
}

#[test]
fn inspection_shows_what_is_there() {
    let shelf = Shelf::new();
    let shown = module::runtime().inspect(&shelf.misbehaving()).unwrap().to_string();
    for expected in [
        "form     core module with WIT\n",
        "digest   blake3 ",
        "exports  weir:operator/plugin@0.1.0\n         weir:operator/operator@0.1.0\n",
        "weir:operator/output@0.1.0\n",
        "weir:operator/log@0.1.0\n",
        "weir:operator/state@0.1.0\n",
        "name     misbehaving\nversion  1.2.3\ninputs   one, unnamed\noutputs  a\n         b\n",
        "tables   seen (value, schema \"u32\")\n",
    ] {
        assert!(shown.contains(expected), "{expected:?} in\n{shown}");
    }
    let shown = module::runtime()
        .inspect(&shelf.put(module::module(&module::guest("{}"), &module::contract())))
        .unwrap()
        .to_string();
    assert!(shown.contains("refused  plugin ") && shown.contains("missing field `name`"), "{shown}");
}

/// The contract in one text, to be changed.
const WIT: &str = "package weir:operator@0.1.0;
    interface types { record failure { index: option<u32>, code: u32, message: string } }
    interface plugin { describe: func() -> string; }
    interface operator {
        use types.{failure};
        open: func(task: string, config: string) -> result<_, failure>;
        process: func(input: u32, batch: list<u8>, slots: list<u32>, values: list<u8>) -> result<list<u8>, failure>;
    }
    interface output { emit: func(output: u32, frame: list<u8>); }
    interface log { log: func(level: u32, message: string); }
    interface state {
        get-many: func(table: u32, wanted: list<u8>) -> list<u8>;
        scan: func(table: u32, slot: u32, start: list<u8>, limit: u32) -> list<u8>;
    }
    world operator-packed { import output; import log; import state; export plugin; export operator; }";
