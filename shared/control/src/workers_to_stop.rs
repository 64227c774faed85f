//! Workers whose task was taken back, until ECS has taken the order to stop them.
//!
//! An outbox of its own: the note is written with the loss, so that neither a crash nor a refusal leaves a silent worker
//! running for ever. It must never name a worker that has found back and works under a valid lease.

use isotherm_types::{Fence, TaskId};
use sqlx::PgConnection;

use crate::error::ControlError;

/// Workers handed out at a time.
const PAGE_ROWS: i64 = 100;

/// A worker to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerToStop {
    /// The ECS task that it runs in.
    pub ecs_task_arn: String,
    /// The task that it lost.
    pub task_id: TaskId,
    /// The claim that it lost.
    pub fence: Fence,
}

/// Notes the worker of a task that is about to be taken back; to be called while the row still names it, in the same
/// transaction.
pub(crate) async fn note(conn: &mut PgConnection, task_id: TaskId, fence: Fence) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO control.workers_to_stop (ecs_task_arn, task_id, fence)
         SELECT ecs_task_arn, id, fence FROM control.tasks WHERE id = $1 AND fence = $2 AND ecs_task_arn IS NOT NULL
             ON CONFLICT (ecs_task_arn) DO UPDATE
            SET task_id = EXCLUDED.task_id, fence = EXCLUDED.fence, tried_at = NULL",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// Up to 100 workers to stop, those first that nobody has tried to stop; none that was handed out within the last 30 s.
///
/// A worker that has claimed a task since and keeps it alive is no longer silent: its note is dropped.
///
/// # Errors
/// Only what Postgres reports.
pub async fn due(conn: &mut PgConnection) -> Result<Vec<WorkerToStop>, ControlError> {
    sqlx::query(
        "DELETE FROM control.workers_to_stop w USING control.tasks t
          WHERE t.ecs_task_arn = w.ecs_task_arn AND t.state = 'running' AND t.lease_expires_at > now()",
    )
    .execute(&mut *conn)
    .await?;
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "UPDATE control.workers_to_stop SET tried_at = clock_timestamp()
          WHERE ecs_task_arn IN (
                SELECT ecs_task_arn FROM control.workers_to_stop
                 WHERE tried_at IS NULL OR tried_at < now() - interval '30 seconds'
                 ORDER BY tried_at NULLS FIRST LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING ecs_task_arn, task_id, fence",
    )
    .bind(PAGE_ROWS)
    .fetch_all(conn)
    .await?;
    let worker =
        |(ecs_task_arn, task_id, fence)| WorkerToStop { ecs_task_arn, task_id: TaskId(task_id), fence: Fence(fence) };
    Ok(rows.into_iter().map(worker).collect())
}

/// Drops the note of a worker: ECS has taken the order, or knows no such task any more.
///
/// # Errors
/// Only what Postgres reports.
pub async fn stopped(conn: &mut PgConnection, worker: &WorkerToStop) -> Result<(), ControlError> {
    // Not if it lost another task meanwhile: that order is still to be given.
    sqlx::query("DELETE FROM control.workers_to_stop WHERE ecs_task_arn = $1 AND task_id = $2 AND fence = $3")
        .bind(&worker.ecs_task_arn)
        .bind(worker.task_id.0)
        .bind(worker.fence.0)
        .execute(conn)
        .await?;
    Ok(())
}
