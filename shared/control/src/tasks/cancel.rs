//! Taking a task back for good, whoever has it.

use isotherm_types::{Fence, OrgId, TaskId};
use sqlx::{Connection, PgConnection};

use super::finish::{Ending, end_attempt};
use crate::audit;
use crate::codec::from_word;
use crate::error::ControlError;
use crate::task::TaskState;

/// What became of a [`cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled; a worker that held it learns so by its next heartbeat.
    Now,
    /// It was over already.
    AlreadyOver(TaskState),
}

/// Takes the task back for good. Waits for a transaction that writes under its fence.
///
/// # Errors
/// [`ControlError::UnknownTask`] if there is no such task; otherwise what Postgres reports.
pub async fn cancel(
    conn: &mut PgConnection,
    task_id: TaskId,
    actor: &str,
    reason: &str,
) -> Result<Cancelled, ControlError> {
    let mut db_tx = conn.begin().await?;
    let row: Option<(i64, String, i64)> =
        sqlx::query_as("SELECT org_id, state, fence FROM control.tasks WHERE id = $1 FOR UPDATE")
            .bind(task_id.0)
            .fetch_optional(&mut *db_tx)
            .await?;
    let (org_id, state, fence) = row.ok_or(ControlError::UnknownTask { task_id })?;
    let state: TaskState = from_word(task_id, "state", &state)?;
    if !state.is_live() {
        return Ok(Cancelled::AlreadyOver(state));
    }
    let fence = Fence(fence);
    let updated = sqlx::query(
        "UPDATE control.tasks SET state = 'cancelled', finished_at = now(), worker = NULL, lease_expires_at = NULL
          WHERE id = $1 AND fence = $2 AND state = $3",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .bind(state.as_str())
    .execute(&mut *db_tx)
    .await?;
    if updated.rows_affected() != 1 {
        return Err(ControlError::StaleFence { task_id, fence });
    }
    if state == TaskState::Running {
        let ending = Ending { outcome: "cancelled", error: Some(("control.cancelled", reason)), stderr_tail: None };
        end_attempt(&mut db_tx, task_id, fence, OrgId(org_id), TaskState::Cancelled, &ending, Some(actor)).await?;
    } else {
        let change = audit::Change {
            org_id: Some(OrgId(org_id)),
            actor,
            action: "cancelled",
            subject: "task",
            subject_id: task_id.0,
            from_state: Some(state.as_str()),
            to_state: Some("cancelled"),
            reason: Some(reason),
        };
        audit::record(&mut db_tx, &change).await?;
    }
    db_tx.commit().await?;
    Ok(Cancelled::Now)
}
