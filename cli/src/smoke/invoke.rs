//! Functions, invoked directly: guarded by AWS IAM, so that no token is needed.

use anyhow::{Context, bail, ensure};
use aws_sdk_lambda::primitives::Blob;
use isotherm_local_stack::names;
use operator_migrate::smoke;
use serde_json::{Value, json};

use super::side::Side;

/// Runs the job that looks around inside; returns its event.
pub(super) async fn run_job(side: &Side, nonce: &str, input: &Value) -> anyhow::Result<i64> {
    let request = json!({
        "version": 1, "action": "run_job", "org": smoke::ORG, "job": smoke::JOB, "input": input, "idempotency_key": nonce,
    });
    let answer = call(side, "api", &request).await?;
    answer["event_id"].as_i64().with_context(|| format!("its answer has no event: {answer}"))
}

/// The rows of one statement.
pub(super) async fn query(side: &Side, sql: &str) -> anyhow::Result<Vec<Value>> {
    let answer = call(side, "query", &json!({ "sql": sql, "org": smoke::ORG, "format": "json" })).await?;
    let rows = answer["rows"].as_array().with_context(|| format!("its answer has no rows: {answer}"))?;
    Ok(rows.clone())
}

async fn call(side: &Side, function: &str, request: &Value) -> anyhow::Result<Value> {
    let name = names::function(function);
    let call = side.clients.lambda().invoke().function_name(&name).payload(Blob::new(request.to_string()));
    let answer = call.send().await.with_context(|| format!("could not invoke {name}"))?;
    let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
    if let Some(kind) = answer.function_error {
        bail!("{name} failed ({kind}): {}", String::from_utf8_lossy(&payload));
    }
    let answer: Value = serde_json::from_slice(&payload).with_context(|| format!("the answer of {name} is no JSON"))?;
    ensure!(answer["error"].is_null(), "{name} refused: {}", answer["error"]);
    Ok(answer)
}
