//! Takes back tasks whose worker has gone silent, and forgets such workers.
//!
//! Pages through running tasks whose lease is over, by key, and changes each in a transaction of its own under a
//! guarded `UPDATE` (state, fence, and the lease over *now*): a task that was finished, claimed again or kept alive
//! meanwhile is left alone, and a row that cannot be changed does not keep the rows after it waiting: neither in this run nor,
//! should its time be over first, in the next, which takes the rows of `control.reaper_faults` last. It must never look at what a
//! task is about: a task of an operator that nobody knows any more is put back like any other.

use std::collections::BTreeMap;

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
    /// The ECS task that ran it, to be stopped.
    pub ecs_task_arn: Option<String>,
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
    ecs_task_arn: Option<String>,
    /// Where it stands in its order.
    place: chrono::DateTime<chrono::Utc>,
}

/// Takes back every task whose lease was over when the run began.
///
/// Must not be called inside a transaction of the caller's, so that each task's change stands by itself.
///
/// # Errors
/// If a page cannot be read, or the workers. A task that cannot be changed is reported in [`Reaped::faults`].
pub async fn reap(conn: &mut PgConnection, page_rows: u32) -> Result<Reaped, ControlError> {
    let mut reaped = Reaped::default();
    let (began_at,): (chrono::DateTime<chrono::Utc>,) = sqlx::query_as("SELECT now()").fetch_one(&mut *conn).await?;
    forget_settled_faults(conn).await?;
    for failed_before in [false, true] {
        let mut after: Option<Expired> = None;
        loop {
            let page = read_page(conn, began_at, failed_before, after.as_ref(), page_rows).await?;
            let Some(last) = page.last().cloned() else { break };
            let known_faults = reaped.faults.len();
            let fences: BTreeMap<TaskId, i64> = page.iter().map(|row| (TaskId(row.id), row.fence)).collect();
            for expired in page {
                take_back(conn, expired, &mut reaped).await;
            }
            note_faults(conn, reaped.faults[known_faults..].iter().map(|(task_id, _)| (task_id.0, fences[task_id])))
                .await?;
            after = Some(last);
        }
    }
    reaped.silent_workers = forget_silent_workers(conn).await?;
    Ok(reaped)
}

/// Removes the rows of workers whose lease is over: they counted for nothing any more.
async fn forget_silent_workers(conn: &mut PgConnection) -> Result<u64, ControlError> {
    let removed = sqlx::query("DELETE FROM control.worker_leases WHERE lease_expires_at < now()").execute(conn).await?;
    Ok(removed.rows_affected())
}

/// Forgets the faults of tasks that have moved on.
async fn forget_settled_faults(conn: &mut PgConnection) -> Result<(), ControlError> {
    sqlx::query(
        "DELETE FROM control.reaper_faults WHERE task_id IN (
             SELECT f.task_id FROM control.reaper_faults f
              WHERE NOT EXISTS (SELECT 1 FROM control.tasks t
                                 WHERE t.id = f.task_id AND t.fence = f.fence AND t.state = 'running')
                FOR UPDATE SKIP LOCKED)",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes tasks that could not be changed, each with its fence. Called for each page: the run may be ended before the next.
async fn note_faults(conn: &mut PgConnection, faults: impl Iterator<Item = (i64, i64)>) -> Result<(), ControlError> {
    let (task_ids, fences): (Vec<i64>, Vec<i64>) = faults.unzip();
    if task_ids.is_empty() {
        return Ok(());
    }
    // In one order, so that two reapers never wait for each other.
    sqlx::query(
        "INSERT INTO control.reaper_faults (task_id, fence)
         SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS f (task_id, fence) ORDER BY task_id
             ON CONFLICT (task_id) DO UPDATE SET fence = excluded.fence, failed_at = now()",
    )
    .bind(task_ids)
    .bind(fences)
    .execute(conn)
    .await?;
    Ok(())
}

/// The next silent tasks: those that a run before this one has failed to take back, the longest ago first, or the others, the
/// longest silent first.
async fn read_page(
    conn: &mut PgConnection,
    began_at: chrono::DateTime<chrono::Utc>,
    failed_before: bool,
    after: Option<&Expired>,
    page_rows: u32,
) -> Result<Vec<Expired>, ControlError> {
    let statement = if failed_before {
        "SELECT t.id, t.fence, t.ecs_task_arn, f.failed_at AS place
           FROM control.reaper_faults f JOIN control.tasks t ON t.id = f.task_id AND t.fence = f.fence
          WHERE t.state = 'running' AND t.lease_expires_at < $1 AND f.failed_at < $1
            AND (f.failed_at, t.id) > (coalesce($2, '-infinity'::timestamptz), $3)
          ORDER BY f.failed_at, t.id LIMIT $4"
    } else {
        "SELECT t.id, t.fence, t.ecs_task_arn, t.lease_expires_at AS place
           FROM control.tasks t
          WHERE t.state = 'running' AND t.lease_expires_at < $1
            AND (t.lease_expires_at, t.id) > (coalesce($2, '-infinity'::timestamptz), $3)
            AND NOT EXISTS (SELECT 1 FROM control.reaper_faults f WHERE f.task_id = t.id AND f.fence = t.fence)
          ORDER BY t.lease_expires_at, t.id LIMIT $4"
    };
    let page = sqlx::query_as(statement)
        .bind(began_at)
        .bind(after.map(|row| row.place))
        .bind(after.map_or(0, |row| row.id))
        .bind(i64::from(page_rows.max(1)))
        .fetch_all(conn)
        .await?;
    Ok(page)
}

async fn take_back(conn: &mut PgConnection, expired: Expired, reaped: &mut Reaped) {
    let (task_id, fence) = (TaskId(expired.id), Fence(expired.fence));
    match tasks::lose(conn, task_id, fence, ACTOR).await {
        Ok(after) => reaped.lost.push(LostTask { task_id, fence, ecs_task_arn: expired.ecs_task_arn, after }),
        Err(ControlError::StaleFence { .. }) => reaped.overtaken += 1,
        Err(error) => reaped.faults.push((task_id, error)),
    }
}
