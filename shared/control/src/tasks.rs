//! Pieces of work. Tables `control.tasks` and `control.task_attempts`.
//!
//! Every write names the task, its fence and its state, and must change exactly one row; nothing changed means that
//! the caller is stale, never that all is well. The rule is [`crate::task`]. Leases are decided by the database's
//! clock. Each change writes its audit row in the same transaction: functions that make several statements open a
//! transaction of their own inside the caller's.

use std::time::Duration;

use isotherm_types::{Fence, JobId, OrgId, TaskId};
use sqlx::{Connection, PgConnection};

use crate::audit;
use crate::error::ControlError;

mod batch;
mod brief;
mod cancel;
mod claim;
mod dead;
mod details;
mod finish;
pub mod inputs;
mod listing;
mod of_org;
mod retry;
mod waiting;

pub(crate) use batch::{Answer, create_answering};
pub use batch::{Done, claim_many, complete_many, create_many};
pub use brief::{BriefTask, of_job};
pub use cancel::{Cancelled, cancel};
pub use claim::{Claim, Claimant, ClaimedTask, Progress, claim, heartbeat, next_due};
pub use dead::{DeadTask, SinceThen, dead};
pub use details::{AnsweredEvent, Attempt, TaskDetails, show};
pub(crate) use finish::lose;
pub use finish::{AfterFailure, Failure, complete, fail, note_exit, release};
pub use listing::{TaskFilter, TaskRow, counts, list};
pub use of_org::{OrgTask, TaskPage, of_org};
pub use retry::{Retried, retry};
pub use waiting::{Wait, WaitFacts};

/// A piece of work that is to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// The job that it is a piece of.
    pub job_id: JobId,
    /// Names this piece of work within the job; a second one of the same key is not made.
    pub idempotency_key: String,
    /// What it is about.
    pub input: serde_json::Value,
    /// How long it is to wait before it may be claimed.
    pub delay: Duration,
}

/// What became of a [`create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The task was made.
    New(TaskId),
    /// A task of this key was there already.
    Already(TaskId),
    /// The job is a source and has a live task, which is not this one.
    SourceIsLive(TaskId),
}

/// Makes a task, once for its (job, key).
///
/// # Errors
/// [`ControlError::UnknownJob`] if there is no such job; otherwise what Postgres reports.
pub async fn create(conn: &mut PgConnection, task: &NewTask, actor: &str) -> Result<Created, ControlError> {
    let mut db_tx = conn.begin().await?;
    let made: Option<(i64, i64)> = sqlx::query_as(
        "INSERT INTO control.tasks (org_id, job_id, idempotency_key, always_on, input, attempts_left, not_before,
                                    priority)
         SELECT org_id, id, $2, always_on, $3, max_attempts, now() + make_interval(secs => $4), priority FROM control.jobs WHERE id = $1
         ON CONFLICT DO NOTHING
         RETURNING id, org_id",
    )
    .bind(task.job_id.0)
    .bind(&task.idempotency_key)
    .bind(&task.input)
    .bind(task.delay.as_secs_f64())
    .fetch_optional(&mut *db_tx)
    .await?;
    let Some((id, org_id)) = made else {
        let existing = existing(&mut db_tx, task).await?;
        db_tx.rollback().await?;
        return Ok(existing);
    };
    let change = audit::Change {
        org_id: Some(OrgId(org_id)),
        actor,
        action: "created",
        subject: "task",
        subject_id: id,
        to_state: Some("queued"),
        reason: Some(&task.idempotency_key),
        ..audit::Change::default()
    };
    audit::record(&mut db_tx, &change).await?;
    db_tx.commit().await?;
    Ok(Created::New(TaskId(id)))
}

/// The task that stood in the way of `task`.
async fn existing(conn: &mut PgConnection, task: &NewTask) -> Result<Created, ControlError> {
    let row: Option<(i64, bool)> = sqlx::query_as(
        "SELECT id, idempotency_key = $2 AS same_key
           FROM control.tasks
          WHERE job_id = $1 AND (idempotency_key = $2 OR (always_on AND state IN ('queued', 'running')))
          ORDER BY same_key DESC LIMIT 1",
    )
    .bind(task.job_id.0)
    .bind(&task.idempotency_key)
    .fetch_optional(conn)
    .await?;
    match row {
        Some((id, true)) => Ok(Created::Already(TaskId(id))),
        Some((id, false)) => Ok(Created::SourceIsLive(TaskId(id))),
        None => Err(ControlError::UnknownJob { job_id: task.job_id }),
    }
}

/// Holds the task under `fence` until the caller's transaction ends: nobody can claim, lose, end or cancel it meanwhile,
/// while heartbeats go on.
///
/// Called first in every transaction by which an operator writes data, so that a worker that was given up on cannot
/// write any more.
///
/// It locks the row `FOR KEY SHARE`, which lets heartbeats pass (a plain `UPDATE`, `FOR NO KEY UPDATE`). Whoever takes the
/// task away must therefore lock the row `FOR UPDATE` first. Source: PostgreSQL manual, 13.3.2, row-level lock modes.
///
/// What is written after it follows from the task's cause; from a cause of its own if the task is a source, which runs for ever.
///
/// # Errors
/// [`ControlError::StaleFence`] if the task is not running under `fence`.
pub async fn assert_fence(conn: &mut PgConnection, task_id: TaskId, fence: Fence) -> Result<(), ControlError> {
    let held = sqlx::query(
        "SELECT set_config('isotherm.trace_id', CASE WHEN always_on THEN '' ELSE coalesce(trace_id, '') END, true)
           FROM control.tasks WHERE id = $1 AND fence = $2 AND state = 'running' FOR KEY SHARE",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .fetch_optional(conn)
    .await?;
    held.map(|_row| ()).ok_or(ControlError::StaleFence { task_id, fence })
}

/// Notes which ECS task was launched for the claim that is to follow `fence`.
///
/// Returns `false` if the task has moved on, which is no fault: then a worker has said itself where it runs.
///
/// # Errors
/// Only what Postgres reports.
pub async fn note_launch(
    conn: &mut PgConnection,
    task_id: TaskId,
    fence: Fence,
    ecs_task_arn: &str,
) -> Result<bool, ControlError> {
    let updated = sqlx::query(
        "UPDATE control.tasks SET ecs_task_arn = $3
          WHERE id = $1 AND launch_fence = $2
            AND ((state = 'queued' AND fence = $2) OR (state = 'running' AND fence = $2 + 1 AND ecs_task_arn IS NULL))",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .bind(ecs_task_arn)
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() == 1)
}
