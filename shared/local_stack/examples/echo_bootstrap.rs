//! A Lambda function for tests: keeps each event as a file and answers with what it saw.

use std::path::PathBuf;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(echo)).await
}

#[expect(clippy::disallowed_methods, reason = "a test program with two variables")]
async fn echo(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let folder = PathBuf::from(std::env::var("ECHO_FOLDER")?);
    let name = &event.context.env_config.function_name;
    let id = &event.context.request_id;
    let text = serde_json::to_vec(&event.payload)?;
    // Renamed when it is whole, so that a reader never sees half of it.
    let part = folder.join(format!("{name}.{id}.part"));
    std::fs::write(&part, text)?;
    std::fs::rename(&part, folder.join(format!("{name}.{id}.json")))?;
    let bundled = std::env::var("LAMBDA_TASK_ROOT").map(|root| PathBuf::from(root).join("lib/libduckdb.so").exists());
    Ok(json!({ "batchItemFailures": [], "endpoint": std::env::var("AWS_ENDPOINT_URL")?, "bundled": bundled? }))
}
