//! Runs one noop task.

use std::process::ExitCode;

use isotherm_platform::operator_main;

#[tokio::main]
async fn main() -> ExitCode {
    operator_main::run("noop", operator_noop::run).await
}
