//! Runs the worker until there is nothing to do or it is told to stop.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    operator_worker::run().await
}
