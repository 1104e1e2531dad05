//! Every exit code, and how an error is shown.

use std::error::Error as StdError;
use std::io;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use weir_core::text::printable_lines;
use weir_core::{Fault, PortError};

use crate::telemetry::{self, INDENT};

/// The job failed.
pub const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// Another instance owns the job.
pub const OWNED: u8 = 3;
/// State and Kafka disagree, or the state cannot be trusted.
pub const REFUSED: u8 = 4;

/// The code of a job that ended well. A bounded run that was cut short is not done, and says by which signal.
pub fn finished(cut_short: bool, signal: Option<i32>) -> u8 {
    signal.map_or(0, |signal| stopped(cut_short, signal))
}

/// The code of a job that `signal` stopped.
pub(crate) fn stopped(cut_short: bool, signal: i32) -> u8 {
    if cut_short { u8::try_from(128 + signal).unwrap_or(FAILED) } else { 0 }
}

/// Shows `error` on standard error; returns its code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if has_lost_its_reader(error) {
        // Whoever read our output has had enough, as in `host run .. | head`: nothing to complain about.
        return ExitCode::SUCCESS;
    }
    let fault = fault(error);
    let said = Said::of(error, fault);
    telemetry::last_error(&said.text(), &said.message, said.fields(fault));
    if leaves_something_behind(error) {
        leave(code(fault));
    }
    code(fault).into()
}

/// Ends the process without a wait for anything but its last words: libraries that tidy up at the end would wait for threads that hang.
pub(crate) fn leave(code: u8) -> ! {
    telemetry::settle();
    signal_hook::low_level::exit(code.into())
}

/// Whether threads may still hang in a disk or a client.
fn leaves_something_behind(error: &anyhow::Error) -> bool {
    use weir_runtime::Error::{Hung, LeftBehind, Stalled, StopTimedOut, Stuck};
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<weir_runtime::Error>());
    causes.any(|cause| matches!(cause, Stuck { .. } | StopTimedOut(_) | LeftBehind(..) | Hung { .. } | Stalled { .. }))
}

/// Shows what is wrong with the command line, as `usage` says it; returns its code.
pub(crate) fn report_usage(usage: &str, code: u8) -> ExitCode {
    let message = usage.trim_end().trim_start_matches("error: ");
    let fields = Map::from_iter([("exit_code".to_owned(), code.into())]);
    telemetry::last_error(usage, message, fields);
    code.into()
}

pub(crate) fn code(fault: Fault) -> u8 {
    match fault {
        Fault::Config => USAGE,
        Fault::User | Fault::Denied | Fault::Transient | Fault::Bug => FAILED,
        Fault::Fenced => OWNED,
        Fault::Corrupt => REFUSED,
    }
}

/// Who must act: the outermost error that knows.
pub(crate) fn fault(error: &anyhow::Error) -> Fault {
    error.chain().find_map(fault_of).unwrap_or(Fault::User)
}

fn fault_of(error: &(dyn StdError + 'static)) -> Option<Fault> {
    let port = error.downcast_ref::<PortError>().map(PortError::fault);
    let pipeline = || error.downcast_ref::<weir_pipeline::Error>().map(weir_pipeline::Error::fault);
    let mistakes = || error.downcast_ref::<weir_pipeline::Mistakes>().map(weir_pipeline::Mistakes::fault);
    let api = || error.downcast_ref::<weir_api::Error>().map(weir_api::Error::fault);
    let state = || error.downcast_ref::<weir_state::Error>().map(weir_state::Error::fault);
    let runtime = || error.downcast_ref::<weir_runtime::Error>().map(weir_runtime::Error::fault);
    port.or_else(pipeline).or_else(mistakes).or_else(api).or_else(state).or_else(runtime)
}

/// Only of stdout: a pipe that breaks anywhere else (a FIFO that is written to as a file) is a failure.
fn has_lost_its_reader(error: &anyhow::Error) -> bool {
    let mut local = error.chain().filter_map(|cause| {
        let cause = cause.downcast_ref().map_or(cause, PortError::inner);
        cause.downcast_ref::<weir_local::Error>()
    });
    local.any(|cause| matches!(cause, weir_local::Error::Stdout(io) if io.kind() == io::ErrorKind::BrokenPipe))
}

/// What is said of an error. Its texts may be of guests, records, brokers or files.
struct Said {
    message: String,
    causes: Vec<String>,
    hint: Option<&'static str>,
}

impl Said {
    fn of(error: &anyhow::Error, fault: Fault) -> Self {
        let mut causes = Vec::new();
        let mut last = error.to_string();
        for cause in error.chain().skip(1).map(ToString::to_string) {
            // Some errors repeat their cause in their own words.
            if !last.ends_with(&cause) {
                causes.push(cause.clone());
            }
            last = cause;
        }
        let hint = match fault {
            Fault::Bug => Some("this is a bug in Weir; please report it with the log"),
            Fault::Transient => Some("this may pass by itself; start the job again, it goes on where it was"),
            Fault::Config | Fault::User | Fault::Denied | Fault::Fenced | Fault::Corrupt => None,
        };
        Self { message: error.to_string(), causes, hint }
    }

    /// For people: one cause a line, and nothing in it that acts on a terminal or looks like another line of ours.
    fn text(&self) -> String {
        let hint = self.hint.map(|hint| ("  hint", hint));
        let causes = self.causes.iter().map(|cause| ("  cause", cause.as_str()));
        let lines = [("error", self.message.as_str())].into_iter().chain(causes).chain(hint);
        lines.map(|(head, text)| format!("{head}: {}\n", printable_lines(text, INDENT))).collect()
    }

    /// For programs, beside the message.
    fn fields(&self, fault: Fault) -> Map<String, Value> {
        let fields = [
            ("causes", json!(self.causes)),
            ("hint", json!(self.hint)),
            ("fault", json!(format!("{fault:?}").to_lowercase())),
            ("exit_code", json!(code(fault))),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    fn failed(fault: Fault) -> anyhow::Error {
        Err::<(), _>(PortError::new(fault, io::Error::other("disk on fire"))).context("failed to start").unwrap_err()
    }

    #[test]
    fn each_fault_has_its_code() {
        for (fault, wanted) in [
            (Fault::User, FAILED),
            (Fault::Denied, FAILED),
            (Fault::Transient, FAILED),
            (Fault::Bug, FAILED),
            (Fault::Config, USAGE),
            (Fault::Fenced, OWNED),
            (Fault::Corrupt, REFUSED),
        ] {
            assert_eq!(code(super::fault(&failed(fault))), wanted, "{fault:?}");
        }
        assert_eq!(fault(&anyhow::anyhow!("no idea")), Fault::User);
    }

    fn text(error: &anyhow::Error, fault: Fault) -> String {
        Said::of(error, fault).text()
    }

    #[test]
    fn an_error_is_a_chain_of_causes() {
        assert_eq!(text(&failed(Fault::User), Fault::User), "error: failed to start\n  cause: disk on fire\n");
        assert!(
            text(&failed(Fault::Bug), Fault::Bug)
                .ends_with("  hint: this is a bug in Weir; please report it with the log\n")
        );
    }

    #[test]
    fn an_error_cannot_act_on_the_terminal_or_speak_in_our_name() {
        let error =
            anyhow::anyhow!("\x1b[2Ktrap \u{202e}txt.exe\nerror: all is well").context("failed\r\x07 in f\n\u{9b}");
        let shown = text(&error, Fault::User);
        assert_eq!(
            shown,
            "error: failed\\r\\u{7} in f\n    \\u{9b}\n  cause: \\u{1b}[2Ktrap \\u{202e}txt.exe\n    error: all is well\n"
        );
    }

    #[test]
    fn an_error_as_json_has_the_code_and_all_causes() {
        let fields = Said::of(&failed(Fault::Transient), Fault::Transient).fields(Fault::Transient);
        let hint = "this may pass by itself; start the job again, it goes on where it was";
        let wanted = json!({"causes": ["disk on fire"], "hint": hint, "fault": "transient", "exit_code": 1});
        assert_eq!(Value::Object(fields), wanted);
    }

    #[test]
    fn only_a_bounded_run_can_be_cut_short() {
        assert_eq!(finished(true, Some(15)), 143);
        assert_eq!(finished(true, Some(2)), 130);
        assert_eq!(finished(false, Some(15)), 0);
        assert_eq!(finished(true, None), 0);
    }

    #[test]
    fn only_the_reader_of_stdout_may_be_gone() {
        // As a local sink fails: its own error inside the port's.
        let failed = |error: weir_local::Error| anyhow::Error::from(PortError::from(error)).context("failed to write");
        let io = io::Error::from;
        let stdout = |kind| failed(weir_local::Error::Stdout(io(kind)));
        assert!(has_lost_its_reader(&stdout(io::ErrorKind::BrokenPipe)));
        assert!(!has_lost_its_reader(&stdout(io::ErrorKind::StorageFull)));
        let file = weir_local::Error::Write { what: "stdout".into(), source: io(io::ErrorKind::BrokenPipe) };
        assert!(!has_lost_its_reader(&failed(file)));
        assert!(!has_lost_its_reader(&anyhow::Error::from(io(io::ErrorKind::BrokenPipe))));
    }
}
