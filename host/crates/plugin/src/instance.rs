//! HOT PATH. One running copy of a plugin, and its calls.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{ComponentType, Lift, TypedFunc};
use weir_core::PortError;
use weir_core::ports::{Call, CallError, CallTask, Effects, Operator};

use crate::call_log::{LineBudget, clip};
use crate::error::Error;
use crate::host::Host;
use crate::plugin::Program;
use crate::trap::explain;
use crate::world::Calls;

/// `types.failure`.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Failure {
    index: Option<u32>,
    code: u32,
    message: String,
}

/// `plugin.describe`.
pub(crate) type Describe = TypedFunc<(), (String,)>;
/// `operator.open`.
pub(crate) type Open = TypedFunc<(&'static str, &'static str), (Result<(), Failure>,)>;
/// `operator.process`. Its parameters may live shorter than this says: they are copied into the guest during the call.
pub(crate) type Process = TypedFunc<(u32, &'static [u8], &'static [u32], &'static [u8]), (Result<Vec<u8>, Failure>,)>;

/// `timers.on-timers`, `aggregate.merge` and `aggregate.finish`. The same is true of their parameters.
pub(crate) type Due = TypedFunc<(&'static [u8], &'static [u32], &'static [u8]), (Result<Vec<u8>, Failure>,)>;

/// A live instance: opened, and never called again after an error ([`lives_on`] says after which it is).
pub(crate) struct Live {
    store: Store<Host>,
    calls: Calls<Process, Due>,
}

/// The operator of one task: a live instance, or what it takes to make the next one.
pub(crate) struct Instance {
    program: Arc<Program>,
    task: String,
    config: String,
    live: Option<Live>,
    lines: LineBudget,
}

impl Instance {
    /// Starts and opens the first instance.
    pub(crate) fn new(program: Arc<Program>, task: &str, config: &str) -> Result<Self, Error> {
        let mut instance = Self {
            program,
            task: task.to_owned(),
            config: config.to_owned(),
            live: None,
            lines: LineBudget::default(),
        };
        instance.live = Some(instance.open()?);
        Ok(instance)
    }

    fn open(&mut self) -> Result<Live, Error> {
        open(&self.program, &self.task, &self.config, &mut self.lines)
    }
}

/// Whether the program opens with `config`. What a plugin says while it opens well is said when it opens for good.
pub(crate) fn check(program: &Program, task: &str, config: &str) -> Result<(), Error> {
    open(program, task, config, &mut LineBudget::for_errors()).map(drop)
}

fn open(program: &Program, task: &str, config: &str, lines: &mut LineBudget) -> Result<Live, Error> {
    let failed = |source| Error::Start { plugin: program.name().to_owned(), function: "open", source };
    let (mut store, functions) = program.start().map_err(failed)?;
    let outcome = match functions.open.call(&mut store, (task, config)) {
        Ok((Ok(()),)) => Ok(()),
        Ok((Err(failure),)) => Err(failure.into()),
        Err(trap) => Err(explain(program, store.data_mut(), trap)),
    };
    end(program, store.data_mut(), lines, &outcome);
    outcome.map_err(failed)?;
    Ok(Live { store, calls: functions.calls })
}

impl Operator for Instance {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let mut live = match self.live.take() {
            Some(live) => live,
            // That it does not open again is no record's doing.
            None => self.open().map_err(PortError::from)?,
        };
        let records = call.frame.len();
        let outcome = live.call(&self.program, call, effects);
        end(&self.program, live.store.data_mut(), &mut self.lines, &outcome);
        if lives_on(&outcome, records) {
            self.live = Some(live);
        }
        outcome
    }

    fn discard(&mut self) {
        self.live = None;
    }
}

/// Whether the instance may be called again. A record that it returned a failure of, alone in its call, is over, as one that
/// it rejected is. The other records of a call that failed are called again, and no instance sees a record twice; one that
/// trapped may be in any condition.
#[inline]
pub(crate) fn lives_on<T>(outcome: &Result<T, CallError>, records: usize) -> bool {
    match outcome {
        Ok(_) => true,
        Err(CallError::Failed { .. }) => records == 1,
        Err(_) => false,
    }
}

impl Live {
    #[inline]
    fn call(&mut self, program: &Program, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        self.store.set_epoch_deadline(program.ticks());
        let times = (call.now_ms, call.watermark.number());
        self.store.data_mut().begin((program.outputs(), &mut effects.outputs), call.state, times);
        let (frame, store) = (call.frame.as_bytes(), &mut self.store);
        let outcome = match (&self.calls, call.task) {
            (Calls::Operator(function, _), CallTask::Process(input))
            | (Calls::Aggregate { fold: function, .. }, CallTask::Fold(input)) => {
                function.call(store, (input, frame, call.slots, call.values))
            }
            (Calls::Operator(_, Some(function)), CallTask::Timers)
            | (Calls::Aggregate { merge: function, .. }, CallTask::Merge)
            | (Calls::Aggregate { finish: function, .. }, CallTask::Finish) => {
                function.call(store, (frame, call.slots, call.values))
            }
            (Calls::Operator(..) | Calls::Aggregate { .. }, _) => Ok((Err(not_its_role()),)),
        };
        self.store.data_mut().give_back(call.state);
        match outcome {
            Ok((Ok(updates),)) => {
                self.store.data_mut().finish(&updates, &mut effects.outputs)?;
                effects.updates = updates;
                Ok(())
            }
            Ok((Err(failure),)) => {
                self.store.data_mut().undo();
                Err(failure.into())
            }
            Err(trap) => Err(explain(program, self.store.data_mut(), trap)),
        }
    }
}

/// Not reached: a node is made for the role of its plugin.
#[cold]
fn not_its_role() -> Failure {
    Failure { index: None, code: 0, message: "the plugin does not export what its node needs".to_owned() }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Failed { index: failure.index, code: failure.code, message: clip(&failure.message).to_owned() }
    }
}

/// What the guest said becomes the host's log, or is dropped with the call.
#[inline]
pub(crate) fn end<E, T>(program: &Program<E>, host: &mut Host, lines: &mut LineBudget, outcome: &Result<T, CallError>) {
    if outcome.is_err() {
        host.log.keep_errors();
    }
    host.log.flush(program.name(), lines);
}
