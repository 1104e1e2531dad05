//! The binary: parse, do, exit. Everything else is in the library beside it.

use std::process::ExitCode;

use host::compose::operators::WasmOperators;

/// Batches are made on one thread and dropped on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    host::run(|| Ok(()), |cache| Ok(Box::new(WasmOperators::new(cache)?)))
}
