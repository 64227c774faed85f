//! Partial failures of a batch from a FIFO queue.
//!
//! **Source**: AWS Lambda Developer Guide, "Implementing partial batch responses": with a FIFO queue, stop at the
//! first failure and return it and all unprocessed messages. The order that matters is the order inside a message
//! group, so groups without a failure go on. So does a group whose message can never be handled: nothing will come of it that
//! the later ones could overtake, and waiting behind it they would be received as often, and end in the dead-letter queue too.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use chrono::{DateTime, Utc};
use futures::FutureExt;
use isotherm_types::{Classified, Clock as _, Disposition, SystemClock};

use crate::fault::Fault;
use crate::metrics::{QUEUE_AGE_SECONDS, emit};
use crate::queue_lengths;

/// Tells how old the oldest message of `event` is.
pub fn tell_age(event: &SqsEvent) {
    if let Some((queue, age_seconds)) = oldest(event, SystemClock.now()) {
        emit(QUEUE_AGE_SECONDS, age_seconds, &[("queue", queue)]);
    }
}

/// The queue that the batch is of, and the age of its oldest message at `now`. Pure.
///
/// Source: Amazon SQS, `ReceiveMessage`: `SentTimestamp` is in milliseconds since 1970.
fn oldest(event: &SqsEvent, now: DateTime<Utc>) -> Option<(&str, f64)> {
    let queue = event.records.iter().find_map(|message| message.event_source_arn.as_deref())?;
    let sent = event.records.iter().filter_map(|message| message.attributes.get("SentTimestamp")?.parse::<i64>().ok());
    let age_ms = now.timestamp_millis().saturating_sub(sent.min()?).max(0);
    Some((queue_lengths::name(queue), age_ms as f64 / 1000.0))
}

/// The failures of a batch, gathered while its messages are handled in order.
#[derive(Debug, Default)]
pub struct FifoBatch {
    blocked_groups: HashSet<String>,
    failures: Vec<String>,
}

impl FifoBatch {
    /// Whether an earlier message of the group of `message` failed; then this one must not be handled, and is marked
    /// as failed by this call.
    pub fn blocks(&mut self, message: &SqsMessage) -> bool {
        let blocked = self.blocked_groups.contains(&group(message));
        if blocked {
            self.failures.extend(message.message_id.clone());
        }
        blocked
    }

    /// Marks `message` as failed, and with it all later ones of its group unless trying again is no use.
    pub fn fail(&mut self, message: &SqsMessage, disposition: Disposition) {
        match disposition {
            Disposition::Retry | Disposition::RetryAfter(_) => {
                self.blocked_groups.insert(group(message));
            }
            Disposition::GiveUp => {}
        }
        self.failures.extend(message.message_id.clone());
    }

    /// What Lambda is told: these stay in the queue, the others are deleted.
    pub fn into_response(self) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        response.set_failures(self.failures);
        response
    }
}

/// The handler of a message panicked, which is a mistake in it. The panic's own words are on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handler of a message panicked")]
pub struct HandlerPanicked;

impl Classified for HandlerPanicked {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "lambda.handler_panicked"
    }
}

/// Handles each message of `event` in order; a failure is logged, and holds back the later messages of its group if it may be
/// handled another time.
///
/// A panic is the failure of its own message: otherwise it would fail the whole batch, and take the innocent messages of it
/// along to the dead-letter queue.
pub async fn handle_each<F: Into<Fault>>(
    event: &SqsEvent,
    mut handle: impl AsyncFnMut(&SqsMessage) -> Result<(), F>,
) -> SqsBatchResponse {
    let mut batch = FifoBatch::default();
    for message in &event.records {
        if batch.blocks(message) {
            continue;
        }
        // What a panic leaves half done is the handler's database transaction, which is rolled back.
        let handled = AssertUnwindSafe(handle(message)).catch_unwind().await;
        let fault = match handled {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.into()),
            Err(_panic) => Some(HandlerPanicked.into()),
        };
        if let Some(fault) = fault {
            tracing::error!(
                message.id = message.message_id.as_deref(),
                error.code = fault.code(),
                error.message = fault.message(),
                "a message failed and stays in its queue"
            );
            batch.fail(message, fault.disposition());
        }
    }
    batch.into_response()
}

/// The message group; a message without one (of a standard queue) is a group of its own.
fn group(message: &SqsMessage) -> String {
    match message.attributes.get("MessageGroupId") {
        Some(group) => format!("group {group}"),
        None => format!("message {}", message.message_id.as_deref().unwrap_or("without id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(messages: &[(&str, &str)]) -> SqsEvent {
        let records: Vec<_> = messages
            .iter()
            .map(
                |(id, group)| serde_json::json!({"messageId": id, "body": id, "attributes": {"MessageGroupId": group}}),
            )
            .collect();
        serde_json::from_value(serde_json::json!({ "Records": records })).unwrap()
    }

    async fn failures(messages: &[(&str, &str)], bad: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut handled = Vec::new();
        let response = handle_each(&event(messages), async |message: &SqsMessage| {
            let id = message.message_id.clone().unwrap();
            handled.push(id.clone());
            if bad.contains(&id.as_str()) {
                Err(crate::outbox_publisher::PublishError::Transaction { source: sqlx::Error::PoolTimedOut })
            } else {
                Ok(())
            }
        })
        .await;
        (response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect(), handled)
    }

    #[tokio::test]
    async fn a_failure_holds_back_its_group_and_no_other() {
        let messages = [("1", "a"), ("2", "b"), ("3", "a"), ("4", "b"), ("5", "c"), ("6", "a")];
        let (failed, handled) = failures(&messages, &["3"]).await;
        assert_eq!(failed, ["3", "6"]);
        assert_eq!(handled, ["1", "2", "3", "4", "5"]);
    }

    #[tokio::test]
    async fn a_message_that_can_never_be_handled_holds_nobody_back() {
        let response = handle_each(&event(&[("1", "a"), ("2", "a"), ("3", "a")]), async |message| {
            let poison = message.message_id.as_deref() == Some("2");
            if poison { Err(crate::ConfigError { faults: Vec::new() }) } else { Ok(()) }
        })
        .await;
        let failed: Vec<_> = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        assert_eq!(failed, ["2"]);
    }

    #[tokio::test]
    async fn a_panic_is_the_failure_of_its_own_message() {
        let response = handle_each(&event(&[("1", "a"), ("2", "b"), ("3", "a"), ("4", "b")]), async |message| {
            assert_ne!(message.message_id.as_deref(), Some("2"), "a mistake");
            Ok::<(), HandlerPanicked>(())
        })
        .await;
        let failed: Vec<_> = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        assert_eq!(failed, ["2"]);
    }

    #[test]
    fn a_batch_is_as_old_as_its_oldest_message() {
        let arn = "arn:aws:sqs:eu-west-1:123456789012:isotherm-events.fifo";
        let record = |sent: i64| serde_json::json!({"eventSourceARN": arn, "attributes": {"SentTimestamp": sent.to_string()}, "body": "x"});
        let event = |records: &[serde_json::Value]| -> SqsEvent {
            serde_json::from_value(serde_json::json!({ "Records": records })).unwrap()
        };
        let now = DateTime::from_timestamp_millis(1_700_000_010_000).unwrap();
        let two = event(&[record(1_700_000_009_000), record(1_700_000_002_500)]);
        assert_eq!(oldest(&two, now), Some(("isotherm-events.fifo", 7.5)));
        assert_eq!(oldest(&event(&[record(1_700_000_011_000)]), now).map(|(_, age)| age), Some(0.0), "clocks differ");
        let untold = event(&[serde_json::json!({"eventSourceARN": arn, "attributes": {}, "body": "x"})]);
        assert_eq!(oldest(&untold, now), None);
        assert_eq!(oldest(&event(&[]), now), None);
    }

    #[tokio::test]
    async fn a_good_batch_has_no_failures() {
        let (failed, handled) = failures(&[("1", "a"), ("2", "a")], &[]).await;
        assert!(failed.is_empty());
        assert_eq!(handled.len(), 2);
    }
}
