//! One operator: its plugin, and how it is run.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};

use weir_connector::{Error, Found};
use weir_core::key_group::KEY_GROUPS;
use weir_core::ports::Ttl;
use weir_core::{KeySpec, OnError};
use weir_time::WindowSpec;

use super::{path, positive};
use crate::plan::{Input, Limits, OperatorPlan};
use crate::spec::{OnErrorSpec, OperatorSpec, TtlSpec, WindowTable};
use crate::units::Span;

/// What the memories of a 32-bit module hold.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

pub(super) fn plan(name: &str, spec: &OperatorSpec, inputs: Vec<Input>, found: &mut Found) -> OperatorPlan {
    let at = format!("operators.{name}");
    OperatorPlan {
        name: name.to_owned(),
        plugin: found.keep(path(&format!("{at}.plugin"), &spec.plugin)).unwrap_or_default(),
        inputs,
        key: spec.key.clone().map_or(KeySpec::Key, |key| key.0),
        parallelism: found.keep(parallelism(&at, spec)).unwrap_or(NonZeroU16::MIN),
        config: spec.config.clone().into(),
        window: found.keep(window(&at, spec)).flatten(),
        ttl: ttl(&at, spec, found),
        on_error: on_error(spec),
        limits: limits(&at, spec, found),
    }
}

fn window(at: &str, spec: &OperatorSpec) -> Result<Option<WindowSpec>, Error> {
    let Some(WindowTable(words)) = &spec.window else { return Ok(None) };
    let at = format!("{at}.window");
    let window = WindowSpec::from_table(words).map_err(|error| Error::invalid(&at, error.to_string()))?;
    Ok(Some(window))
}

fn ttl(at: &str, spec: &OperatorSpec, found: &mut Found) -> BTreeMap<String, Ttl> {
    let ttl = spec.ttl.iter().filter_map(|(table, ttl)| {
        let (TtlSpec::Event(Span(stays)) | TtlSpec::Processing(Span(stays))) = *ttl;
        let at = format!("{at}.ttl.{table}");
        let stays_ms = u64::try_from(stays.as_millis()).ok().and_then(NonZeroU64::new);
        let stays_ms = stays_ms.ok_or_else(|| Error::invalid(at, "what is written stays for a millisecond at least"));
        let of = if matches!(ttl, TtlSpec::Event(_)) { Ttl::Event } else { Ttl::Processing };
        found.keep(stays_ms).map(|stays_ms| (table.clone(), of(stays_ms)))
    });
    ttl.collect()
}

fn on_error(spec: &OperatorSpec) -> OnError {
    match &spec.on_error {
        None | Some(OnErrorSpec::Fail) => OnError::Fail,
        Some(OnErrorSpec::Skip) => OnError::Skip,
        Some(OnErrorSpec::DeadLetter(_)) => OnError::DeadLetter,
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

fn limits(at: &str, spec: &OperatorSpec, found: &mut Found) -> Limits {
    let mut limits = Limits::default();
    let memory_bytes = spec.limits.memory.map_or(limits.memory_bytes, |size| size.0);
    if (1..=MEMORY_BYTES_MAX).contains(&memory_bytes) {
        limits.memory_bytes = memory_bytes;
    } else {
        let at = format!("{at}.limits.memory");
        let range = "a plugin needs some memory, and at most the 4GiB of a 32-bit module; 64MiB by default";
        found.add(Error::invalid(at, range));
    }
    let call_deadline = spec.limits.call_deadline.map_or(limits.call_deadline, |span| span.0);
    let call_deadline = found.keep(positive(&format!("{at}.limits.call-deadline"), call_deadline));
    limits.call_deadline = call_deadline.unwrap_or(limits.call_deadline);
    limits.timer_rounds = spec.limits.timer_rounds.map_or(limits.timer_rounds, NonZeroU32::get);
    limits
}
