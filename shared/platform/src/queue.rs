//! Sending to SQS FIFO queues in batches.
//!
//! Bodies are ids; the truth is in Postgres. A message that a queue does not accept is reported, not retried here:
//! whoever sends has a row that is sent again.

use aws_sdk_sqs::error::{BuildError, SdkError};
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchError;
use aws_sdk_sqs::types::{SendMessageBatchRequestEntry, SendMessageBatchResultEntry};
use isotherm_types::{Classified, Disposition};

/// Most messages that one call takes. Source: Amazon SQS, `SendMessageBatch`.
pub const BATCH_LIMIT: usize = 10;

/// One message to a FIFO queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FifoMessage {
    /// JSON text.
    pub body: String,
    /// Messages of one group are read in order.
    pub group_id: String,
    /// A second message with the same id within five minutes is dropped.
    pub deduplication_id: String,
}

/// Why messages could not be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// SQS did not answer, or refused the call.
    #[error("queue {queue_url} did not take the messages")]
    Unavailable {
        /// The queue.
        queue_url: String,
        /// What the SDK reports.
        #[source]
        source: Box<SdkError<SendMessageBatchError>>,
    },
    /// A message is not complete.
    #[error("a message for queue {queue_url} is not complete")]
    Incomplete {
        /// The queue.
        queue_url: String,
        /// What the SDK reports.
        #[source]
        source: BuildError,
    },
    /// The body cannot be written as JSON.
    #[error("a message for queue {queue_url} cannot be written as JSON")]
    Encode {
        /// The queue.
        queue_url: String,
        /// What serde reports.
        #[source]
        source: serde_json::Error,
    },
}

impl Classified for QueueError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } => Disposition::Retry,
            Self::Incomplete { .. } | Self::Encode { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "queue.unavailable",
            Self::Incomplete { .. } => "queue.message_incomplete",
            Self::Encode { .. } => "queue.message_not_json",
        }
    }
}

/// Sends at most [`BATCH_LIMIT`] messages in one call; returns for each whether the queue accepted it.
///
/// # Errors
/// [`QueueError`], if the call as a whole failed; then none counts as accepted.
pub async fn send_batch(
    sqs: &aws_sdk_sqs::Client,
    queue_url: &str,
    messages: &[FifoMessage],
) -> Result<Vec<bool>, QueueError> {
    let mut entries = Vec::with_capacity(messages.len());
    for (i, message) in messages.iter().enumerate() {
        let entry = SendMessageBatchRequestEntry::builder()
            .id(i.to_string())
            .message_body(&message.body)
            .message_group_id(&message.group_id)
            .message_deduplication_id(&message.deduplication_id)
            .build()
            .map_err(|source| QueueError::Incomplete { queue_url: queue_url.to_owned(), source })?;
        entries.push(entry);
    }
    let sent = sqs.send_message_batch().queue_url(queue_url).set_entries(Some(entries)).send().await;
    let answer =
        sent.map_err(|source| QueueError::Unavailable { queue_url: queue_url.to_owned(), source: Box::new(source) })?;
    for failure in answer.failed() {
        tracing::warn!(
            queue.url = queue_url,
            error.code = failure.code(),
            error.message = failure.message(),
            "the queue did not accept a message"
        );
    }
    let accepted: Vec<&str> = answer.successful().iter().map(SendMessageBatchResultEntry::id).collect();
    Ok((0..messages.len()).map(|i| accepted.contains(&i.to_string().as_str())).collect())
}
