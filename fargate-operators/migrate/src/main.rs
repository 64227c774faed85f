//! Does what one request asks, and ends.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    operator_migrate::run().await
}
