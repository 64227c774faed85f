//! Tasks that failed for good, as the dead-letter queue tells of them. Read only.

use chrono::{DateTime, Utc};
use isotherm_types::{EventId, Fence, TaskId};
use sqlx::PgConnection;

use crate::codec::from_word;
use crate::error::ControlError;
use crate::task::TaskState;

/// A task that failed for good, as one `task_failed` event tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadTask {
    /// The event.
    pub event_id: EventId,
    /// The task.
    pub task_id: TaskId,
    /// Name of its job.
    pub job: String,
    /// The claim that failed.
    pub fence: Fence,
    /// Stable name of the error.
    pub code: String,
    /// When it failed.
    pub failed_at: DateTime<Utc>,
    /// What has become of the task since.
    pub since: SinceThen,
}

/// What has become of a task since it failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinceThen {
    /// Nothing: it waits for a person.
    Nothing,
    /// It was retried and is queued or running.
    Retried,
    /// It was retried and failed again, which another letter tells of.
    FailedAgain,
    /// It was retried and is done.
    Completed,
    /// It was cancelled.
    Cancelled,
}

impl SinceThen {
    /// Judges by where the task stands now and whether it was claimed after the failure.
    pub fn judge(state: TaskState, failed: Fence, now: Fence) -> Self {
        match state {
            TaskState::Failed if now == failed => Self::Nothing,
            TaskState::Failed => Self::FailedAgain,
            TaskState::Queued | TaskState::Running => Self::Retried,
            TaskState::Completed => Self::Completed,
            TaskState::Cancelled => Self::Cancelled,
        }
    }

    /// Stable word, for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Retried => "retried",
            Self::FailedAgain => "failed_again",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The tasks that these events tell of, by event. Events that are not there, or of another kind, are left out.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn dead(conn: &mut PgConnection, event_ids: &[EventId]) -> Result<Vec<DeadTask>, ControlError> {
    type Row = (i64, DateTime<Utc>, i64, String, i64, Option<String>, String, i64);
    let ids: Vec<i64> = event_ids.iter().map(|event_id| event_id.0).collect();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT e.id, e.occurred_at, t.id, j.name, (e.body ->> 'fence')::bigint, e.body ->> 'code', t.state, t.fence
           FROM control.events e
           JOIN control.tasks t ON t.id = (e.body ->> 'task_id')::bigint
           JOIN control.jobs j ON j.id = t.job_id
          WHERE e.id = ANY($1) AND e.kind = 'task_failed'
          ORDER BY e.id",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(event_id, failed_at, task_id, job, fence, code, state, fence_now)| {
            let (task_id, fence) = (TaskId(task_id), Fence(fence));
            let state = from_word(task_id, "state", &state)?;
            let since = SinceThen::judge(state, fence, Fence(fence_now));
            let code = code.unwrap_or_default();
            Ok(DeadTask { event_id: EventId(event_id), task_id, job, fence, code, failed_at, since })
        })
        .collect()
}
