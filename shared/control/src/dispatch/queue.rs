//! Reads what waits, and writes down what is about to be sent.

use std::collections::BTreeMap;

use isotherm_types::{Fence, JobId, TaskId};
use sqlx::{Connection, PgConnection};

use super::plan::{Outgoing, TaskLaunch, Waiting, Wake, plan};
use crate::codec::{count, from_word, seconds};
use crate::error::ControlError;

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    fence: i64,
    job_id: i64,
    operator: String,
    runtime: String,
    wakes_sent: i32,
    woken_seconds_ago: Option<f64>,
    launches_sent: i32,
    launched_seconds_ago: Option<f64>,
    free: i64,
}

/// What is to be sent now, written down as sent: the caller sends it after its transaction.
///
/// What another dispatcher has written down in the meantime is left out. A caller that cannot launch passes 0 for
/// `most_launches`.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn ready(conn: &mut PgConnection, most_launches: usize) -> Result<Outgoing, ControlError> {
    let mut db_tx = conn.begin().await?;
    let rows: Vec<Row> =
        sqlx::query_as(include_str!("../../queries/dispatch/waiting.sql")).fetch_all(&mut *db_tx).await?;
    let mut free = BTreeMap::new();
    let mut waiting = Vec::with_capacity(rows.len());
    for row in rows {
        let job_id = JobId(row.job_id);
        free.insert(job_id, u32::try_from(row.free.max(0)).unwrap_or(u32::MAX));
        waiting.push(Waiting {
            task_id: TaskId(row.id),
            fence: Fence(row.fence),
            job_id,
            runtime: from_word(job_id, "runtime", &row.runtime)?,
            operator: row.operator,
            wakes_sent: count(row.wakes_sent),
            woken_ago: row.woken_seconds_ago.map(seconds),
            launches_sent: count(row.launches_sent),
            launched_ago: row.launched_seconds_ago.map(seconds),
        });
    }
    let planned = plan(&waiting, &free, most_launches);
    let mut outgoing = Outgoing::default();
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
