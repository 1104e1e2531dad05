//! The host with native operators in place of plugins: the same command line, engine and operator port, the example
//! plugins' own sources, no wasm. `make bench` compares plugins with it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use host::compose::operators::LoadOperator;
use weir_core::ports::{OperatorFactory, TimestampsFactory};
use weir_pipeline::plan::OperatorPlan;

/// An operator of the SDK behind the engine's port.
mod native;

use native::Native;

/// As in `host` itself: the comparison is about wasm, not about allocators.
#[global_allocator]
static ALLOCATOR: host::allocator::MiMalloc = host::allocator::MiMalloc;

/// Takes the native operator that the plugin's file name says.
struct NativeOperators;

impl LoadOperator for NativeOperators {
    fn load(&self, operator: &OperatorPlan) -> Result<Arc<dyn OperatorFactory>> {
        let name = operator.plugin.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(match name.as_str() {
            "uppercase" => Arc::new(Native::<uppercase::Uppercase>::new()?),
            "count" => Arc::new(Native::<count::Count>::new()?),
            "clickstream" => Arc::new(Native::<clickstream::Clickstream>::new()?),
            other => bail!("there is no native operator {other:?}; there are uppercase, count and clickstream"),
        })
    }

    fn load_timestamps(&self, file: &Path) -> Result<Arc<dyn TimestampsFactory>> {
        bail!("nothing native says when records were made, as {} is to do", file.display())
    }
}

fn main() -> ExitCode {
    host::run(|| Ok(()), |_| Ok(Arc::new(NativeOperators)))
}
