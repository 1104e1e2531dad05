//! HOT PATH. A plugin that says when records were made: called by a source, with nothing to keep, to read or to emit, in the same
//! sandbox as any other.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Linker, TypedFunc};
use weir_core::ports::{CallError, Timestamps, TimestampsFactory};
use weir_core::{Frame, PortError};

use crate::artifact::Artifact;
use crate::call_log::LineBudget;
use crate::error::Error;
use crate::host::Host;
use crate::instance::{Failure, end, lives_on};
use crate::limits::Limits;
use crate::plugin::{Program, signature};
use crate::trap::{bug, explain};
use crate::world;

/// `timestamps.timestamps`. Its parameter may live shorter than this says: it is copied into the guest during the call.
type Ask = TypedFunc<(&'static [u8],), (Result<Vec<i64>, Failure>,)>;

/// A compiled plugin that says when records were made. Cheap to share.
pub struct TimePlugin(Arc<Program<ComponentExportIndex>>);

impl TimePlugin {
    pub(crate) fn new(artifact: &Artifact, linker: &Linker<Host>, limits: Limits) -> Result<Self, Error> {
        let program = Program::new(artifact, linker, world::timestamps(artifact)?, limits)?;
        let failed = |source| Error::Start { plugin: program.name().to_owned(), function: "its start", source };
        let (mut store, linked) = program.link().map_err(failed)?;
        let _: Ask = linked
            .get_typed_func(&mut store, program.exports)
            .map_err(|error| signature(&artifact.path, "function timestamps", error))?;
        Ok(Self(Arc::new(program)))
    }
}

impl TimestampsFactory for TimePlugin {
    fn instantiate(&self) -> Result<Box<dyn Timestamps>, PortError> {
        Ok(Box::new(Instance { program: Arc::clone(&self.0), live: None, lines: LineBudget::default() }))
    }
}

/// One of a source, or what it takes to make the next one.
struct Instance {
    program: Arc<Program<ComponentExportIndex>>,
    live: Option<(Store<Host>, Ask)>,
    lines: LineBudget,
}

impl Instance {
    fn start(&self) -> Result<(Store<Host>, Ask), CallError> {
        let (mut store, linked) = self.program.link()?;
        let ask = linked.get_typed_func(&mut store, self.program.exports).map_err(bug)?;
        Ok((store, ask))
    }
}

impl Timestamps for Instance {
    fn timestamps(&mut self, frame: &Frame) -> Result<Vec<i64>, CallError> {
        let (mut store, ask) = match self.live.take() {
            Some(live) => live,
            None => self.start()?,
        };
        store.set_epoch_deadline(self.program.ticks());
        let outcome = match ask.call(&mut store, (frame.as_bytes(),)) {
            Ok((Ok(times),)) if times.len() == frame.len() => Ok(times),
            Ok((Ok(times),)) => {
                let reason = format!("{} of them for {} records", times.len(), frame.len());
                Err(CallError::Malformed { what: "timestamps", reason })
            }
            Ok((Err(failure),)) => Err(failure.into()),
            Err(trap) => Err(explain(&self.program, store.data_mut(), trap)),
        };
        end(&self.program, store.data_mut(), &mut self.lines, &outcome);
        if lives_on(&outcome, frame.len()) {
            self.live = Some((store, ask));
        }
        outcome
    }
}
