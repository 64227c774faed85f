//! Having a task done after all.

use isotherm_types::{Fence, JobId, OrgId, TaskId};
use sqlx::{Connection, PgConnection};

use crate::audit;
use crate::codec::{count, from_word};
use crate::error::ControlError;
use crate::task::{Life, TaskEvent, TaskState};

/// What became of a [`retry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is queued again, due at once.
    Now {
        /// Claims that may be made from now on.
        attempts: u32,
    },
    /// It is queued or running: nothing has to be retried.
    Live(TaskState),
    /// Its work is done. Doing it again is another task.
    Completed,
    /// It is an old task of a source, and another one of it is alive.
    SourceIsLive(TaskId),
    /// Somebody changed it at this very moment.
    MovedOn,
}

#[derive(sqlx::FromRow)]
struct Row {
    org_id: i64,
    job_id: i64,
    state: String,
    fence: i64,
    attempts_left: i32,
    always_on: bool,
    max_attempts: i32,
}

/// Puts a failed or cancelled task back, with all the attempts that its job allows and due at once.
///
/// The fence stays, so that it only grows. The counts of wake-ups and launches stay too, so that the next ones are not taken
/// for repetitions; forgotten is when they were sent, so that a sweep wakes the task at once. The last error stays in the row
/// until an attempt ends.
///
/// # Errors
/// [`ControlError::UnknownTask`] if there is no such task; otherwise what Postgres or the row reports.
pub async fn retry(
    conn: &mut PgConnection,
    task_id: TaskId,
    actor: &str,
    reason: &str,
) -> Result<Retried, ControlError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT t.org_id, t.job_id, t.state, t.fence, t.attempts_left, t.always_on, j.max_attempts
           FROM control.tasks t JOIN control.jobs j ON j.id = t.job_id WHERE t.id = $1",
    )
    .bind(task_id.0)
    .fetch_optional(&mut *conn)
    .await?;
    let row = row.ok_or(ControlError::UnknownTask { task_id })?;
    let from: TaskState = from_word(task_id, "state", &row.state)?;
    let life = Life {
        state: from,
        fence: Fence(row.fence),
        attempts_left: count(row.attempts_left),
        always_on: row.always_on,
    };
    let attempts = count(row.max_attempts);
    let Ok(next) = life.on(TaskEvent::Retried { attempts }) else {
        return Ok(if from.is_live() { Retried::Live(from) } else { Retried::Completed });
    };
    let mut db_tx = conn.begin().await?;
    match put_back(&mut db_tx, task_id, from, next).await {
        Ok(true) => {}
        Ok(false) => return Ok(Retried::MovedOn),
        Err(error) if breaks(&error, "tasks_one_live_per_source") => {
            db_tx.rollback().await?;
            let live = live_task(conn, JobId(row.job_id)).await?;
            return Ok(live.map_or(Retried::MovedOn, Retried::SourceIsLive));
        }
        Err(error) => return Err(error.into()),
    }
    let change = audit::Change {
        org_id: Some(OrgId(row.org_id)),
        actor,
        action: "retried",
        subject: "task",
        subject_id: task_id.0,
        from_state: Some(from.as_str()),
        to_state: Some(next.state.as_str()),
        reason: Some(reason),
    };
    audit::record(&mut db_tx, &change).await?;
    db_tx.commit().await?;
    Ok(Retried::Now { attempts })
}

/// `false` if the task is not `from` under its fence any more.
async fn put_back(conn: &mut PgConnection, task_id: TaskId, from: TaskState, next: Life) -> sqlx::Result<bool> {
    let updated = sqlx::query(
        "UPDATE control.tasks
            SET state = $4, attempts_left = $5, not_before = now(), finished_at = NULL, ecs_task_arn = NULL,
                woken_at = NULL, launched_at = NULL
          WHERE id = $1 AND fence = $2 AND state = $3",
    )
    .bind(task_id.0)
    .bind(next.fence.0)
    .bind(from.as_str())
    .bind(next.state.as_str())
    .bind(i32::try_from(next.attempts_left).unwrap_or(i32::MAX))
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() == 1)
}

fn breaks(error: &sqlx::Error, constraint: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::constraint) == Some(constraint)
}

async fn live_task(conn: &mut PgConnection, job_id: JobId) -> Result<Option<TaskId>, ControlError> {
    let row: Option<(i64,)> =
        sqlx::query_as("SELECT id FROM control.tasks WHERE job_id = $1 AND state IN ('queued', 'running')")
            .bind(job_id.0)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(|(id,)| TaskId(id)))
}
