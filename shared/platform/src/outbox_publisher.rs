//! Tells the queues of the events that wait in the outbox.
//!
//! Rows are taken, sent and deleted in one database transaction a batch. A crash between sending and deleting sends
//! again: SQS drops the second by its deduplication id, and consumers are idempotent besides. Nothing is lost, since
//! a row is deleted only after its queue accepted it.

use std::collections::{HashMap, HashSet};

use isotherm_control::ControlError;
use isotherm_control::outbox::{self, OutboxMessage};
use isotherm_types::{Classified, CrashPoint, Disposition, Queue};
use sqlx::{Connection as _, PgPool};

use crate::config::settings::EventQueues;
use crate::database::{self, PATIENCE, answered_within};
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
        #[from]
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
/// What a queue refuses stays in the outbox, and this call asks that queue no more, for it would refuse again at once. The
/// others are told of all that waits for them, however much waits for that one.
///
/// # Errors
/// [`PublishError`]; what was published before stays published.
pub async fn publish_pending(
    pool: &PgPool,
    sqs: &aws_sdk_sqs::Client,
    queues: &EventQueues,
) -> Result<u64, PublishError> {
    let mut open = Queue::ALL.to_vec();
    let (mut published, mut trouble) = (0, None);
    while !open.is_empty() {
        let Batch { taken, accepted, refusing } = publish_batch(pool, sqs, queues, &open).await?;
        published += accepted;
        if taken < BATCH_LIMIT && refusing.is_empty() {
            break;
        }
        open.retain(|queue| refusing.iter().all(|(refusing, _)| refusing != queue));
        trouble = trouble.or(refusing.into_iter().find_map(|(_, fault)| fault));
    }
    match trouble {
        Some(source) => Err(PublishError::Queue { source }),
        None => Ok(published),
    }
}

struct Batch {
    taken: usize,
    accepted: u64,
    /// Queues that did not take all of it, with what went wrong with a call.
    refusing: Vec<(Queue, Option<QueueError>)>,
}

async fn publish_batch(
    pool: &PgPool,
    sqs: &aws_sdk_sqs::Client,
    queues: &EventQueues,
    open: &[Queue],
) -> Result<Batch, PublishError> {
    let mut conn = database::borrow(pool).await?;
    let limit = u32::try_from(BATCH_LIMIT).expect("the limit of a batch is 10");
    let taking = async {
        let mut db_tx = conn.begin().await?;
        let rows = outbox::take(&mut db_tx, open, limit).await.map_err(|source| PublishError::Outbox { source })?;
        Ok::<_, PublishError>((db_tx, rows))
    };
    let (mut db_tx, rows) = answered_within(PATIENCE, taking).await?;
    let mut accepted = Vec::with_capacity(rows.len());
    let mut refusing = Vec::new();
    for queue in Queue::ALL {
        let of_queue: Vec<&OutboxMessage> = rows.iter().filter(|row| row.queue == queue).collect();
        if of_queue.is_empty() {
            continue;
        }
        let (sent, fault) = send_in_order(sqs, &of_queue, queues.url(queue)).await;
        if let Some(source) = &fault {
            tracing::warn!(error.code = source.code(), error.message = %source, "a queue was not told of events");
        }
        if sent.len() < of_queue.len() {
            refusing.push((queue, fault));
        }
        accepted.extend(sent);
    }
    if !accepted.is_empty() {
        CrashPoint::OutboxSent.pass();
    }
    // What was accepted is deleted in any case: otherwise it would be sent again for as long as another queue fails.
    let deleting = async {
        outbox::delete(&mut db_tx, &accepted).await.map_err(|source| PublishError::Outbox { source })?;
        db_tx.commit().await?;
        Ok::<_, PublishError>(())
    };
    answered_within(PATIENCE, deleting).await?;
    conn.give_back_now().await;
    Ok(Batch { taken: rows.len(), accepted: accepted.len() as u64, refusing })
}

/// Sends the messages of one queue; returns the rows that it accepted, and what went wrong with a call.
///
/// A queue may refuse one message of a call and accept the next. So a call holds one message of a group at most, and a group
/// is over for this batch once one of it was refused: a later event never overtakes an earlier one.
async fn send_in_order(
    sqs: &aws_sdk_sqs::Client,
    rows: &[&OutboxMessage],
    queue_url: &str,
) -> (Vec<i64>, Option<QueueError>) {
    let (mut accepted, mut refused) = (Vec::new(), HashSet::new());
    for mut round in rounds(rows) {
        round.retain(|row| !refused.contains(row.message_group.as_str()));
        if round.is_empty() {
            continue;
        }
        match send(sqs, &round, queue_url).await {
            Ok(results) => {
                for (row, was_accepted) in round.into_iter().zip(results) {
                    if was_accepted {
                        accepted.push(row.id);
                    } else {
                        refused.insert(row.message_group.as_str());
                    }
                }
            }
            Err(source) => return (accepted, Some(source)),
        }
    }
    (accepted, None)
}

/// The first row of each group, then the second of each, and so on. Pure.
fn rounds<'a>(rows: &[&'a OutboxMessage]) -> Vec<Vec<&'a OutboxMessage>> {
    let mut rounds: Vec<Vec<&OutboxMessage>> = Vec::new();
    let mut of_group: HashMap<&str, usize> = HashMap::new();
    for row in rows {
        let place = of_group.entry(row.message_group.as_str()).or_default();
        if rounds.len() == *place {
            rounds.push(Vec::new());
        }
        rounds[*place].push(row);
        *place += 1;
    }
    rounds
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

#[cfg(test)]
mod tests {
    use isotherm_types::EventId;

    use super::*;

    #[test]
    fn a_round_has_one_message_of_a_group_and_groups_keep_their_order() {
        let row = |(id, group): (i64, &str)| OutboxMessage {
            id,
            event_id: EventId(id),
            queue: Queue::Events,
            message_group: group.to_owned(),
        };
        let rows: Vec<_> = [(1, "a"), (2, "b"), (3, "a"), (4, "a"), (5, "c"), (6, "b")].into_iter().map(row).collect();
        let rounds = rounds(&rows.iter().collect::<Vec<_>>());
        let ids: Vec<Vec<i64>> = rounds.iter().map(|round| round.iter().map(|row| row.id).collect()).collect();
        assert_eq!(ids, [vec![1, 2, 5], vec![3, 6], vec![4]]);
    }
}
