//! The `dispatcher` Lambda: telemetry, configuration, connections, then events until the end.

use isotherm_platform::lambda::{self, RuntimeEnded};
use lambda_dispatcher::Dispatcher;

#[tokio::main]
async fn main() -> Result<(), RuntimeEnded> {
    lambda::run("dispatcher", Dispatcher::connect, Dispatcher::handle).await
}
