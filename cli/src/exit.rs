//! How the command ends.

use std::process::ExitCode;

/// Prints `error` and its causes as one sentence and gives the exit code of a failure, 1.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("isotherm: {error:#}");
    ExitCode::FAILURE
}
