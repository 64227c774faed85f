//! The `alert_deliver` Lambda: telemetry, configuration, connections, then messages until the end.

use isotherm_platform::lambda::{self, RuntimeEnded};
use lambda_alert_deliver::Deliverer;

#[tokio::main]
async fn main() -> Result<(), RuntimeEnded> {
    lambda::run("alert_deliver", Deliverer::connect, Deliverer::handle).await
}
