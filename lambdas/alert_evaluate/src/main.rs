//! The `alert_evaluate` Lambda: telemetry, configuration, connections, then events until the end.

use isotherm_platform::lambda::{self, RuntimeEnded};
use lambda_alert_evaluate::Evaluator;

#[tokio::main]
async fn main() -> Result<(), RuntimeEnded> {
    lambda::run("alert_evaluate", Evaluator::connect, Evaluator::handle).await
}
