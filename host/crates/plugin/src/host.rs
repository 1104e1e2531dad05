//! HOT PATH. What a guest can call, and what the host keeps of a call until it has ended.

use wasmtime::component::{Linker, WasmList, WasmStr};
use wasmtime::{Engine, Result, StoreContextMut, format_err};
use weir_core::Frame;
use weir_core::ports::CallError;

use crate::call_log::{CallLog, clip};
use crate::limits::{Limits, MemoryLimit};
use crate::trap::{no_frame, no_output, too_much};
use crate::world;

/// Bytes that one call may hand over: outputs and updates together.
pub(crate) const EFFECT_BYTES_MAX: usize = 64 << 20;
/// Frames that one call may emit: small ones cost more than their bytes.
pub(crate) const EFFECT_FRAMES_MAX: usize = 64 << 10;

/// The data of one store.
pub(crate) struct Host {
    pub(crate) memory: MemoryLimit,
    pub(crate) log: CallLog,
    outputs: Vec<(u32, Frame)>,
    effect_bytes: usize,
    /// How many outputs the plugin has; 0 outside of `process`.
    outputs_open: u32,
    /// Why an emission was refused: the trap that follows is this error.
    refusal: Option<CallError>,
}

impl Host {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: MemoryLimit::new(limits.memory_bytes),
            log: CallLog::default(),
            outputs: Vec::new(),
            effect_bytes: 0,
            outputs_open: 0,
            refusal: None,
        }
    }

    /// Begins `process` of a plugin with `outputs_open` outputs; borrows the room of `outputs` until it ends.
    #[inline]
    pub(crate) fn begin(&mut self, outputs_open: u32, outputs: &mut Vec<(u32, Frame)>) {
        std::mem::swap(&mut self.outputs, outputs);
        self.outputs_open = outputs_open;
        self.effect_bytes = 0;
    }

    /// Ends `process`: gives back what was emitted, unless the updates make it too much.
    #[inline]
    pub(crate) fn finish(&mut self, updates: &[u8], outputs: &mut Vec<(u32, Frame)>) -> Result<(), CallError> {
        self.outputs_open = 0;
        self.count("updates", updates.len())?;
        std::mem::swap(&mut self.outputs, outputs);
        Ok(())
    }

    /// Why an emission was refused, if one was.
    pub(crate) fn take_refusal(&mut self) -> Option<CallError> {
        self.refusal.take()
    }

    fn count(&mut self, what: &'static str, bytes: usize) -> Result<(), CallError> {
        self.effect_bytes = self.effect_bytes.saturating_add(bytes);
        if self.effect_bytes > EFFECT_BYTES_MAX { Err(too_much(what)) } else { Ok(()) }
    }

    #[inline]
    fn admit(&mut self, output: u32, bytes: usize) -> Result<(), CallError> {
        if output >= self.outputs_open {
            return Err(no_output(output, self.outputs_open));
        }
        if self.outputs.len() >= EFFECT_FRAMES_MAX {
            return Err(too_much("frame"));
        }
        self.count("frame", bytes)
    }

    #[inline]
    fn push(&mut self, output: u32, bytes: Vec<u8>) -> Result<(), CallError> {
        let frame = Frame::parse(bytes).map_err(|e| no_frame(&e))?;
        self.outputs.push((output, frame));
        Ok(())
    }
}

/// Everything that is granted. A plugin is linked to what it imports of it.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    linker.instance(world::OUTPUT)?.func_wrap("emit", emit)?;
    linker.instance(world::LOG)?.func_wrap("log", log)?;
    Ok(linker)
}

/// The frame is seen where it lies in the guest's memory and copied once.
fn emit(mut store: StoreContextMut<'_, Host>, (output, frame): (u32, WasmList<u8>)) -> Result<()> {
    let admitted = store.data_mut().admit(output, frame.len());
    let pushed = admitted.and_then(|()| {
        let bytes = frame.as_le_slice(&store).to_vec();
        store.data_mut().push(output, bytes)
    });
    pushed.map_err(|refusal| {
        let trap = format_err!("{refusal}");
        store.data_mut().refusal = Some(refusal);
        trap
    })
}

fn log(mut store: StoreContextMut<'_, Host>, (level, message): (u32, WasmStr)) -> Result<()> {
    // Clipped where it lies in the guest's memory: it may be as large as that.
    let message = clip(&message.to_str(&store)?).to_owned();
    store.data_mut().log.push(level, message);
    Ok(())
}
