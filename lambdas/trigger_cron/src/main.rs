//! The `trigger_cron` Lambda: telemetry, configuration, connections, then events until the end.

use isotherm_platform::lambda::{self, RuntimeEnded};
use lambda_trigger_cron::CronTrigger;

#[tokio::main]
async fn main() -> Result<(), RuntimeEnded> {
    lambda::run("trigger_cron", CronTrigger::connect, CronTrigger::handle).await
}
