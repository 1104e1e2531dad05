//! HOT PATH. What a guest can call, and what the host keeps of a call until it has ended.

use wasmtime::component::{Linker, WasmList, WasmStr};
use wasmtime::{Engine, Error, Result, StoreContextMut, format_err};
use weir_core::Frame;
use weir_core::ports::{CallError, CallState};

use crate::call_log::{CallLog, clip};
use crate::limits::{Limits, MemoryLimit};
use crate::trap::{no_frame, no_output, no_state, too_much};
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
    /// How many outputs the plugin has; 0 outside of the calls that may emit.
    outputs_open: u32,
    /// The state of the operator, for the time of a call.
    state: Option<CallState>,
    /// Processing time and event time, as the call under way or the last one began.
    times: (i64, i64),
    /// Why something was refused: the trap that follows is this error.
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
            state: None,
            times: (i64::MIN, i64::MIN),
            refusal: None,
        }
    }

    /// Begins a call of a plugin with `outputs_open` outputs; borrows the room of `outputs`, and `state`, until it ends.
    /// `times`: processing time and event time.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        (outputs_open, outputs): (u32, &mut Vec<(u32, Frame)>),
        state: &mut Option<CallState>,
        times: (i64, i64),
    ) {
        self.times = times;
        std::mem::swap(&mut self.outputs, outputs);
        std::mem::swap(&mut self.state, state);
        self.outputs_open = outputs_open;
        self.effect_bytes = 0;
    }

    /// Ends a call: gives back what was emitted, unless the updates make it too much.
    #[inline]
    pub(crate) fn finish(&mut self, updates: &[u8], outputs: &mut Vec<(u32, Frame)>) -> Result<(), CallError> {
        self.outputs_open = 0;
        self.count("updates", updates.len())?;
        std::mem::swap(&mut self.outputs, outputs);
        Ok(())
    }

    /// Ends a call that returned a failure: what was emitted is as if it had not been.
    pub(crate) fn undo(&mut self) {
        self.outputs_open = 0;
        self.outputs.clear();
    }

    /// Gives the state back, however the call ended.
    #[inline]
    pub(crate) fn give_back(&mut self, state: &mut Option<CallState>) {
        std::mem::swap(&mut self.state, state);
    }

    /// Why something was refused, if it was.
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
    let mut state = linker.instance(world::STATE)?;
    state.func_wrap("get-many", get_many)?;
    state.func_wrap("scan", scan)?;
    let mut context = linker.instance(world::CONTEXT)?;
    context.func_wrap("processing-time", |store: StoreContextMut<'_, Host>, (): ()| Ok((store.data().times.0,)))?;
    context.func_wrap("watermark", |store: StoreContextMut<'_, Host>, (): ()| Ok((store.data().times.1,)))?;
    Ok(linker)
}

/// The frame is seen where it lies in the guest's memory and copied once.
fn emit(mut store: StoreContextMut<'_, Host>, (output, frame): (u32, WasmList<u8>)) -> Result<()> {
    let admitted = store.data_mut().admit(output, frame.len());
    let pushed = admitted.and_then(|()| {
        let bytes = frame.as_le_slice(&store).to_vec();
        store.data_mut().push(output, bytes)
    });
    pushed.map_err(|refusal| refuse(store, refusal))
}

fn get_many(store: StoreContextMut<'_, Host>, (table, wanted): (u32, WasmList<u8>)) -> Result<(Vec<u8>,)> {
    read(store, |state, store, out| state.get_many(table, wanted.as_le_slice(store), out))
}

fn scan(
    store: StoreContextMut<'_, Host>,
    (table, slot, start, limit): (u32, u32, WasmList<u8>, u32),
) -> Result<(Vec<u8>,)> {
    read(store, |state, store, out| state.scan(table, slot, start.as_le_slice(store), limit, out))
}

/// What a plugin asks for is seen where it lies in its memory, so the state is taken out of the store meanwhile.
fn read(
    mut store: StoreContextMut<'_, Host>,
    ask: impl FnOnce(&mut CallState, &StoreContextMut<'_, Host>, &mut Vec<u8>) -> Result<(), CallError>,
) -> Result<(Vec<u8>,)> {
    let Some(mut state) = store.data_mut().state.take() else { return Err(refuse(store, no_state())) };
    let mut out = Vec::new();
    let asked = ask(&mut state, &store, &mut out);
    store.data_mut().state = Some(state);
    asked.map(|()| (out,)).map_err(|refusal| refuse(store, refusal))
}

/// The trap that ends the call, which is explained by `refusal`.
#[cold]
fn refuse(mut store: StoreContextMut<'_, Host>, refusal: CallError) -> Error {
    let trap = format_err!("{refusal}");
    store.data_mut().refusal = Some(refusal);
    trap
}

fn log(mut store: StoreContextMut<'_, Host>, (level, message): (u32, WasmStr)) -> Result<()> {
    // Clipped where it lies in the guest's memory: it may be as large as that.
    let message = clip(&message.to_str(&store)?).to_owned();
    store.data_mut().log.push(level, message);
    Ok(())
}
