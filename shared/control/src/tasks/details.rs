//! One task with everything that happened to it. Read only.

use chrono::{DateTime, Utc};
use isotherm_types::TaskId;
use sqlx::PgConnection;

use super::listing::{self, TaskRow};
use crate::audit;
use crate::error::ControlError;

/// One try of a task.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Attempt {
    /// Its fence.
    pub fence: i64,
    /// Who made it.
    pub worker: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Stable name of its error.
    pub error_code: Option<String>,
    /// Its error in words.
    pub error_message: Option<String>,
    /// The end of the operator's standard error.
    pub stderr_tail: Option<String>,
    /// What the operator's process exited with.
    pub exit_code: Option<i32>,
    /// The signal that ended the operator's process.
    pub exit_signal: Option<i32>,
}

/// An event that a task answers, or one dataset of it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AnsweredEvent {
    /// The event.
    pub event_id: i64,
    /// What that event is.
    pub kind: String,
    /// The chain, if it is about one.
    pub chain_id: Option<i64>,
    /// The dataset, if it is about one.
    pub dataset: Option<String>,
    /// First block.
    pub start_block: Option<i64>,
    /// The block after the last one.
    pub end_block: Option<i64>,
}

/// All that is known of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskDetails {
    /// The task.
    pub task: TaskRow,
    /// What it is to work on, in the order in which it came.
    pub inputs: Vec<AnsweredEvent>,
    /// Its tries, oldest first.
    pub attempts: Vec<Attempt>,
    /// Its changes, oldest first.
    pub trail: Vec<audit::Entry>,
}

/// All that is known of one task.
///
/// # Errors
/// [`ControlError::UnknownTask`] if there is no such task; otherwise what Postgres or the row reports.
pub async fn show(conn: &mut PgConnection, task_id: TaskId) -> Result<TaskDetails, ControlError> {
    let task = listing::one(conn, task_id).await?.ok_or(ControlError::UnknownTask { task_id })?;
    let inputs = sqlx::query_as(
        "SELECT i.event_id, e.kind, i.chain_id, i.dataset, i.start_block, i.end_block
           FROM control.task_inputs i JOIN control.events e ON e.id = i.event_id WHERE i.task_id = $1
          ORDER BY i.added_at, i.event_id, i.start_block, i.dataset",
    )
    .bind(task_id.0)
    .fetch_all(&mut *conn)
    .await?;
    let attempts = sqlx::query_as(
        "SELECT fence, worker, started_at, finished_at, outcome, error_code, error_message, stderr_tail,
                exit_code, exit_signal
           FROM control.task_attempts WHERE task_id = $1 ORDER BY fence",
    )
    .bind(task_id.0)
    .fetch_all(&mut *conn)
    .await?;
    let trail = audit::trail(conn, "task", task_id.0).await?;
    Ok(TaskDetails { task, inputs, attempts, trail })
}
