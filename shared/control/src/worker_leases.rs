//! Workers that are there. Table `control.worker_leases`.
//!
//! A worker says by a row of its own that it is alive, by the database's clock. The dispatcher counts idle ones as capacity
//! that need not be launched. The rows are hints and never decide who holds a task: that is `control.tasks` alone.

use std::time::Duration;

use isotherm_types::{Fence, TaskId};
use sqlx::PgConnection;

use crate::codec::storable;
use crate::error::ControlError;

/// How long a worker counts as there after it has said so.
pub const LEASE: Duration = Duration::from_secs(60);
/// How often it says so at most. Longest poll for a wake-up (20 s) and this together are well below [`LEASE`].
pub const RENEW_AFTER: Duration = Duration::from_secs(15);

/// A worker as it says of itself.
#[derive(Clone, Copy, Debug)]
pub struct WorkerLease<'a> {
    /// Its name, unique among all that run.
    pub worker: &'a str,
    /// Whose tasks it takes.
    pub operator: &'a str,
    /// Where it runs, if on ECS.
    pub ecs_task_arn: Option<&'a str>,
    /// The task that it works on; `None`: it waits for work.
    pub working_on: Option<(TaskId, Fence)>,
}

/// Says that the worker is there: at its start, and whenever [`renew`] finds that its row is gone.
///
/// # Errors
/// Only what Postgres reports.
pub async fn announce(conn: &mut PgConnection, lease: &WorkerLease<'_>) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO control.worker_leases (worker, operator, ecs_task_arn, task_id, fence, lease_expires_at)
         VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
         ON CONFLICT (worker) DO UPDATE
            SET task_id = EXCLUDED.task_id, fence = EXCLUDED.fence, lease_expires_at = EXCLUDED.lease_expires_at",
    )
    .bind(storable(lease.worker))
    .bind(lease.operator)
    .bind(lease.ecs_task_arn)
    .bind(lease.working_on.map(|(task_id, _)| task_id.0))
    .bind(lease.working_on.map(|(_, fence)| fence.0))
    .bind(LEASE.as_secs_f64())
    .execute(conn)
    .await?;
    Ok(())
}

/// Says that the worker is still there, and what it works on. Returns `false` if its row is gone: it is to announce itself.
///
/// # Errors
/// Only what Postgres reports.
pub async fn renew(conn: &mut PgConnection, lease: &WorkerLease<'_>) -> Result<bool, ControlError> {
    let renewed = sqlx::query(
        "UPDATE control.worker_leases
            SET task_id = $2, fence = $3, lease_expires_at = now() + make_interval(secs => $4)
          WHERE worker = $1",
    )
    .bind(storable(lease.worker))
    .bind(lease.working_on.map(|(task_id, _)| task_id.0))
    .bind(lease.working_on.map(|(_, fence)| fence.0))
    .bind(LEASE.as_secs_f64())
    .execute(conn)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Takes the worker's row away, at its end.
///
/// # Errors
/// Only what Postgres reports.
pub async fn leave(conn: &mut PgConnection, worker: &str) -> Result<(), ControlError> {
    sqlx::query("DELETE FROM control.worker_leases WHERE worker = $1").bind(storable(worker)).execute(conn).await?;
    Ok(())
}

/// Workers of `operator` that wait for work.
///
/// A row is up to [`RENEW_AFTER`] and a poll old, so what runs is asked of `control.tasks`: a worker that holds a task is not
/// idle, whatever its row says. One that has just finished may still count as busy.
///
/// # Errors
/// Only what Postgres reports.
pub async fn idle_count(conn: &mut PgConnection, operator: &str) -> Result<u32, ControlError> {
    let (idle,): (i64,) = sqlx::query_as(
        "SELECT count(*)
           FROM control.worker_leases w
          WHERE w.operator = $1 AND w.lease_expires_at > now() AND w.task_id IS NULL
            AND NOT EXISTS (SELECT FROM control.tasks t WHERE t.state = 'running' AND t.worker = w.worker)",
    )
    .bind(operator)
    .fetch_one(conn)
    .await?;
    Ok(u32::try_from(idle).unwrap_or(u32::MAX))
}

/// Takes away the row of the worker that was silent for the whole lease of this attempt: it is no capacity.
///
/// A row that is locked is being renewed this moment, so its worker is there; waiting for it here could be a deadlock.
pub(crate) async fn forget_silent(conn: &mut PgConnection, task_id: TaskId, fence: Fence) -> Result<(), ControlError> {
    sqlx::query(
        "DELETE FROM control.worker_leases WHERE worker IN (
             SELECT w.worker
               FROM control.worker_leases w JOIN control.task_attempts a ON a.worker = w.worker
              WHERE a.task_id = $1 AND a.fence = $2
                FOR UPDATE OF w SKIP LOCKED)",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .execute(conn)
    .await?;
    Ok(())
}
