//! How the command ends.

use std::process::ExitCode;

/// Exit code of a check that was made and found something wrong: neither a failure, which is 1, nor a wrong option, 2.
pub(crate) const UNSOUND: u8 = 3;

/// Prints `error` and its causes as one sentence and gives the exit code of a failure, 1.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("isotherm: {error:#}");
    ExitCode::FAILURE
}

/// Prints what went wrong without ending the command.
pub(crate) fn warn(error: &anyhow::Error) {
    eprintln!("isotherm: warning: {error:#}");
}
