//! With crash points: what `FAILPOINTS` and `WEIR_SABOTAGE` say, and doing it.

use std::env::{self, VarError};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::sys::signal::{Signal, raise};

use crate::{POINTS, Sabotage, is_point};

const POINTS_VARIABLE: &str = "FAILPOINTS";
const SABOTAGE_VARIABLE: &str = "WEIR_SABOTAGE";
const RULES: [(&str, Sabotage); 6] = [
    ("no-durable-log", Sabotage::NoDurableLog),
    ("unknown-is-success", Sabotage::UnknownIsSuccess),
    ("marker-before-fence", Sabotage::MarkerBeforeFence),
    ("no-rotation", Sabotage::NoRotation),
    ("keep-batches", Sabotage::KeepBatches),
    ("unverified-source", Sabotage::UnverifiedSource),
];

static SABOTAGE: OnceLock<Sabotage> = OnceLock::new();
/// The segment that the epoch log writes to, and how much of it a power cut would leave.
static SYNCED: Mutex<Option<(PathBuf, u64)>> = Mutex::new(None);

/// A step that fails because a test says so.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("crash point {0:?} was told to fail")]
pub struct Injected(&'static str);

/// What the environment says cannot be done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ArmError(String);

/// Does from now on what the environment says; once, before anything else.
pub fn arm() -> Result<(), ArmError> {
    let refused = ArmError;
    for point in variable(POINTS_VARIABLE)?.split(';').map(str::trim).filter(|point| !point.is_empty()) {
        arm_point(point).map_err(|why| refused(format!("{POINTS_VARIABLE}: {point:?} {why}")))?;
    }
    let name = variable(SABOTAGE_VARIABLE)?;
    if !name.is_empty() {
        let rule = RULES.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule);
        let rule = rule.ok_or_else(|| {
            let known = RULES.map(|(known, _)| known).join(", ");
            refused(format!("{SABOTAGE_VARIABLE}: there is no rule {name:?}; there are {known}"))
        })?;
        SABOTAGE.set(rule).map_err(|_| refused("crash points are armed twice".to_owned()))?;
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, ArmError> {
    match env::var(name) {
        Ok(value) => Ok(value),
        Err(VarError::NotPresent) => Ok(String::new()),
        Err(error) => Err(ArmError(format!("{name}: {error}"))),
    }
}

/// A point that does not exist, or an action that does nothing, would make a test pass that tests nothing.
fn arm_point(point: &str) -> Result<(), String> {
    let (name, actions) = point.split_once('=').ok_or("is not POINT=ACTIONS")?;
    if !is_point(name) {
        return Err(format!("names no crash point; there are {}", POINTS.map(|(known, _)| known).join(", ")));
    }
    for action in actions.split("->") {
        let (head, argument) = action.trim().split_once('(').unwrap_or((action.trim(), ""));
        let task = head.rsplit(['%', '*']).next().unwrap_or_default().trim();
        match (task, argument) {
            ("return", "kill)" | "stop)" | "error)") | ("off" | "sleep" | "delay", _) => {}
            ("return", _) => return Err("returns something other than kill, stop or error".to_owned()),
            _ => return Err(format!("has the action {task:?}; there are return, off, sleep and delay")),
        }
    }
    fail::cfg(name, actions)
}

/// Does what is to happen at `point`; see the macro `crash_point!`.
pub fn reach(point: &'static str) -> Result<(), Injected> {
    fail::eval(point, |payload| act(point, payload.as_deref().unwrap_or_default())).unwrap_or(Ok(()))
}

#[expect(clippy::disallowed_methods, reason = "for tests only, which read it; the next line may be a kill")]
fn act(point: &'static str, payload: &str) -> Result<(), Injected> {
    // When standard error is gone, the signal or the error still tells.
    drop(writeln!(io::stderr(), "crash point {point:?} reached: {payload}"));
    match payload {
        "kill" => {
            cut_power();
            send(Signal::SIGKILL)
        }
        "stop" => send(Signal::SIGSTOP),
        _ => Err(Injected(point)),
    }
}

/// To this very thread, so that it does not run on.
fn send(signal: Signal) -> Result<(), Injected> {
    raise(signal).expect("a process may send itself any signal");
    Ok(())
}

/// Whether `rule` is broken on purpose.
pub fn sabotaged(rule: Sabotage) -> bool {
    SABOTAGE.get() == Some(&rule)
}

/// The epoch log is durable up to `len` bytes of `segment`, its last one.
pub fn synced(segment: &Path, len: u64) {
    *SYNCED.lock().unwrap_or_else(PoisonError::into_inner) = Some((segment.to_owned(), len));
}

/// A process that is killed leaves what it wrote to the operating system; a machine without power does not.
fn cut_power() {
    if !sabotaged(Sabotage::NoDurableLog) {
        return;
    }
    if let Some((segment, len)) = SYNCED.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        let cut = File::options().write(true).open(segment).and_then(|file| file.set_len(*len));
        cut.expect("the segment that is written to is there");
    }
}
