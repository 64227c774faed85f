//! Messages that nobody could handle: looking at them without taking them, sending them back, and dropping them.
//!
//! A queue's own dead-letter queue (`…-dlq`) holds messages that its reader failed on; `dead_letters` holds one message for each
//! task that failed for good. This module knows messages only; what a message stands for is its callers' business.
//!
//! SQS has no way to look: a message is received, hidden for [`HOLD`], and put back. While messages of a group are hidden,
//! those behind them are not given out: of one group at most [`RECEIVE_LIMIT`] can be seen at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName as Attribute, QueueAttributeName,
};
use chrono::{DateTime, Utc};
use isotherm_types::{Classified, Disposition};

use crate::queue::{self, FifoMessage, QueueError};

/// How long a message that is looked at is hidden, if whoever looks dies before it is put back.
pub const HOLD: Duration = Duration::from_secs(30);
/// Most messages that one call gives. Source: Amazon SQS, `ReceiveMessage`, `MaxNumberOfMessages`.
pub const RECEIVE_LIMIT: i32 = 10;
/// Most messages that are looked at in one go.
pub const MOST_SEEN: usize = 1_000;
/// A poll of a second asks all of a queue's servers; a shorter one asks some and may find nothing.
const POLL_SECONDS: i32 = 1;

/// One message, as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Given by SQS when it was sent; kept when it moved to the dead-letter queue.
    pub message_id: String,
    /// Its message group.
    pub group_id: String,
    /// How often it was received, this time and earlier looks included.
    pub receive_count: u64,
    /// When it was first received.
    pub first_received_at: Option<DateTime<Utc>>,
    /// When it came into this queue.
    pub sent_at: Option<DateTime<Utc>>,
    /// Its text: ids, or what somebody sent who should not have.
    pub body: String,
    receipt_handle: String,
}

impl DeadLetter {
    /// Deduplication id of the message that stands for it in the source queue: the same however often it is sent back, so that
    /// a crash between sending and deleting has no second effect.
    fn deduplication_id(&self) -> String {
        format!("redrive-{}", self.message_id)
    }
}

/// What a look at a queue showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// In the order in which they were received.
    pub letters: Vec<DeadLetter>,
    /// Messages that the queue holds besides: behind others of their group, or hidden by somebody else's look.
    pub unseen: u64,
}

/// Which messages are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// Those with these ids.
    Ids(BTreeSet<String>),
}

impl Selection {
    fn wants(&self, letter: &DeadLetter) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.contains(&letter.message_id),
        }
    }

    fn is_over(&self, handled: &BTreeSet<String>) -> bool {
        match self {
            Self::All => false,
            Self::Ids(ids) => ids.is_subset(handled),
        }
    }
}

/// What is to become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is deleted.
    Delete,
    /// It stays.
    Keep,
}

/// Why a queue did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// SQS did not answer, or refused the call.
    #[error("queue {queue_url} could not {action}")]
    Unavailable {
        /// The queue.
        queue_url: String,
        /// What it was to do.
        action: &'static str,
        /// What the SDK reports.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The source queue did not accept a message; it stays where it was.
    #[error("queue {queue_url} did not accept message {message_id}")]
    NotAccepted {
        /// The source queue.
        queue_url: String,
        /// The message.
        message_id: String,
    },
    /// The source queue could not be written to.
    #[error("a message could not be sent back")]
    Send {
        /// What it reports.
        #[source]
        source: QueueError,
    },
}

impl Classified for DeadLetterError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } | Self::NotAccepted { .. } => Disposition::Retry,
            Self::Send { source } => source.disposition(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "queue.unavailable",
            Self::NotAccepted { .. } => "queue.not_accepted",
            Self::Send { source } => source.code(),
        }
    }
}

pub(crate) fn unavailable<E, R>(queue_url: &str, action: &'static str) -> impl FnOnce(SdkError<E, R>) -> DeadLetterError
where
    SdkError<E, R>: std::error::Error + Send + Sync + 'static,
{
    let queue_url = queue_url.to_owned();
    move |source| DeadLetterError::Unavailable { queue_url, action, source: Box::new(source) }
}

/// Messages that the queue holds, hidden ones included, as SQS reckons.
///
/// # Errors
/// [`DeadLetterError::Unavailable`].
pub async fn depth(sqs: &Client, queue_url: &str) -> Result<u64, DeadLetterError> {
    let counted = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let asked = sqs.get_queue_attributes().queue_url(queue_url).set_attribute_names(Some(counted.to_vec()));
    let answer = asked.send().await.map_err(unavailable(queue_url, "be asked for its length"))?;
    let attributes = answer.attributes();
    let count = |name| attributes?.get(name)?.parse::<u64>().ok();
    Ok(counted.iter().filter_map(count).sum())
}

/// Looks at the queue's messages and puts them back.
///
/// # Errors
/// [`DeadLetterError::Unavailable`]; messages not put back then come back after [`HOLD`].
pub async fn peek(sqs: &Client, queue_url: &str) -> Result<Seen, DeadLetterError> {
    let held = depth(sqs, queue_url).await?;
    let mut letters = Vec::new();
    while letters.len() < MOST_SEEN {
        let page = receive(sqs, queue_url).await?;
        if page.is_empty() {
            break;
        }
        letters.extend(page);
    }
    put_back(sqs, queue_url, &letters).await?;
    let unseen = held.saturating_sub(letters.len() as u64);
    Ok(Seen { letters, unseen })
}

/// Asks `decide` about each message that is meant, and deletes or keeps it. Returns the ids of those that were asked about.
///
/// Of one group, messages behind kept ones are not reached.
///
/// # Errors
/// What `decide` reports, or [`DeadLetterError`]: the message at fault and those after it stay in the queue.
pub async fn handle<E: From<DeadLetterError>>(
    sqs: &Client,
    queue_url: &str,
    selection: &Selection,
    mut decide: impl AsyncFnMut(&DeadLetter) -> Result<Verdict, E>,
) -> Result<BTreeSet<String>, E> {
    let mut handled = BTreeSet::new();
    let mut kept = Vec::new();
    let outcome = loop {
        if selection.is_over(&handled) || kept.len() >= MOST_SEEN {
            break Ok(());
        }
        let mut page = receive(sqs, queue_url).await?.into_iter();
        if page.len() == 0 {
            break Ok(());
        }
        let fault = handle_page(sqs, queue_url, selection, &mut decide, &mut page, &mut handled, &mut kept).await;
        if let Err(error) = fault {
            kept.extend(page);
            break Err(error);
        }
    };
    put_back(sqs, queue_url, &kept).await?;
    outcome.map(|()| handled)
}

async fn handle_page<E: From<DeadLetterError>>(
    sqs: &Client,
    queue_url: &str,
    selection: &Selection,
    decide: &mut impl AsyncFnMut(&DeadLetter) -> Result<Verdict, E>,
    page: &mut std::vec::IntoIter<DeadLetter>,
    handled: &mut BTreeSet<String>,
    kept: &mut Vec<DeadLetter>,
) -> Result<(), E> {
    for letter in page {
        if !selection.wants(&letter) {
            kept.push(letter);
            continue;
        }
        match decide(&letter).await {
            Ok(Verdict::Delete) => delete(sqs, queue_url, &letter).await?,
            Ok(Verdict::Keep) => kept.push(letter.clone()),
            Err(error) => {
                kept.push(letter);
                return Err(error);
            }
        }
        handled.insert(letter.message_id);
    }
    Ok(())
}

/// Sends the message to the queue that it came from: same text, same group. To be deleted only after that.
///
/// # Errors
/// [`DeadLetterError::Send`] or [`DeadLetterError::NotAccepted`].
pub async fn send_back(sqs: &Client, source_url: &str, letter: &DeadLetter) -> Result<(), DeadLetterError> {
    let message = FifoMessage {
        body: letter.body.clone(),
        group_id: letter.group_id.clone(),
        deduplication_id: letter.deduplication_id(),
    };
    let sent = queue::send_batch(sqs, source_url, &[message]).await;
    match sent.map_err(|source| DeadLetterError::Send { source })?.as_slice() {
        [true] => Ok(()),
        _ => Err(DeadLetterError::NotAccepted {
            queue_url: source_url.to_owned(),
            message_id: letter.message_id.clone(),
        }),
    }
}

async fn receive(sqs: &Client, queue_url: &str) -> Result<Vec<DeadLetter>, DeadLetterError> {
    let hold = i32::try_from(HOLD.as_secs()).expect("half a minute");
    let asked = sqs
        .receive_message()
        .queue_url(queue_url)
        .max_number_of_messages(RECEIVE_LIMIT)
        .visibility_timeout(hold)
        .wait_time_seconds(POLL_SECONDS)
        .message_system_attribute_names(Attribute::All);
    let answer = asked.send().await.map_err(unavailable(queue_url, "give messages"))?;
    Ok(answer.messages.unwrap_or_default().into_iter().map(DeadLetter::from).collect())
}

impl From<Message> for DeadLetter {
    fn from(message: Message) -> Self {
        let attributes = message.attributes.unwrap_or_default();
        let text = |name| attributes.get(&name).cloned();
        // Milliseconds since 1970. Source: Amazon SQS, `ReceiveMessage`.
        let instant = |name| DateTime::from_timestamp_millis(attributes.get(&name)?.parse().ok()?);
        Self {
            group_id: text(Attribute::MessageGroupId).unwrap_or_default(),
            receive_count: text(Attribute::ApproximateReceiveCount).and_then(|count| count.parse().ok()).unwrap_or(0),
            first_received_at: instant(Attribute::ApproximateFirstReceiveTimestamp),
            sent_at: instant(Attribute::SentTimestamp),
            message_id: message.message_id.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
            receipt_handle: message.receipt_handle.unwrap_or_default(),
        }
    }
}

/// Makes the messages visible again at once. One that SQS does not put back comes back by itself after [`HOLD`].
async fn put_back(sqs: &Client, queue_url: &str, letters: &[DeadLetter]) -> Result<(), DeadLetterError> {
    for batch in letters.chunks(queue::BATCH_LIMIT) {
        let mut entries = Vec::with_capacity(batch.len());
        for (i, letter) in batch.iter().enumerate() {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(i.to_string())
                .receipt_handle(&letter.receipt_handle)
                .visibility_timeout(0)
                .build()
                .map_err(|source| DeadLetterError::Unavailable {
                    queue_url: queue_url.to_owned(),
                    action: "put messages back",
                    source: Box::new(source),
                })?;
            entries.push(entry);
        }
        let asked = sqs.change_message_visibility_batch().queue_url(queue_url).set_entries(Some(entries));
        asked.send().await.map_err(unavailable(queue_url, "put messages back"))?;
    }
    Ok(())
}

async fn delete(sqs: &Client, queue_url: &str, letter: &DeadLetter) -> Result<(), DeadLetterError> {
    let asked = sqs.delete_message().queue_url(queue_url).receipt_handle(&letter.receipt_handle);
    asked.send().await.map(drop).map_err(unavailable(queue_url, "delete a message"))
}
