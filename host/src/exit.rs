//! Every exit code, and how an error is shown.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use weir_core::{Fault, PortError};

/// The job failed.
pub const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// Another instance owns the job.
pub const OWNED: u8 = 3;
/// State and Kafka disagree, or the state cannot be trusted.
pub const REFUSED: u8 = 4;

/// The code of a job that ended well. A bounded run that was cut short is not done, and says by which signal.
pub fn finished(cut_short: bool, signal: Option<i32>) -> ExitCode {
    match signal.and_then(|signal| u8::try_from(128 + signal).ok()) {
        Some(code) if cut_short => code.into(),
        _ => ExitCode::SUCCESS,
    }
}

/// Shows `error` on standard error; returns its code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        // Whoever read our output has had enough, as in `host run .. | head`: nothing to complain about.
        return ExitCode::SUCCESS;
    }
    let fault = fault(error);
    // When standard error is gone as well, the code is all that is left to say.
    drop(io::stderr().write_all(text(error, fault).as_bytes()));
    code(fault).into()
}

pub(crate) fn code(fault: Fault) -> u8 {
    match fault {
        Fault::Config => USAGE,
        Fault::User | Fault::Transient | Fault::Bug => FAILED,
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
    let api = || error.downcast_ref::<weir_api::Error>().map(weir_api::Error::fault);
    let state = || error.downcast_ref::<weir_state::Error>().map(weir_state::Error::fault);
    let runtime = || error.downcast_ref::<weir_runtime::Error>().map(weir_runtime::Error::fault);
    port.or_else(pipeline).or_else(api).or_else(state).or_else(runtime)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn text(error: &anyhow::Error, fault: Fault) -> String {
    let mut text = format!("error: {error}\n");
    let mut last = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some errors repeat their cause in their own words.
        if !last.ends_with(&cause) {
            writeln!(text, "  cause: {cause}").expect("a string takes everything");
        }
        last = cause;
    }
    let hint = match fault {
        Fault::Bug => "this is a bug in Weir; please report it with the log",
        Fault::Transient => "this may pass by itself; start the job again, it goes on where it was",
        Fault::Config | Fault::User | Fault::Fenced | Fault::Corrupt => return text,
    };
    text + "  hint: " + hint + "\n"
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

    #[test]
    fn an_error_is_a_chain_of_causes() {
        assert_eq!(text(&failed(Fault::User), Fault::User), "error: failed to start\n  cause: disk on fire\n");
        assert!(
            text(&failed(Fault::Bug), Fault::Bug)
                .ends_with("  hint: this is a bug in Weir; please report it with the log\n")
        );
    }

    #[test]
    fn only_a_bounded_run_can_be_cut_short() {
        assert_eq!(finished(true, Some(15)), 143.into());
        assert_eq!(finished(true, Some(2)), 130.into());
        assert_eq!(finished(false, Some(15)), ExitCode::SUCCESS);
        assert_eq!(finished(true, None), ExitCode::SUCCESS);
    }

    #[test]
    fn a_closed_pipe_is_seen_through_the_chain() {
        // As a local sink fails: its own error inside the port's.
        let failed = |kind| {
            let source = weir_local::Error::Write { what: "stdout".into(), source: io::Error::from(kind) };
            anyhow::Error::from(PortError::from(source)).context("failed to write")
        };
        assert!(is_broken_pipe(&failed(io::ErrorKind::BrokenPipe)));
        assert!(!is_broken_pipe(&failed(io::ErrorKind::StorageFull)));
    }
}
