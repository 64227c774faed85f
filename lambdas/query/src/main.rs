//! The Lambda `query`: answers SQL over hot and cold storage.

use isotherm_platform::lambda::{self, RuntimeEnded};
use lambda_query::QueryFunction;

#[tokio::main]
async fn main() -> Result<(), RuntimeEnded> {
    lambda::run("query", QueryFunction::connect, async |function: &QueryFunction, event| function.handle(event).await)
        .await
}
