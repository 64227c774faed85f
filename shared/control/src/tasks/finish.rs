//! Ending an attempt: complete, fail, release, lose.

use std::time::Duration;

use isotherm_types::{Disposition, EventBody, Exit, Fence, JobId, OrgId, TaskId};
use sqlx::{Connection, PgConnection};

use crate::codec::{count, storable, storable_json};
use crate::error::ControlError;
use crate::task::{Life, TaskEvent, TaskState};
use crate::{audit, backoff, events, trace, worker_leases, workers_to_stop};

/// How an attempt ended, as its row says.
pub(super) struct Ending<'a> {
    pub(super) outcome: &'static str,
    pub(super) error: Option<(&'a str, &'a str)>,
    pub(super) stderr_tail: Option<&'a str>,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// Stable name of the error.
    pub code: &'a str,
    /// The error and its causes in words, free of secrets.
    pub message: &'a str,
    /// What to do about it.
    pub disposition: Disposition,
    /// The end of the operator's standard error.
    pub stderr_tail: Option<&'a str>,
}

/// Where a failed attempt leaves its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// It is queued again and due after `wait`.
    Queued {
        /// The back-off.
        wait: Duration,
    },
    /// It is over.
    Failed,
}

/// Ends the task: the work is done.
///
/// # Errors
/// [`ControlError::StaleFence`] if the task is not running under `fence`; otherwise what Postgres reports.
pub async fn complete(
    conn: &mut PgConnection,
    task_id: TaskId,
    fence: Fence,
    output: &serde_json::Value,
    stderr_tail: Option<&str>,
) -> Result<(), ControlError> {
    let mut db_tx = conn.begin().await?;
    hold(&mut db_tx, task_id).await?;
    let row: Option<(i64,)> = sqlx::query_as(
        "UPDATE control.tasks
            SET state = 'completed', finished_at = now(), output = $3, worker = NULL, lease_expires_at = NULL,
                error_code = NULL, error_message = NULL
          WHERE id = $1 AND fence = $2 AND state = 'running'
      RETURNING org_id",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .bind(storable_json(output))
    .fetch_optional(&mut *db_tx)
    .await?;
    let (org_id,) = row.ok_or(ControlError::StaleFence { task_id, fence })?;
    let ending = Ending { outcome: "completed", error: None, stderr_tail };
    end_attempt(&mut db_tx, task_id, fence, OrgId(org_id), TaskState::Completed, &ending, None).await?;
    Ok(db_tx.commit().await?)
}

/// Ends the attempt with an error: the task is queued again after a back-off, or has failed for good.
///
/// # Errors
/// [`ControlError::StaleFence`] if the task is not running under `fence`; otherwise what Postgres reports.
pub async fn fail(
    conn: &mut PgConnection,
    task_id: TaskId,
    fence: Fence,
    failure: &Failure<'_>,
) -> Result<AfterFailure, ControlError> {
    let mut db_tx = conn.begin().await?;
    let ending =
        Ending { outcome: "failed", error: Some((failure.code, failure.message)), stderr_tail: failure.stderr_tail };
    let event = TaskEvent::Failed { fence, disposition: failure.disposition };
    let after = put_back_or_fail(&mut db_tx, task_id, fence, event, &ending, None).await?;
    db_tx.commit().await?;
    Ok(after)
}

/// Gives the task back unharmed: queued, due at once, the attempt not counted.
///
/// # Errors
/// [`ControlError::StaleFence`] if the task is not running under `fence`; otherwise what Postgres reports.
pub async fn release(
    conn: &mut PgConnection,
    task_id: TaskId,
    fence: Fence,
    stderr_tail: Option<&str>,
) -> Result<(), ControlError> {
    let mut db_tx = conn.begin().await?;
    hold(&mut db_tx, task_id).await?;
    let row: Option<(i64,)> = sqlx::query_as(
        "UPDATE control.tasks
            SET state = 'queued', not_before = now(), worker = NULL, lease_expires_at = NULL, ecs_task_arn = NULL,
                attempts_left = attempts_left + CASE WHEN always_on THEN 0 ELSE 1 END
          WHERE id = $1 AND fence = $2 AND state = 'running'
      RETURNING org_id",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .fetch_optional(&mut *db_tx)
    .await?;
    let (org_id,) = row.ok_or(ControlError::StaleFence { task_id, fence })?;
    let ending = Ending { outcome: "released", error: None, stderr_tail };
    end_attempt(&mut db_tx, task_id, fence, OrgId(org_id), TaskState::Queued, &ending, None).await?;
    Ok(db_tx.commit().await?)
}

/// Takes the task from a worker whose lease is over. Only [`crate::reap`] may say so.
///
/// # Errors
/// [`ControlError::StaleFence`] if the task is not running under `fence` or its lease is not over; otherwise what
/// Postgres reports.
pub(crate) async fn lose(
    conn: &mut PgConnection,
    task_id: TaskId,
    fence: Fence,
    actor: &str,
) -> Result<AfterFailure, ControlError> {
    let mut db_tx = conn.begin().await?;
    // A row that somebody holds for long must not keep the lost tasks after it waiting.
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *db_tx).await?;
    let ending = Ending {
        outcome: "lost",
        error: Some(("control.lease_expired", "the worker went silent and its lease ran out")),
        stderr_tail: None,
    };
    workers_to_stop::note(&mut db_tx, task_id, fence).await?;
    let after = put_back_or_fail(&mut db_tx, task_id, fence, TaskEvent::Lost { fence }, &ending, Some(actor)).await?;
    worker_leases::forget_silent(&mut db_tx, task_id, fence).await?;
    db_tx.commit().await?;
    Ok(after)
}

/// Notes how the operator's process ended, in the row of its attempt. Called in the transaction of the end, after it.
///
/// # Errors
/// [`ControlError::StaleFence`] if there is no such attempt, or its exit is noted already; otherwise what Postgres reports.
pub async fn note_exit(conn: &mut PgConnection, task_id: TaskId, fence: Fence, exit: Exit) -> Result<(), ControlError> {
    let (code, signal) = match exit {
        Exit::Code(code) => (Some(code), None),
        Exit::Signal(signal) => (None, Some(signal)),
    };
    let noted = sqlx::query(
        "UPDATE control.task_attempts SET exit_code = $3, exit_signal = $4
          WHERE task_id = $1 AND fence = $2 AND exit_code IS NULL AND exit_signal IS NULL",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .bind(code)
    .bind(signal)
    .execute(conn)
    .await?;
    if noted.rows_affected() == 1 { Ok(()) } else { Err(ControlError::StaleFence { task_id, fence }) }
}

/// Waits for whoever writes under the task's fence, and keeps them off until the caller's transaction ends; see
/// [`super::assert_fence`]. The caller checks state and fence in the statement that follows.
async fn hold(conn: &mut PgConnection, task_id: TaskId) -> Result<(), ControlError> {
    sqlx::query("SELECT 1 FROM control.tasks WHERE id = $1 FOR UPDATE").bind(task_id.0).execute(conn).await?;
    Ok(())
}

/// Carries out a failure or a loss by the rule of [`Life::on`].
///
/// `actor` is who says so; the attempt's own worker if absent. A loss changes the row only if the lease is over *now*.
async fn put_back_or_fail(
    conn: &mut PgConnection,
    task_id: TaskId,
    fence: Fence,
    event: TaskEvent,
    ending: &Ending<'_>,
    actor: Option<&str>,
) -> Result<AfterFailure, ControlError> {
    let stale = || ControlError::StaleFence { task_id, fence };
    hold(conn, task_id).await?;
    // A source's failures are forgotten after ten minutes, so that one crash a day is not answered by the longest wait; those of
    // another task when a person retries it, which gives it all its attempts anew.
    let row: Option<(i64, i64, i32, bool, i64)> = sqlx::query_as(
        "SELECT t.org_id, t.job_id, t.attempts_left, t.always_on,
                least((SELECT count(*) FROM control.task_attempts a
                        WHERE a.task_id = t.id AND a.outcome IN ('failed', 'lost')
                          AND (NOT t.always_on OR a.finished_at > now() - interval '10 minutes')),
                      CASE WHEN NOT t.always_on THEN greatest(j.max_attempts - t.attempts_left - 1, 0) END) AS failures_before
           FROM control.tasks t JOIN control.jobs j ON j.id = t.job_id WHERE t.id = $1",
    )
    .bind(task_id.0)
    .fetch_optional(&mut *conn)
    .await?;
    let (org_id, job_id, attempts_left, always_on, failures_before) = row.ok_or_else(stale)?;
    let held = Life { state: TaskState::Running, fence, attempts_left: count(attempts_left), always_on };
    let next = held.on(event).map_err(|source| ControlError::Transition { task_id, source })?;
    let (disposition, lost) = match event {
        TaskEvent::Failed { disposition, .. } => (disposition, false),
        _ => (Disposition::Retry, true),
    };
    let failures = u32::try_from(failures_before).unwrap_or(u32::MAX).saturating_add(1);
    let wait = backoff::wait_for(disposition, failures, rand::random());
    let (code, message) = ending.error.unwrap_or_default();
    let updated = sqlx::query(
        "UPDATE control.tasks
            SET state = $3, worker = NULL, lease_expires_at = NULL, ecs_task_arn = NULL,
                finished_at = CASE WHEN $3 = 'failed' THEN now() END,
                not_before = now() + make_interval(secs => $4),
                error_code = $5, error_message = $6
          WHERE id = $1 AND fence = $2 AND state = 'running' AND (NOT $7 OR lease_expires_at < now())",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .bind(next.state.as_str())
    .bind(wait.as_secs_f64())
    .bind(storable(code))
    .bind(storable(message))
    .bind(lost)
    .execute(&mut *conn)
    .await?;
    if updated.rows_affected() != 1 {
        return Err(stale());
    }
    end_attempt(conn, task_id, fence, OrgId(org_id), next.state, ending, actor).await?;
    if next.state == TaskState::Queued {
        return Ok(AfterFailure::Queued { wait });
    }
    if always_on {
        // The sweep gives the source a new task; a halted chain would fill the dead-letter queue with the same message.
        return Ok(AfterFailure::Failed);
    }
    // Told to the dead-letter queue, by the outbox: the row and the message are there together or not at all.
    let (org_id, job_id) = (OrgId(org_id), JobId(job_id));
    let failed = EventBody::TaskFailed { org_id, job_id, task_id, fence, code: storable(code) };
    trace::follow_task(conn, task_id).await?;
    events::record(conn, &failed).await?;
    Ok(AfterFailure::Failed)
}

/// Closes the attempt's row and writes the audit row.
pub(super) async fn end_attempt(
    conn: &mut PgConnection,
    task_id: TaskId,
    fence: Fence,
    org_id: OrgId,
    to_state: TaskState,
    ending: &Ending<'_>,
    actor: Option<&str>,
) -> Result<(), ControlError> {
    let row: Option<(String,)> = sqlx::query_as(
        "UPDATE control.task_attempts
            SET finished_at = now(), outcome = $3, error_code = $4, error_message = $5, stderr_tail = $6
          WHERE task_id = $1 AND fence = $2 AND outcome IS NULL
      RETURNING worker",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .bind(ending.outcome)
    .bind(ending.error.map(|(code, _)| storable(code)))
    .bind(ending.error.map(|(_, message)| storable(message)))
    .bind(ending.stderr_tail.map(storable))
    .fetch_optional(&mut *conn)
    .await?;
    let (worker,) = row.ok_or(ControlError::StaleFence { task_id, fence })?;
    let change = audit::Change {
        org_id: Some(org_id),
        actor: actor.unwrap_or(&worker),
        action: ending.outcome,
        subject: "task",
        subject_id: task_id.0,
        from_state: Some("running"),
        to_state: Some(to_state.as_str()),
        // Who takes a task back says why in words; failures are known by their code.
        reason: ending.error.map(|(code, message)| if ending.outcome == "cancelled" { message } else { code }),
    };
    audit::record(conn, &change).await
}
