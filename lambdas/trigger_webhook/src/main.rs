//! The `trigger_webhook` Lambda: telemetry, configuration, then deliveries until the end.

use isotherm_platform::lambda::{self, RuntimeEnded};
use lambda_trigger_webhook::WebhookTrigger;

#[tokio::main]
async fn main() -> Result<(), RuntimeEnded> {
    lambda::run("trigger_webhook", WebhookTrigger::connect, WebhookTrigger::handle).await
}
