//! The program of the `block_follower` operator.

use std::process::ExitCode;

use isotherm_platform::operator_main;

#[tokio::main]
async fn main() -> ExitCode {
    operator_main::run("block_follower", operator_block_follower::follow).await
}
