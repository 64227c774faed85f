//! Reads what waits, and writes down what is about to be sent.

use std::collections::BTreeMap;

use isotherm_types::{Fence, JobId, OrgId, TaskId};
use sqlx::{Connection, PgConnection};

use super::launch_budget;
use super::plan::{Outgoing, Room, TaskLaunch, Waiting, Wake, plan};
use crate::codec::{count, from_word, seconds};
use crate::error::ControlError;

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    fence: i64,
    job_id: i64,
    org_id: i64,
    operator: String,
    runtime: String,
    wakes_sent: i32,
    woken_seconds_ago: Option<f64>,
    launches_sent: i32,
    launched_seconds_ago: Option<f64>,
    free: i64,
    org_free: Option<i64>,
}

/// Tasks looked at in one pass: many more than a pass can launch, and few enough to plan in milliseconds.
const MOST_WAITING: i64 = 2_000;

/// What is to be sent now, written down as sent: the caller sends it after its transaction.
///
/// What another dispatcher has written down in the meantime is left out. A caller that cannot launch passes 0 for
/// `most_launches`.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn ready(conn: &mut PgConnection, most_launches: usize) -> Result<Outgoing, ControlError> {
    let mut db_tx = conn.begin().await?;
    let rows: Vec<Row> = sqlx::query_as(include_str!("../../queries/dispatch/waiting.sql"))
        .bind(MOST_WAITING)
        .fetch_all(&mut *db_tx)
        .await?;
    let mut room = Room { idle_workers: idle_workers(&mut db_tx).await?, ..Room::default() };
    let places = |free: i64| u32::try_from(free.max(0)).unwrap_or(u32::MAX);
    let mut waiting = Vec::with_capacity(rows.len());
    for row in rows {
        let (job_id, org_id) = (JobId(row.job_id), OrgId(row.org_id));
        room.of_jobs.insert(job_id, places(row.free));
        room.of_orgs.extend(row.org_free.map(|free| (org_id, places(free))));
        waiting.push(Waiting {
            task_id: TaskId(row.id),
            fence: Fence(row.fence),
            job_id,
            org_id,
            runtime: from_word(job_id, "runtime", &row.runtime)?,
            operator: row.operator,
            wakes_sent: count(row.wakes_sent),
            woken_ago: row.woken_seconds_ago.map(seconds),
            launches_sent: count(row.launches_sent),
            launched_ago: row.launched_seconds_ago.map(seconds),
        });
    }
    // Planned without a limit first, so that the budget is asked for no more than there is use for.
    let unlimited = plan(&waiting, Room { launches: most_launches, ..room.clone() });
    room.launches = launch_budget::take(&mut db_tx, unlimited.launches.len()).await?;
    let planned = plan(&waiting, room);
    let mut outgoing = Outgoing { held: planned.held, ..Outgoing::default() };
    for wake in planned.wakes {
        if note_wake(&mut db_tx, &wake).await? {
            outgoing.wakes.push(wake);
        }
    }
    for launch in planned.launches {
        if note_launch(&mut db_tx, &launch).await? {
            outgoing.launches.push(launch);
        }
    }
    db_tx.commit().await?;
    Ok(outgoing)
}

/// Workers of each operator that wait for work, as far as they have said so lately.
async fn idle_workers(conn: &mut PgConnection) -> Result<BTreeMap<String, u32>, ControlError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT operator, count(*) FROM control.worker_leases
          WHERE task_id IS NULL AND lease_expires_at > now() GROUP BY operator",
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(operator, workers)| (operator, u32::try_from(workers).unwrap_or(u32::MAX))).collect())
}

async fn note_wake(conn: &mut PgConnection, wake: &Wake) -> Result<bool, ControlError> {
    let noted = sqlx::query(
        "UPDATE control.tasks SET wakes_sent = $3, woken_at = now()
          WHERE id = $1 AND fence = $2 AND state = 'queued' AND wakes_sent = $3 - 1",
    )
    .bind(wake.task_id.0)
    .bind(wake.fence.0)
    .bind(stored(wake.number))
    .execute(conn)
    .await?;
    Ok(noted.rows_affected() == 1)
}

async fn note_launch(conn: &mut PgConnection, launch: &TaskLaunch) -> Result<bool, ControlError> {
    let noted = sqlx::query(
        "UPDATE control.tasks SET launch_fence = fence, launches_sent = $3, launched_at = now()
          WHERE id = $1 AND fence = $2 AND state = 'queued'
            AND CASE WHEN launch_fence = fence THEN launches_sent ELSE 0 END = $3 - 1",
    )
    .bind(launch.task_id.0)
    .bind(launch.fence.0)
    .bind(stored(launch.number))
    .execute(conn)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Notes that a wake-up was not sent after all: the next pass sends one at once.
///
/// # Errors
/// Only what Postgres reports.
pub async fn forget_wake(conn: &mut PgConnection, wake: &Wake) -> Result<(), ControlError> {
    sqlx::query(
        "UPDATE control.tasks SET woken_at = NULL
          WHERE id = $1 AND fence = $2 AND state = 'queued' AND wakes_sent = $3",
    )
    .bind(wake.task_id.0)
    .bind(wake.fence.0)
    .bind(stored(wake.number))
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that nobody knows whether a launch was made: the next pass asks for it again under the same token, which ECS answers
/// with the task that it started, if it did.
///
/// # Errors
/// Only what Postgres reports.
pub async fn repeat_launch(conn: &mut PgConnection, launch: &TaskLaunch) -> Result<(), ControlError> {
    sqlx::query(
        "UPDATE control.tasks SET launched_at = NULL, launches_sent = launches_sent - 1
          WHERE id = $1 AND fence = $2 AND state = 'queued' AND launch_fence = $2 AND launches_sent = $3",
    )
    .bind(launch.task_id.0)
    .bind(launch.fence.0)
    .bind(stored(launch.number))
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that a launch was not made after all: the next pass makes one at once, under a new token.
///
/// # Errors
/// Only what Postgres reports.
pub async fn forget_launch(conn: &mut PgConnection, launch: &TaskLaunch) -> Result<(), ControlError> {
    sqlx::query(
        "UPDATE control.tasks SET launched_at = NULL
          WHERE id = $1 AND fence = $2 AND state = 'queued' AND launch_fence = $2 AND launches_sent = $3",
    )
    .bind(launch.task_id.0)
    .bind(launch.fence.0)
    .bind(stored(launch.number))
    .execute(conn)
    .await?;
    Ok(())
}

fn stored(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
