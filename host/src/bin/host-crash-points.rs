//! The binary with crash points, for tests only: it does first what `FAILPOINTS` and `WEIR_SABOTAGE` say.

use std::process::ExitCode;

use clap::Parser as _;
use host::compose::WasmOperators;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let armed = weir_core::crash::arm().map_err(anyhow::Error::from);
    match armed.and_then(|()| host::cli::Cli::parse().execute(|| Ok(Box::new(WasmOperators::new()?)))) {
        Ok(code) => code,
        Err(error) => host::exit::report(&error),
    }
}
