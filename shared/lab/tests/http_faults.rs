//! The proxy that fails calls on purpose, before the real emulator.

use std::sync::{Arc, Mutex};

use isotherm_lab::http_faults::sqs::{SendFault, fail_send};
use isotherm_lab::http_faults::{HttpFaults, Verdict};
use isotherm_lab::ministack::{Ministack, account};
use serde_json::{Value, json};

struct Sqs {
    client: reqwest::Client,
    endpoint: String,
    account: String,
}

impl Sqs {
    /// `None` if the connection was closed without an answer.
    async fn call(&self, operation: &str, body: Value) -> Option<(u16, Value)> {
        let credential = format!("AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/sqs/aws4_request", self.account);
        let request = self.client.post(&self.endpoint).header("x-amz-target", format!("AmazonSQS.{operation}"));
        let request = request.header("content-type", "application/x-amz-json-1.0").header("authorization", credential);
        let answer = request.body(body.to_string()).send().await.ok()?;
        Some((answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()))
    }
}

#[tokio::test]
async fn sending_fails_before_or_after_the_queue_has_the_messages() {
    let fault: Arc<Mutex<Option<SendFault>>> = Arc::default();
    let rule = fault.clone();
    let proxy = HttpFaults::start(Ministack::shared().await.unwrap().endpoint_url(), move |call| {
        rule.lock().unwrap().map_or(Verdict::Pass, |fault| fail_send(call, fault))
    })
    .await
    .unwrap();
    let sqs = Sqs { client: reqwest::Client::new(), endpoint: proxy.endpoint_url(), account: account() };
    let (_, made) = sqs.call("CreateQueue", json!({ "QueueName": "plain" })).await.unwrap();
    let queue_url = made["QueueUrl"].as_str().unwrap();
    let entries = json!([{ "Id": "0", "MessageBody": "a" }, { "Id": "1", "MessageBody": "b" }]);
    let batch = json!({ "QueueUrl": queue_url, "Entries": entries });
    // What is sent under each fault, the status that the sender sees, and the messages in the queue after it.
    for (chosen, status, queued) in [
        (None, Some(200), "2"),
        (Some(SendFault::Refused), Some(503), "2"),
        (Some(SendFault::FailedAfterSending), Some(503), "4"),
        (Some(SendFault::CutAfterSending), None, "6"),
        (Some(SendFault::HalfRefused), Some(200), "7"),
    ] {
        *fault.lock().unwrap() = chosen;
        let answer = sqs.call("SendMessageBatch", batch.clone()).await;
        assert_eq!(answer.as_ref().map(|(status, _)| *status), status, "{chosen:?}");
        if chosen == Some(SendFault::HalfRefused) {
            let (_, body) = answer.unwrap();
            assert_eq!((&body["Failed"][0]["Id"], &body["Successful"][0]["Id"]), (&json!("0"), &json!("1")), "{body}");
        }
        let count = json!({ "QueueUrl": queue_url, "AttributeNames": ["ApproximateNumberOfMessages"] });
        let (_, attributes) = sqs.call("GetQueueAttributes", count).await.unwrap();
        assert_eq!(attributes["Attributes"]["ApproximateNumberOfMessages"], queued, "{chosen:?}");
    }
}
