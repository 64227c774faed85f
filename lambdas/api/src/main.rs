//! The `api` Lambda: telemetry, configuration, then calls until the end.

use isotherm_platform::lambda::{self, RuntimeEnded};
use lambda_api::Api;

#[tokio::main]
async fn main() -> Result<(), RuntimeEnded> {
    lambda::run_with_invocation("api", Api::connect, async |api: &Api, event, invocation| {
        Ok::<_, isotherm_platform::Fault>(api.handle(event, &invocation).await)
    })
    .await
}
