//! The binary: parse, do, exit. Everything else is in the library beside it.

use std::process::ExitCode;
use std::sync::Arc;

use host::allocator::MiMalloc;
use host::compose::operators::WasmOperators;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    host::run(|| Ok(()), |cache| Ok(Arc::new(WasmOperators::new(cache)?)))
}
