//! A plugin: compiled, checked and described, ready to be instantiated in any task.

use std::path::Path;
use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Instance as Linked, InstancePre, Linker};
use weir_core::ports::{CallError, Operator, OperatorFactory, PluginDescription, Role};
use weir_core::{Digest, PortError};

use crate::artifact::Artifact;
use crate::describe;
use crate::engine;
use crate::error::Error;
use crate::host::Host;
use crate::instance::{self, Describe, Due, Instance, Open, Process};
use crate::limits::Limits;
use crate::trap::{bug, explain};
use crate::world::{self, CONTRACT, Calls, Exports};

/// A compiled plugin. Cheap to share; what it needs of its [`crate::Runtime`] lives as long as it does.
pub struct Plugin {
    program: Arc<Program>,
    description: PluginDescription,
    digest: Digest,
}

/// What instances of one plugin share; `E` is what is called of it.
pub(crate) struct Program<E = Exports> {
    pre: InstancePre<Host>,
    pub(crate) exports: E,
    limits: Limits,
    ticks: u64,
    outputs: u32,
    name: String,
}

/// The functions of one instance.
pub(crate) struct Functions {
    pub(crate) open: Open,
    pub(crate) calls: Calls<Process, Due>,
}

impl Plugin {
    pub(crate) fn new(artifact: &Artifact, linker: &Linker<Host>, limits: Limits) -> Result<Self, Error> {
        let mut program = Program::new(artifact, linker, world::check(artifact)?, limits)?;
        let description = program.describe(&artifact.path)?;
        program.outputs = description.output_count();
        program.name.clone_from(&description.name);
        Ok(Self { program: Arc::new(program), description, digest: artifact.digest.clone() })
    }
}

impl OperatorFactory for Plugin {
    fn description(&self) -> &PluginDescription {
        &self.description
    }

    fn role(&self) -> Role {
        self.program.exports.calls.role()
    }

    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn instantiate(&self, task: &str, config: &str) -> Result<Box<dyn Operator>, PortError> {
        Ok(Box::new(Instance::new(Arc::clone(&self.program), task, config)?))
    }

    fn check(&self, task: &str, config: &str) -> Result<(), PortError> {
        Ok(instance::check(&self.program, task, config)?)
    }
}

impl<E> Program<E> {
    pub(crate) fn new(artifact: &Artifact, linker: &Linker<Host>, exports: E, limits: Limits) -> Result<Self, Error> {
        let pre = linker.instantiate_pre(&artifact.component).map_err(|e| signature(&artifact.path, "an import", e))?;
        let (ticks, name) = (engine::ticks(limits.call_deadline), artifact.path.display().to_string());
        Ok(Self { pre, exports, limits, ticks, outputs: 0, name })
    }

    /// The plugin's name; its file while it is being loaded.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many outputs it has.
    pub(crate) fn outputs(&self) -> u32 {
        self.outputs
    }

    /// The deadline of a call, as the engine counts it.
    pub(crate) fn ticks(&self) -> u64 {
        self.ticks
    }

    /// The deadline of a call, as people read it.
    pub(crate) fn deadline_ms(&self) -> u64 {
        u64::try_from(self.limits.call_deadline.as_millis()).unwrap_or(u64::MAX)
    }

    /// A new instance, of which nothing was called.
    pub(crate) fn link(&self) -> Result<(Store<Host>, Linked), CallError> {
        let mut store = Store::new(self.pre.engine(), Host::new(&self.limits));
        store.limiter(|host| &mut host.memory);
        store.set_epoch_deadline(self.ticks);
        // What a guest hands over lies in its memory, so it is bounded already; our own bounds name what is too much.
        store.set_hostcall_fuel(usize::try_from(self.limits.memory_bytes).unwrap_or(usize::MAX).saturating_mul(4));
        let linked = match self.pre.instantiate(&mut store) {
            Ok(linked) => linked,
            Err(trap) => return Err(explain(self, store.data_mut(), trap)),
        };
        Ok((store, linked))
    }
}

impl Program {
    /// A new instance, not yet opened. The deadline covers its start and the first call.
    pub(crate) fn start(&self) -> Result<(Store<Host>, Functions), CallError> {
        let (mut store, linked) = self.link()?;
        let open = linked.get_typed_func(&mut store, self.exports.open).map_err(bug)?;
        let calls = self.calls(&mut store, &linked).map_err(|(_, error)| bug(error))?;
        Ok((store, Functions { open, calls }))
    }

    /// The functions of the plugin's role; the name of the one that has other types.
    fn calls(
        &self,
        store: &mut Store<Host>,
        linked: &Linked,
    ) -> Result<Calls<Process, Due>, (&'static str, wasmtime::Error)> {
        let called = |name| move |error| (name, error);
        Ok(match self.exports.calls {
            Calls::Operator(process, on_timers) => {
                let process = linked.get_typed_func(&mut *store, process).map_err(called("function process"))?;
                let on_timers = on_timers.map(|on_timers| linked.get_typed_func(store, on_timers));
                Calls::Operator(process, on_timers.transpose().map_err(called("function on-timers"))?)
            }
            Calls::Aggregate { fold, merge, finish } => Calls::Aggregate {
                fold: linked.get_typed_func(&mut *store, fold).map_err(called("function fold"))?,
                merge: linked.get_typed_func(&mut *store, merge).map_err(called("function merge"))?,
                finish: linked.get_typed_func(store, finish).map_err(called("function finish"))?,
            },
        })
    }

    /// Checks the types of all functions and calls the first.
    fn describe(&self, path: &Path) -> Result<PluginDescription, Error> {
        let failed = |source| Error::Start { plugin: self.name.clone(), function: "describe", source };
        let (mut store, linked) = self.link().map_err(failed)?;
        let wrong = |name| move |e| signature(path, name, e);
        let describe: Describe =
            linked.get_typed_func(&mut store, self.exports.describe).map_err(wrong("function describe"))?;
        let _: Open = linked.get_typed_func(&mut store, self.exports.open).map_err(wrong("function open"))?;
        self.calls(&mut store, &linked).map_err(|(name, error)| signature(path, name, error))?;
        let json = match describe.call(&mut store, ()) {
            Ok((json,)) => json,
            Err(trap) => return Err(failed(explain(self, store.data_mut(), trap))),
        };
        let calls = &self.exports.calls;
        describe::parse(&json, calls.role(), calls.has_timers())
            .map_err(|reason| Error::Description { path: path.to_owned(), reason })
    }
}

pub(crate) fn signature(path: &Path, name: &'static str, error: wasmtime::Error) -> Error {
    Error::Signature { path: path.to_owned(), name, contract: CONTRACT, source: error.into() }
}
