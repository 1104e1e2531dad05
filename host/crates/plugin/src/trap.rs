//! What went wrong in a call, in words: the cold side of `host` and `instance`.

use wasmtime::{FrameInfo, Trap, WasmBacktrace};
use weir_core::frame::FrameError;
use weir_core::ports::CallError;
use weir_core::{Fault, PortError};

use crate::error::Error;
use crate::frames;
use crate::host::{EFFECT_BYTES_MAX, EFFECT_FRAMES_MAX, Host};
use crate::plugin::Program;

/// Frames of a trap's backtrace that are shown.
const FRAMES_SHOWN: usize = 8;

/// What a trap means: the first cause that is known, from the surest down.
#[cold]
pub(crate) fn explain<E>(program: &Program<E>, host: &mut Host, trap: wasmtime::Error) -> CallError {
    if let Some(refusal) = host.take_refusal() {
        return refusal;
    }
    if host.memory.is_exceeded() {
        return CallError::Memory { limit_bytes: host.memory.limit_bytes() };
    }
    if matches!(trap.downcast_ref(), Some(Trap::Interrupt)) {
        return CallError::Deadline { limit_ms: program.deadline_ms() };
    }
    if is_systems(&trap) {
        let plugin = program.name().to_owned();
        return CallError::Host(Error::NoRoom { plugin, source: trap.into() }.into());
    }
    let mut message = match host.log.take_last_words() {
        Some(words) => format!("panic: {words}"),
        None => {
            let cause = trap.root_cause().to_string();
            cause.strip_prefix("wasm trap: ").unwrap_or(&cause).to_owned()
        }
    };
    let frames = trap.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    let names: Vec<&str> = frames.iter().filter_map(FrameInfo::func_name).collect();
    for name in frames::shown(&names, FRAMES_SHOWN) {
        message.push_str("\n  in ");
        message.push_str(&name);
    }
    CallError::Trapped { message }
}

/// The system refused memory or addresses. A guest's own traps, and the limits it has here, are no errors of the system.
fn is_systems(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<Trap>().is_none() && error.root_cause().to_string().contains("(os error ")
}

/// An error of wasmtime that no guest can cause.
#[cold]
pub(crate) fn bug(error: wasmtime::Error) -> CallError {
    CallError::Host(PortError::new(Fault::Bug, error))
}

/// More than a call may hand over.
#[cold]
pub(crate) fn too_much(what: &'static str) -> CallError {
    let reason = format!("one call hands over more than {EFFECT_BYTES_MAX} bytes or {EFFECT_FRAMES_MAX} frames");
    CallError::Malformed { what, reason }
}

/// A frame for an output that is not there, or not now.
#[cold]
pub(crate) fn no_output(output: u32, open: u32) -> CallError {
    let reason = match open {
        0 => "emitted outside of process".to_owned(),
        _ => format!("there is no output {output}, the plugin describes {open}"),
    };
    CallError::Malformed { what: "frame", reason }
}

/// A read of state where there is none.
#[cold]
pub(crate) fn no_state() -> CallError {
    let reason = "state is read outside of process, or by a plugin without tables".to_owned();
    CallError::Malformed { what: "read", reason }
}

/// Bytes that are no frame.
#[cold]
pub(crate) fn no_frame(error: &FrameError) -> CallError {
    CallError::Malformed { what: "frame", reason: error.to_string() }
}
