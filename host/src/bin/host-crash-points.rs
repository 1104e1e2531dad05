//! The binary with crash points, for tests only: it does first what `FAILPOINTS` and `WEIR_SABOTAGE` say.

use std::process::ExitCode;

use host::compose::operators::WasmOperators;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    host::run(|| Ok(weir_core::crash::arm()?), |cache| Ok(Box::new(WasmOperators::new(cache)?)))
}
