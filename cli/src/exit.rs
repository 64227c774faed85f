//! How the command ends.

use std::process::ExitCode;

/// Prints `error` and its causes as one sentence and gives the exit code of a failure, 1.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("isotherm: {error:#}");
    ExitCode::FAILURE
}

/// Prints what went wrong without ending the command.
pub(crate) fn warn(error: &anyhow::Error) {
    eprintln!("isotherm: warning: {error:#}");
}
