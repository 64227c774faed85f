//! What earlier firings of a trigger are not over, and how they are ended.
//!
//! A firing is not over while its task is queued or running, and also between its event and its task: while the event
//! waits in the outbox, or has no task yet and is younger than [`EVENT_LIFE`]. A task is known to be a trigger's by its
//! idempotency key, which the dispatcher makes of the firing ([`firing_key`]). Only with the trigger's row locked does the
//! answer hold until something is done about it.

use std::time::Duration;

use isotherm_types::{EventBody, EventId, TaskId};
use sqlx::PgConnection;

use super::Trigger;
use crate::dispatch::{firing_key, firing_key_prefix};
use crate::error::ControlError;
use crate::events;
use crate::tasks::{self, Created, NewTask};

/// How long an event that was published may take to become a task; after that it never does by itself.
///
/// Source: `events` in `terraform/stack.yaml`: five receives of 180 s each, then the dead-letter queue.
pub const EVENT_LIFE: Duration = Duration::from_secs(900);

/// An earlier firing that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Earlier {
    /// Its task is queued or running.
    Task(TaskId),
    /// Its event has no task yet.
    Event(EventId),
}

impl std::fmt::Display for Earlier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Task(task_id) => write!(formatter, "{task_id} is not over"),
            Self::Event(event_id) => write!(formatter, "{event_id} has no task yet"),
        }
    }
}

/// The earlier firings of `trigger` that are not over, oldest first, tasks before events.
pub(super) async fn not_over(conn: &mut PgConnection, trigger: &Trigger) -> Result<Vec<Earlier>, ControlError> {
    let rows: Vec<(bool, i64)> = sqlx::query_as(include_str!("../../queries/triggers/not_over.sql"))
        .bind(trigger.id.0)
        .bind(trigger.org_id.0)
        .bind(firing_key_prefix(trigger.id))
        .bind(EVENT_LIFE.as_secs_f64())
        .fetch_all(conn)
        .await?;
    let earlier = |(is_task, id)| if is_task { Earlier::Task(TaskId(id)) } else { Earlier::Event(EventId(id)) };
    Ok(rows.into_iter().map(earlier).collect())
}

/// Ends an earlier firing in favour of the one called `fire_key`.
///
/// An event cannot be taken back, for its message may be on its way: it gets its task now, which is cancelled at once, so
/// that the dispatcher finds the task there and makes no other.
pub(super) async fn end(
    conn: &mut PgConnection,
    trigger: &Trigger,
    earlier: Earlier,
    fire_key: &str,
) -> Result<(), ControlError> {
    let reason = format!("replaced by the firing {fire_key} of trigger {}", trigger.name);
    let actor = trigger.config.kind();
    let task_id = match earlier {
        Earlier::Task(task_id) => task_id,
        Earlier::Event(event_id) => {
            let EventBody::TriggerFired { job_id, trigger_id, fire_key, input, .. } =
                events::read(&mut *conn, event_id).await?.body
            else {
                return Ok(());
            };
            let task =
                NewTask { job_id, idempotency_key: firing_key(trigger_id, &fire_key), input, delay: Duration::ZERO };
            match tasks::create(&mut *conn, &task, actor).await? {
                Created::New(task_id) | Created::Already(task_id) => task_id,
                // The job has become a source since; a source takes no task of a trigger.
                Created::SourceIsLive(_) => return Ok(()),
            }
        }
    };
    tasks::cancel(conn, task_id, actor, &reason).await?;
    Ok(())
}
