//! The wasmtime engine: its settings, its cache of compiled code, and the thread that counts time for deadlines.

use std::path::Path;
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, Engine, EngineWeak, WasmBacktraceDetails};

use crate::artifact::Artifact;
use crate::cache::CodeCache;
use crate::error::Error;
use crate::host::{self, Host};
use crate::inspect::Inspection;
use crate::limits::Limits;
use crate::plugin::Plugin;
use crate::timestamps::TimePlugin;

/// How often the engine's epoch advances: the grain of every deadline.
const TICK: Duration = Duration::from_millis(10);

/// Stack of a guest. Host functions run on the rest of the thread's own stack (2 MiB unless set otherwise), and running
/// past that would abort the process, so this stays well below it.
const STACK_BYTES: usize = 512 << 10;

/// Loads plugins. One is enough for a process; plugins keep what they need of it alive.
pub struct Runtime {
    engine: Engine,
    linker: Linker<Host>,
}

impl Runtime {
    /// Starts an engine, and the thread that ticks for it as long as the engine or one of its plugins lives.
    pub fn new(cache: &CodeCache) -> Result<Self, Error> {
        let mut config = config();
        config.cache(cache.open()?);
        let engine = Engine::new(&config).map_err(|e| Error::Engine { source: e.into() })?;
        let linker = host::linker(&engine).map_err(|e| Error::Engine { source: e.into() })?;
        let weak = engine.weak();
        weir_machine::spawn("weir-ticker", move || tick(&weak)).map_err(|e| Error::Engine { source: e.into() })?;
        Ok(Self { engine, linker })
    }

    /// Makes a plugin of a file: compiled, checked, described.
    pub fn load(&self, path: &Path, limits: Limits) -> Result<Plugin, Error> {
        Plugin::new(&Artifact::load(&self.engine, path)?, &self.linker, limits)
    }

    /// Makes of a file what says when records were made.
    pub fn load_timestamps(&self, path: &Path, limits: Limits) -> Result<TimePlugin, Error> {
        TimePlugin::new(&Artifact::load(&self.engine, path)?, &self.linker, limits)
    }

    /// What can be said of a file, also when this host refuses to run it.
    pub fn inspect(&self, path: &Path) -> Result<Inspection, Error> {
        let artifact = Artifact::load(&self.engine, path)?;
        let plugin = Plugin::new(&artifact, &self.linker, Limits::default());
        let timestamps = TimePlugin::new(&artifact, &self.linker, Limits::default());
        Ok(Inspection::new(&artifact, plugin, timestamps.is_ok()))
    }
}

/// How many ticks make `deadline`: rounded up, and one more because the first may come at once.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_nanos().div_ceil(TICK.as_nanos()) + 1;
    u64::from(u32::try_from(ticks).unwrap_or(u32::MAX))
}

fn tick(engine: &EngineWeak) {
    // Ends by itself: the engine is gone once nobody can call into it any more.
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        weir_machine::sleep(TICK);
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // The same input gives the same bytes on every machine; costs nothing but to code with floats.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .max_wasm_stack(STACK_BYTES)
        // Function names are kept in any case; lines would need debug sections, which plugins are built without.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}
