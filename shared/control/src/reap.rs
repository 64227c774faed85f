//! Takes back tasks whose worker has gone silent, and forgets such workers.
//!
//! Pages through running tasks whose lease is over, by key, and changes each in a transaction of its own under a
//! guarded `UPDATE` (state, fence, and the lease over *now*): a task that was finished, claimed again or kept alive
//! meanwhile is left alone, and a row that cannot be changed does not keep the rows after it waiting, in this run or in the next.
//! It must never look at what a task is about: a task of an operator that nobody knows any more is put back like any other.

use isotherm_types::{Fence, TaskId};
use sqlx::PgConnection;

use crate::error::ControlError;
use crate::tasks::{self, AfterFailure};

/// Rows read at a time.
pub const PAGE_ROWS: u32 = 100;

/// Who the audit trail names.
const ACTOR: &str = "reaper";

/// A task that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostTask {
    /// The task.
    pub task_id: TaskId,
    /// The claim that was lost.
    pub fence: Fence,
    /// Whether it is tried again.
    pub after: AfterFailure,
}

/// What one run did.
#[derive(Debug, Default)]
pub struct Reaped {
    /// Tasks taken back.
    pub lost: Vec<LostTask>,
    /// Tasks that moved on between reading and writing; nothing was done to them.
    pub overtaken: u64,
    /// Tasks that could not be changed, and why. The others were.
    pub faults: Vec<(TaskId, ControlError)>,
    /// Workers that have not been heard of for longer than their lease; their rows were removed.
    pub silent_workers: u64,
}

#[derive(Clone, sqlx::FromRow)]
struct Expired {
    id: i64,
    fence: i64,
    lease_expires_at: chrono::DateTime<chrono::Utc>,
}

/// Takes back every task whose lease was over when the run began: first those that no earlier run has failed at, then the others,
/// those that were tried longest ago first. So a run that is ended at its time-out leaves the next one further on.
///
/// Must not be called inside a transaction of the caller's, so that each task's change stands by itself.
///
/// # Errors
/// If a page cannot be read, a fault not be noted, or the workers not be read. A task that cannot be changed is reported in
/// [`Reaped::faults`].
pub async fn reap(conn: &mut PgConnection, page_rows: u32) -> Result<Reaped, ControlError> {
    let mut reaped = Reaped::default();
    let (began_at,): (chrono::DateTime<chrono::Utc>,) = sqlx::query_as("SELECT now()").fetch_one(&mut *conn).await?;
    let mut after: Option<Expired> = None;
    loop {
        let page = read_page(conn, began_at, after.as_ref(), page_rows).await?;
        let Some(last) = page.last().cloned() else { break };
        for expired in page {
            take_back(conn, expired, &mut reaped).await?;
        }
        after = Some(last);
    }
    loop {
        let page = read_failed_page(conn, began_at, page_rows).await?;
        if page.is_empty() {
            break;
        }
        for expired in page {
            take_back(conn, expired, &mut reaped).await?;
        }
    }
    forget_faults(conn).await?;
    reaped.silent_workers = forget_silent_workers(conn).await?;
    Ok(reaped)
}

/// Removes the rows of workers whose lease is over: they counted for nothing any more.
async fn forget_silent_workers(conn: &mut PgConnection) -> Result<u64, ControlError> {
    let removed = sqlx::query("DELETE FROM control.worker_leases WHERE lease_expires_at < now()").execute(conn).await?;
    Ok(removed.rows_affected())
}

async fn read_page(
    conn: &mut PgConnection,
    began_at: chrono::DateTime<chrono::Utc>,
    after: Option<&Expired>,
    page_rows: u32,
) -> Result<Vec<Expired>, ControlError> {
    let page = sqlx::query_as(
        "SELECT id, fence, lease_expires_at
           FROM control.tasks
          WHERE state = 'running' AND lease_expires_at < $1
            AND (lease_expires_at, id) > (coalesce($2, '-infinity'::timestamptz), $3)
            AND NOT EXISTS (SELECT 1 FROM control.reap_faults f WHERE f.task_id = tasks.id AND f.fence = tasks.fence)
          ORDER BY lease_expires_at, id LIMIT $4",
    )
    .bind(began_at)
    .bind(after.map(|row| row.lease_expires_at))
    .bind(after.map_or(0, |row| row.id))
    .bind(i64::from(page_rows.max(1)))
    .fetch_all(conn)
    .await?;
    Ok(page)
}

/// Tasks that earlier runs have failed at. Each is tried once: what is tried is noted, and not read again in this run.
async fn read_failed_page(
    conn: &mut PgConnection,
    began_at: chrono::DateTime<chrono::Utc>,
    page_rows: u32,
) -> Result<Vec<Expired>, ControlError> {
    let page = sqlx::query_as(
        "SELECT t.id, t.fence, t.lease_expires_at
           FROM control.reap_faults f JOIN control.tasks t ON t.id = f.task_id AND t.fence = f.fence
          WHERE f.tried_at < $1 AND t.state = 'running' AND t.lease_expires_at < $1
          ORDER BY f.tried_at, f.task_id LIMIT $2",
    )
    .bind(began_at)
    .bind(i64::from(page_rows.max(1)))
    .fetch_all(conn)
    .await?;
    Ok(page)
}

async fn take_back(conn: &mut PgConnection, expired: Expired, reaped: &mut Reaped) -> Result<(), ControlError> {
    let (task_id, fence) = (TaskId(expired.id), Fence(expired.fence));
    match tasks::lose(conn, task_id, fence, ACTOR).await {
        Ok(after) => reaped.lost.push(LostTask { task_id, fence, after }),
        Err(ControlError::StaleFence { .. }) => {
            reaped.overtaken += 1;
            // It moved on, and is out of the way of this run too.
            note_try(conn, task_id, fence, 0).await?;
        }
        Err(error) => {
            note_try(conn, task_id, fence, 1).await?;
            reaped.faults.push((task_id, error));
        }
    }
    Ok(())
}

/// Notes a try that changed nothing; `fault` is 1 if that was a fault. One without a fault is only noted where there is a row.
async fn note_try(conn: &mut PgConnection, task_id: TaskId, fence: Fence, fault: i32) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO control.reap_faults AS f (task_id, fence)
         SELECT $1, $2 WHERE $3 > 0 OR EXISTS (SELECT 1 FROM control.reap_faults WHERE task_id = $1)
         ON CONFLICT (task_id) DO UPDATE
            SET fence = EXCLUDED.fence, faults = f.faults + $3, tried_at = clock_timestamp()",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .bind(fault)
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes the notes of tasks that are not lost any more.
async fn forget_faults(conn: &mut PgConnection) -> Result<(), ControlError> {
    sqlx::query(
        "DELETE FROM control.reap_faults f
          WHERE NOT EXISTS (SELECT 1 FROM control.tasks t
                             WHERE t.id = f.task_id AND t.fence = f.fence AND t.state = 'running')",
    )
    .execute(conn)
    .await?;
    Ok(())
}
