//! The Lambda `query`: answers SQL over hot and cold storage.

use isotherm_platform::lambda::{self, RuntimeEnded};
use lambda_query::QueryFunction;

#[tokio::main]
async fn main() -> Result<(), RuntimeEnded> {
    lambda::run_with_invocation("query", QueryFunction::connect, async |function: &QueryFunction, event, invocation| {
        Ok::<_, isotherm_platform::Fault>(function.handle(event, &invocation).await)
    })
    .await
}
