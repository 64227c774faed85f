//! How many messages queues hold, and those that nobody could handle: asked of SQS, told as metrics.
//!
//! AWS has such figures of its own, which alarms watch; these are there on one machine too, and beside the others.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use futures::future::join_all;
use serde_json::Value;

use crate::dead_letters::{self, DeadLetterError};
use crate::fault::Fault;
use crate::metrics::{DLQ_DEPTH, QUEUE_DEPTH, emit};

/// Asks for the lengths of the queues at `queue_urls` and of their dead-letter queues, and tells them. A queue that does not answer
/// is logged and has no line.
pub async fn tell<'u>(sqs: &Client, queue_urls: impl IntoIterator<Item = &'u str>) {
    join_all(queue_urls.into_iter().map(|queue_url| tell_one(sqs, queue_url))).await;
}

/// Tells the length of a queue that only people read.
pub async fn tell_dead_letters(sqs: &Client, queue_url: &str) {
    match dead_letters::depth(sqs, queue_url).await {
        Ok(depth) => emit(DLQ_DEPTH, depth as f64, &[("queue", name(queue_url))]),
        Err(error) => report(error, queue_url),
    }
}

async fn tell_one(sqs: &Client, queue_url: &str) {
    match dead_letters::depth(sqs, queue_url).await {
        Ok(depth) => emit(QUEUE_DEPTH, depth as f64, &[("queue", name(queue_url))]),
        Err(error) => return report(error, queue_url),
    }
    match dead_letter_queue(sqs, queue_url).await {
        Ok(Some(dead_letter_url)) => tell_dead_letters(sqs, &dead_letter_url).await,
        Ok(None) => {}
        Err(error) => report(error, queue_url),
    }
}

/// URL of the queue where messages go that nobody could handle, if there is one.
async fn dead_letter_queue(sqs: &Client, queue_url: &str) -> Result<Option<String>, DeadLetterError> {
    let asked = sqs.get_queue_attributes().queue_url(queue_url).attribute_names(QueueAttributeName::RedrivePolicy);
    let answer = asked.send().await.map_err(dead_letters::unavailable(queue_url, "say where its dead letters go"))?;
    let policy = answer.attributes().and_then(|attributes| attributes.get(&QueueAttributeName::RedrivePolicy));
    Ok(policy.and_then(|policy| url_beside(queue_url, policy)))
}

/// The queue that a redrive policy names, of the same account and region. Pure.
///
/// Source: Amazon SQS, "Queue and message identifiers": a URL ends with the account and the name; an ARN ends with the name.
fn url_beside(queue_url: &str, policy: &str) -> Option<String> {
    let policy: Value = serde_json::from_str(policy).ok()?;
    let (_, name) = policy["deadLetterTargetArn"].as_str()?.rsplit_once(':')?;
    let (account, _) = queue_url.rsplit_once('/')?;
    Some(format!("{account}/{name}"))
}

/// A queue's name, which its URL and its ARN end with.
pub fn name(address: &str) -> &str {
    address.rsplit(['/', ':']).next().unwrap_or(address)
}

fn report(error: DeadLetterError, queue_url: &str) {
    let fault = Fault::from(error);
    tracing::warn!(
        queue.url = queue_url,
        error.code = fault.code(),
        error.message = fault.message(),
        "the length of a queue is not known"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_letter_queue_is_beside_its_source() {
        let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/isotherm-events.fifo";
        let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:isotherm-events-dlq.fifo","maxReceiveCount":5}"#;
        let expected = "https://sqs.eu-west-1.amazonaws.com/123456789012/isotherm-events-dlq.fifo";
        assert_eq!(url_beside(url, policy).as_deref(), Some(expected));
        for policy in ["", "{}", r#"{"deadLetterTargetArn":7}"#] {
            assert_eq!(url_beside(url, policy), None, "{policy}");
        }
        assert_eq!(
            [url, "arn:aws:sqs:eu-west-1:123456789012:isotherm-events.fifo"].map(name),
            ["isotherm-events.fifo"; 2]
        );
    }
}
