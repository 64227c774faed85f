//! Events that a queue has not been told of yet. Table `control.outbox`.
//!
//! Rows are inserted by [`crate::events::record`]. A publisher takes some, sends them, and deletes those that the queue
//! accepted, all in one transaction: a crash in between sends them twice, and the deduplication id absorbs that.

use std::time::Duration;

use isotherm_types::event::{EventWake, WAKE_VERSION};
use isotherm_types::{EventId, Queue};
use sqlx::PgConnection;

use crate::codec;
use crate::error::ControlError;

/// Namespace of the advisory locks that keep one message group with one publisher ("outb" as bytes).
const GROUP_LOCK: i32 = 0x6f75_7462;

/// A wake-up that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxMessage {
    /// Row of `control.outbox`.
    pub id: i64,
    /// The event.
    pub event_id: EventId,
    /// The queue that is to be told.
    pub queue: Queue,
    /// SQS message group.
    pub message_group: String,
}

impl OutboxMessage {
    /// Body of the message.
    pub fn wake(&self) -> EventWake {
        EventWake { version: WAKE_VERSION, event_id: self.event_id }
    }

    /// SQS deduplication id: the same for every sending of this wake-up.
    pub fn deduplication_id(&self) -> String {
        format!("event-{}-{}", self.event_id.0, self.queue.as_str())
    }
}

/// Takes up to `limit` rows of `queues`, oldest first, and locks them until the transaction ends.
///
/// Must be called inside a transaction. While one publisher holds rows of a message group, others get none of that
/// group, so a group's events are sent in the order in which they were recorded; nobody waits.
///
/// # Errors
/// Only what Postgres reports.
pub async fn take(conn: &mut PgConnection, queues: &[Queue], limit: u32) -> Result<Vec<OutboxMessage>, ControlError> {
    let names: Vec<&str> = queues.iter().map(|queue| queue.as_str()).collect();
    let rows: Vec<(i64, i64, String, String)> = sqlx::query_as(
        "WITH waiting AS MATERIALIZED (
             SELECT message_group, min(id) AS oldest FROM control.outbox WHERE queue = ANY($3)
              GROUP BY message_group ORDER BY oldest LIMIT $1
         ), held AS MATERIALIZED (
             SELECT message_group FROM waiting WHERE pg_try_advisory_xact_lock($2, hashtext(message_group))
         )
         SELECT o.id, o.event_id, o.queue, o.message_group
           FROM control.outbox o JOIN held USING (message_group)
          WHERE o.queue = ANY($3)
          ORDER BY o.id LIMIT $1
            FOR UPDATE OF o SKIP LOCKED",
    )
    .bind(i64::from(limit))
    .bind(GROUP_LOCK)
    .bind(&names)
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(id, event_id, queue, message_group)| {
            let unknown =
                || ControlError::UnknownWord { row: format!("outbox row {id}"), column: "queue", value: queue.clone() };
            let queue = queues.iter().copied().find(|known| known.as_str() == queue).ok_or_else(unknown)?;
            Ok(OutboxMessage { id, event_id: EventId(event_id), queue, message_group })
        })
        .collect()
}

/// Deletes rows whose messages the queues accepted.
///
/// # Errors
/// Only what Postgres reports.
pub async fn delete(conn: &mut PgConnection, ids: &[i64]) -> Result<u64, ControlError> {
    let deleted = sqlx::query("DELETE FROM control.outbox WHERE id = ANY($1)").bind(ids).execute(conn).await?;
    Ok(deleted.rows_affected())
}

/// What waits in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Rows that wait.
    pub row_count: u64,
    /// Age of the oldest; the outbox's lag.
    pub oldest_age: Option<Duration>,
}

/// Counts what waits.
///
/// # Errors
/// Only what Postgres reports.
pub async fn pending(conn: &mut PgConnection) -> Result<Pending, ControlError> {
    let (rows, age): (i64, Option<f64>) = sqlx::query_as(
        "SELECT count(*), extract(epoch FROM now() - min(created_at))::double precision FROM control.outbox",
    )
    .fetch_one(conn)
    .await?;
    Ok(Pending { row_count: rows.unsigned_abs(), oldest_age: age.map(codec::seconds) })
}
