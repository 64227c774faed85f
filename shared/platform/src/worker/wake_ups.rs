//! The worker's own queue, `tasks-<operator>.fifo`.
//!
//! A wake-up is deleted right after its task was claimed: a message can stay in flight for 12 hours at most, and would
//! block its group. From then on Postgres alone knows of the task.

use std::time::Duration;

use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::delete_message::DeleteMessageError;
use aws_sdk_sqs::operation::receive_message::ReceiveMessageError;
use isotherm_types::event::{TaskWake, WAKE_VERSION};
use isotherm_types::{Classified, Disposition, TaskId};

/// Longest poll that SQS allows. Source: Amazon SQS, `ReceiveMessage`, `WaitTimeSeconds`.
const LONGEST_POLL: Duration = Duration::from_secs(20);

/// The queue.
#[derive(Debug)]
pub(super) struct WakeUpQueue<'a> {
    sqs: &'a aws_sdk_sqs::Client,
    url: &'a str,
}

/// A wake-up that was received and not deleted yet.
#[derive(Debug)]
pub(super) struct WakeUp {
    /// The task to claim.
    pub(super) task_id: TaskId,
    receipt_handle: String,
}

/// Why the queue did not do as asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum WakeUpError {
    #[error("queue {url} gave no message")]
    Receive {
        url: String,
        #[source]
        source: Box<SdkError<ReceiveMessageError>>,
    },
    #[error("queue {url} did not delete a message")]
    Delete {
        url: String,
        #[source]
        source: Box<SdkError<DeleteMessageError>>,
    },
    #[error("a message of queue {url} is not a wake-up")]
    Malformed {
        url: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("a message of queue {url} is a wake-up of version {version}, this worker reads {WAKE_VERSION}")]
    Version { url: String, version: u32 },
}

impl Classified for WakeUpError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Receive { .. } | Self::Delete { .. } => Disposition::Retry,
            Self::Malformed { .. } | Self::Version { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Receive { .. } | Self::Delete { .. } => "queue.unavailable",
            Self::Malformed { .. } => "wake_up.malformed",
            Self::Version { .. } => "wake_up.version",
        }
    }
}

impl<'a> WakeUpQueue<'a> {
    pub(super) fn new(sqs: &'a aws_sdk_sqs::Client, url: &'a str) -> Self {
        Self { sqs, url }
    }

    /// Waits for a wake-up, but not longer than `wait`; `None` if there was none.
    ///
    /// A message that is no wake-up is an error and stays in the queue, which moves it to its dead-letter queue.
    pub(super) async fn receive(&self, wait: Duration) -> Result<Option<WakeUp>, WakeUpError> {
        let seconds = i32::try_from(wait.min(LONGEST_POLL).as_secs()).expect("a poll is 20 s at most");
        let url = || self.url.to_owned();
        let request =
            self.sqs.receive_message().queue_url(self.url).max_number_of_messages(1).wait_time_seconds(seconds);
        let answer =
            request.send().await.map_err(|source| WakeUpError::Receive { url: url(), source: Box::new(source) })?;
        let Some(message) = answer.messages().first() else {
            if seconds == 0 {
                // SQS counts in whole seconds, and a poll of zero seconds does not wait.
                tokio::time::sleep(wait).await;
            }
            return Ok(None);
        };
        let wake: TaskWake = serde_json::from_str(message.body().unwrap_or(""))
            .map_err(|source| WakeUpError::Malformed { url: url(), source })?;
        if wake.version != WAKE_VERSION {
            return Err(WakeUpError::Version { url: url(), version: wake.version });
        }
        Ok(Some(WakeUp { task_id: wake.task_id, receipt_handle: message.receipt_handle().unwrap_or("").to_owned() }))
    }

    /// Deletes a wake-up that has been answered.
    pub(super) async fn delete(&self, wake_up: &WakeUp) -> Result<(), WakeUpError> {
        let request = self.sqs.delete_message().queue_url(self.url).receipt_handle(&wake_up.receipt_handle);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(source) => Err(WakeUpError::Delete { url: self.url.to_owned(), source: Box::new(source) }),
        }
    }
}
