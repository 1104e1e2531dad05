//! One operator: its plugin, and how it is run.

use std::num::NonZeroU16;

use weir_connector::{Error, Found};
use weir_core::key_group::KEY_GROUPS;
use weir_core::{KeySpec, OnError};
use weir_time::WindowSpec;
use weir_time::window::Assign;

use super::{path, positive};
use crate::plan::{Input, Limits, OperatorPlan};
use crate::spec::{OnErrorSpec, OperatorSpec, WindowTable};

/// What the memories of a 32-bit module hold.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// `None` where something of it was found wrong.
pub(super) fn plan(name: &str, spec: &OperatorSpec, inputs: Vec<Input>, found: &mut Found) -> Option<OperatorPlan> {
    let at = format!("operators.{name}");
    let on_error = found.keep(on_error(&at, spec));
    let parallelism = found.keep(parallelism(&at, spec));
    let limits = limits(&at, spec, found);
    let window = found.keep(window(&at, spec));
    let plugin = found.keep(path(&format!("{at}.plugin"), &spec.plugin));
    Some(OperatorPlan {
        name: name.to_owned(),
        plugin: plugin?,
        inputs,
        key: spec.key.clone().map_or(KeySpec::Key, |key| key.0),
        parallelism: parallelism?,
        config: spec.config.clone().into(),
        window: window?,
        on_error: on_error?,
        limits: limits?,
    })
}

fn window(at: &str, spec: &OperatorSpec) -> Result<Option<WindowSpec>, Error> {
    let Some(WindowTable(words)) = &spec.window else { return Ok(None) };
    let at = format!("{at}.window");
    let window = WindowSpec::from_table(words).map_err(|error| Error::invalid(&at, error.to_string()))?;
    Assign::of(&window).map_err(|what| Error::not_yet(format!("{at} = {what}"), ONLY_TUMBLING))?;
    Ok(Some(window))
}

/// What this host runs instead.
const ONLY_TUMBLING: &str = "use tumbling windows of event time, as in tumbling:10s";

fn on_error(at: &str, spec: &OperatorSpec) -> Result<OnError, Error> {
    match &spec.on_error {
        None | Some(OnErrorSpec::Fail) => Ok(OnError::Fail),
        Some(OnErrorSpec::Skip) => Ok(OnError::Skip),
        Some(OnErrorSpec::DeadLetter(topic)) => {
            Err(Error::not_yet(format!("{at}.on-error = dead-letter:{topic}"), "use fail or skip"))
        }
    }
}

fn parallelism(at: &str, spec: &OperatorSpec) -> Result<NonZeroU16, Error> {
    let parallelism = spec.parallelism.unwrap_or(NonZeroU16::MIN);
    if parallelism.get() > KEY_GROUPS {
        let reason = format!("{parallelism} tasks are more than the {KEY_GROUPS} key groups there are");
        return Err(Error::invalid(format!("{at}.parallelism"), reason));
    }
    Ok(parallelism)
}

fn limits(at: &str, spec: &OperatorSpec, found: &mut Found) -> Option<Limits> {
    let default = Limits::default();
    let memory_bytes = spec.limits.memory.map_or(default.memory_bytes, |size| size.0);
    if !(1..=MEMORY_BYTES_MAX).contains(&memory_bytes) {
        let at = format!("{at}.limits.memory");
        let range = "a plugin needs some memory, and at most the 4GiB of a 32-bit module; 64MiB by default";
        found.add(Error::invalid(at, range));
    }
    let call_deadline = spec.limits.call_deadline.map_or(default.call_deadline, |span| span.0);
    let call_deadline = positive(&format!("{at}.limits.call-deadline"), call_deadline);
    Some(Limits { memory_bytes, call_deadline: found.keep(call_deadline)? })
}
