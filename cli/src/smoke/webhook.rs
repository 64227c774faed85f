//! One delivery to the webhook of the smoke organisation, through the HTTP API.

use std::time::Duration;

use anyhow::{Context, ensure};
use isotherm_types::{Clock as _, SystemClock};
use operator_migrate::smoke;
use serde_json::{Value, json};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};

use super::side::Side;

/// Longest wait for the answer: the function may have to be started.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends it, and returns the event that it became.
pub(super) async fn deliver(side: &Side, nonce: &str) -> anyhow::Result<i64> {
    let key = side.signing_key().await?;
    let body = json!({ "nonce": nonce }).to_string();
    let (id, at) = (format!("smoke_{nonce}"), SystemClock.now().timestamp());
    let signed = Webhook::new(&key).and_then(|webhook| webhook.sign(&id, at, body.as_bytes()));
    let signature = signed.ok().with_context(|| format!("the secret {} is no signing key", smoke::SIGNING_KEY))?;
    let url = format!("{}/v1/webhooks/{}/{}", side.api_url, smoke::ORG, smoke::TRIGGER);
    let call = reqwest::Client::new()
        .post(url)
        .timeout(TIMEOUT)
        .header(HEADER_WEBHOOK_ID, id)
        .header(HEADER_WEBHOOK_TIMESTAMP, at.to_string())
        .header(HEADER_WEBHOOK_SIGNATURE, signature)
        .header("content-type", "application/json")
        .body(body);
    let response = call.send().await.context("the API does not answer")?;
    let status = response.status();
    let text = response.text().await.context("the API's answer broke off")?;
    ensure!(status == reqwest::StatusCode::ACCEPTED, "the API answers {status}: {text}");
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("the API's answer is no JSON: {text}"))?;
    answer["event_id"].as_i64().with_context(|| format!("the API's answer has no event: {answer}"))
}
