//! Which cause the present transaction follows from.
//!
//! Rows that are written in a transaction (events, tasks, arrivals of blocks, messages) carry its trace by a default of their column,
//! `control.trace_id()`: the one that was set here, else a new one for the whole transaction. So a cause begins where nothing was
//! set, and whoever acts upon a row sets that row's trace before it writes. It is telemetry: nothing may be decided by it.

use isotherm_types::{ChainId, Dataset, TaskId, TraceId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::ControlError;

/// Has what is written until the transaction ends follow from `trace_id`; from a cause of its own if there is none. Outside a
/// transaction it has no effect.
///
/// # Errors
/// Only what Postgres reports.
pub async fn follow(conn: &mut PgConnection, trace_id: Option<TraceId>) -> Result<(), ControlError> {
    let text = trace_id.map(|trace_id| trace_id.to_string()).unwrap_or_default();
    sqlx::query("SELECT set_config('isotherm.trace_id', $1, true)").bind(text).execute(conn).await?;
    Ok(())
}

/// The trace of the present transaction; from now on it has one.
///
/// # Errors
/// Only what Postgres reports.
pub async fn present(conn: &mut PgConnection) -> Result<Option<TraceId>, ControlError> {
    let text: String = sqlx::query_scalar("SELECT control.trace_id()").fetch_one(conn).await?;
    Ok(of_row(Some(&text)))
}

/// A trace that nothing has yet: for what follows from a row of before there were traces, where one transaction writes what follows from
/// many rows.
pub(crate) fn new() -> Option<TraceId> {
    Uuid::new_v4().simple().to_string().parse().ok()
}

/// As [`follow`], with the trace of a task.
///
/// # Errors
/// Only what Postgres reports.
pub(crate) async fn follow_task(conn: &mut PgConnection, task_id: TaskId) -> Result<(), ControlError> {
    sqlx::query(
        "SELECT set_config('isotherm.trace_id', coalesce(trace_id, ''), true) FROM control.tasks WHERE id = $1",
    )
    .bind(task_id.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// As [`follow`], with the trace of what was written last of a chain's blocks.
///
/// # Errors
/// Only what Postgres reports.
pub(crate) async fn follow_newest_block(conn: &mut PgConnection, chain_id: ChainId) -> Result<(), ControlError> {
    sqlx::query(
        "SELECT set_config('isotherm.trace_id', coalesce(trace_id, ''), true)
           FROM control.dataset_cursors WHERE chain_id = $1 AND dataset = $2",
    )
    .bind(chain_id.0.cast_signed())
    .bind(Dataset::Blocks.as_str())
    .execute(conn)
    .await?;
    Ok(())
}

/// The trace that a row has; a text that is none counts as none.
pub(crate) fn of_row(text: Option<&str>) -> Option<TraceId> {
    text.and_then(|text| text.parse().ok())
}
