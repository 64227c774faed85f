//! Tells the queues of the events that wait in the outbox.
//!
//! Rows are taken, sent and deleted in one database transaction a batch. A crash between sending and deleting sends
//! again: SQS drops the second by its deduplication id, and consumers are idempotent besides. Nothing is lost, since
//! a row is deleted only after its queue accepted it.

use isotherm_control::ControlError;
use isotherm_control::outbox::{self, OutboxMessage};
use isotherm_types::{Classified, CrashPoint, Disposition, Queue};
use sqlx::PgPool;

use crate::config::settings::EventQueues;
use crate::queue::{self, BATCH_LIMIT, FifoMessage, QueueError};

/// Why publishing stopped.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The outbox could not be read or cleared.
    #[error("the outbox could not be read or cleared")]
    Outbox {
        /// What `control` reports.
        #[source]
        source: ControlError,
    },
    /// The database's transaction could not be opened or closed.
    #[error("the outbox's transaction failed")]
    Transaction {
        /// What Postgres reports.
        #[source]
        source: sqlx::Error,
    },
    /// A queue did not take a batch.
    #[error("events could not be published")]
    Queue {
        /// What SQS reports.
        #[source]
        source: QueueError,
    },
}

impl Classified for PublishError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Outbox { source } => source.disposition(),
            Self::Transaction { .. } => Disposition::Retry,
            Self::Queue { source } => source.disposition(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Outbox { source } => source.code(),
            Self::Transaction { .. } => "outbox.transaction",
            Self::Queue { source } => source.code(),
        }
    }
}

/// Publishes until nothing is left that this caller may take; returns how many messages were accepted.
///
/// What a queue refuses stays in the outbox and ends this call's work, for it would be refused again at once. Trouble with
/// one queue does not keep the same batch's messages from the others.
///
/// # Errors
/// [`PublishError`]; what was published before stays published.
pub async fn publish_pending(
    pool: &PgPool,
    sqs: &aws_sdk_sqs::Client,
    queues: &EventQueues,
) -> Result<u64, PublishError> {
    let mut published = 0;
    loop {
        let batch = publish_batch(pool, sqs, queues).await?;
        published += batch.accepted;
        if batch.taken < BATCH_LIMIT as u64 || batch.accepted < batch.taken {
            return Ok(published);
        }
    }
}

struct Batch {
    taken: u64,
    accepted: u64,
}

async fn publish_batch(pool: &PgPool, sqs: &aws_sdk_sqs::Client, queues: &EventQueues) -> Result<Batch, PublishError> {
    let mut db_tx = pool.begin().await.map_err(|source| PublishError::Transaction { source })?;
    let limit = u32::try_from(BATCH_LIMIT).expect("the limit of a batch is 10");
    let rows = outbox::take(&mut db_tx, limit).await.map_err(|source| PublishError::Outbox { source })?;
    let mut accepted = Vec::with_capacity(rows.len());
    let mut trouble = None;
    for queue in Queue::ALL {
        let of_queue: Vec<&OutboxMessage> = rows.iter().filter(|row| row.queue == queue).collect();
        if of_queue.is_empty() {
            continue;
        }
        match send(sqs, &of_queue, queues.url(queue)).await {
            Ok(results) => accepted.extend(of_queue.iter().zip(results).filter(|(_, ok)| *ok).map(|(row, _)| row.id)),
            Err(source) => {
                tracing::warn!(error.code = source.code(), error.message = %source, "a queue was not told of events");
                trouble.get_or_insert(source);
            }
        }
    }
    if !accepted.is_empty() {
        CrashPoint::OutboxSent.pass();
    }
    // What was accepted is deleted in any case: otherwise it would be sent again for as long as another queue fails.
    outbox::delete(&mut db_tx, &accepted).await.map_err(|source| PublishError::Outbox { source })?;
    db_tx.commit().await.map_err(|source| PublishError::Transaction { source })?;
    match trouble {
        Some(source) => Err(PublishError::Queue { source }),
        None => Ok(Batch { taken: rows.len() as u64, accepted: accepted.len() as u64 }),
    }
}

async fn send(sqs: &aws_sdk_sqs::Client, rows: &[&OutboxMessage], queue_url: &str) -> Result<Vec<bool>, QueueError> {
    queue::send_batch(sqs, queue_url, &messages(rows, queue_url)?).await
}

fn messages(rows: &[&OutboxMessage], queue_url: &str) -> Result<Vec<FifoMessage>, QueueError> {
    rows.iter()
        .map(|row| {
            let body = serde_json::to_string(&row.wake())
                .map_err(|source| QueueError::Encode { queue_url: queue_url.to_owned(), source })?;
            Ok(FifoMessage { body, group_id: row.message_group.clone(), deduplication_id: row.deduplication_id() })
        })
        .collect()
}
