//! The `trigger_threshold` Lambda: telemetry, configuration, connections, then events until the end.

use isotherm_platform::lambda::{self, RuntimeEnded};
use lambda_trigger_threshold::ThresholdTrigger;

#[tokio::main]
async fn main() -> Result<(), RuntimeEnded> {
    lambda::run("trigger_threshold", ThresholdTrigger::connect, ThresholdTrigger::handle).await
}
