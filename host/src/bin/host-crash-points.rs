//! The binary with crash points, for tests only: it does first what `FAILPOINTS` and `WEIR_SABOTAGE` say.

use std::process::ExitCode;
use std::sync::Arc;

use host::allocator::MiMalloc;
use host::compose::operators::WasmOperators;
use weir_core::{Fault, PortError};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn arm() -> anyhow::Result<()> {
    Ok(weir_core::crash::arm().map_err(|error| PortError::new(Fault::Config, error))?)
}

fn main() -> ExitCode {
    host::run(arm, |cache| Ok(Arc::new(WasmOperators::new(cache)?)))
}
