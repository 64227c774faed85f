//! The `reaper` Lambda: telemetry, configuration, connections, then events until the end.

use isotherm_platform::lambda::{self, RuntimeEnded};
use lambda_reaper::Reaper;

#[tokio::main]
async fn main() -> Result<(), RuntimeEnded> {
    lambda::run("reaper", Reaper::connect, Reaper::handle).await
}
