//! Compiling, which takes seconds for a large plugin and says so.

use std::path::Path;
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Engine, Result};
use weir_machine::channel::{RecvTimeoutError, bounded};

/// After this long it is said; what comes from the cache is quicker.
const SILENT: Duration = Duration::from_secs(1);

/// Compiles, or finds in the cache what was compiled before.
pub(crate) fn component(engine: &Engine, path: &Path, binary: &[u8]) -> Result<Component> {
    saying_so(|| say(path, binary.len()), || Component::from_binary(engine, binary))
}

/// Does `work`; calls `say` once if it takes long.
fn saying_so<T>(say: impl FnOnce() + Send, work: impl FnOnce() -> T) -> T {
    weir_machine::scope(|scope| {
        let (done, ended) = bounded::<()>(0);
        let wait = move || {
            if ended.recv_timeout(SILENT) == Err(RecvTimeoutError::Timeout) {
                say();
            }
        };
        // Without the thread nothing is lost but the line.
        drop(weir_machine::spawn_in(scope, "weir-compiling", wait));
        let outcome = work();
        drop(done);
        outcome
    })
}

fn say(path: &Path, bytes: usize) {
    let name = path.file_name().unwrap_or(path.as_os_str()).display();
    let megabytes = bytes as f64 / 1e6;
    tracing::info!("compiling {name} ({megabytes:.1} MB) ..");
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn only_what_takes_long_is_told() {
        for (takes, told) in [(Duration::ZERO, false), (SILENT + Duration::from_millis(500), true)] {
            let said = AtomicBool::new(false);
            saying_so(|| said.store(true, Ordering::Relaxed), || std::thread::sleep(takes));
            assert_eq!(said.load(Ordering::Relaxed), told, "{takes:?}");
        }
    }
}
