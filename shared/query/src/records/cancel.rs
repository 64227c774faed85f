//! Ending queries by somebody's wish.
//!
//! Whoever runs the query looks for the wish ([`cancel_asked`]) while it runs. A batch query that waits is ended at once,
//! with its task.

use isotherm_control::tasks;
use isotherm_types::TaskId;
use sqlx::{Connection as _, PgConnection};

use super::{End, QueryKey, QueryState, RecordError, UnknownWord, finish};

/// What came of the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelAsked {
    /// It is noted; the query ends within a second or so.
    Asked,
    /// The query waited for its task, and is cancelled.
    Cancelled,
    /// The query was over already.
    AlreadyOver(QueryState),
    /// There is no such query.
    Unknown,
}

/// Notes that `actor` wants the query to end. The first wish is the one that is kept.
///
/// # Errors
/// [`RecordError`].
pub async fn ask_cancel(conn: &mut PgConnection, key: QueryKey, actor: &str) -> Result<CancelAsked, RecordError> {
    let mut db_tx = conn.begin().await?;
    let Some((state, task_id)) = state(&mut db_tx, key).await? else { return Ok(CancelAsked::Unknown) };
    if !state.is_live() {
        return Ok(CancelAsked::AlreadyOver(state));
    }
    let waits_for = task_id.filter(|_| state == QueryState::Queued);
    if let Some(task_id) = waits_for {
        // The task first, as whoever runs it locks them too. A worker that has claimed it meanwhile loses it.
        tasks::cancel(&mut db_tx, task_id, actor, "the query was cancelled").await?;
    }
    let noted = sqlx::query(
        "UPDATE query.queries
            SET cancel_asked_at = coalesce(cancel_asked_at, now()), cancel_asked_by = coalesce(cancel_asked_by, $3)
          WHERE org_id = $1 AND id = $2 AND state IN ('queued', 'running')",
    )
    .bind(key.org.0)
    .bind(key.id)
    .bind(actor)
    .execute(&mut *db_tx)
    .await?;
    let is_cancelled = waits_for.is_some() && finish(&mut db_tx, key, End::Cancelled).await?;
    let outcome = match noted.rows_affected() {
        1 if is_cancelled => CancelAsked::Cancelled,
        1 => CancelAsked::Asked,
        _ => {
            let now = self::state(&mut db_tx, key).await?;
            now.map_or(CancelAsked::Unknown, |(state, _)| CancelAsked::AlreadyOver(state))
        }
    };
    db_tx.commit().await?;
    Ok(outcome)
}

/// How far the query has come, and its task if it is a batch query.
async fn state(conn: &mut PgConnection, key: QueryKey) -> Result<Option<(QueryState, Option<TaskId>)>, RecordError> {
    let row: Option<(String, Option<i64>)> =
        sqlx::query_as("SELECT state, task_id FROM query.queries WHERE org_id = $1 AND id = $2")
            .bind(key.org.0)
            .bind(key.id)
            .fetch_optional(conn)
            .await?;
    let Some((state, task_id)) = row else { return Ok(None) };
    let unreadable = |source: UnknownWord| RecordError::Unreadable { id: key.id, source: Box::new(source) };
    let state: QueryState = state.parse().map_err(unreadable)?;
    Ok(Some((state, task_id.map(TaskId))))
}

/// Whether somebody wants the query to end. One look by key, for whoever runs it.
///
/// # Errors
/// [`RecordError::Database`].
pub async fn cancel_asked(conn: &mut PgConnection, key: QueryKey) -> Result<bool, RecordError> {
    let asked: Option<bool> =
        sqlx::query_scalar("SELECT cancel_asked_at IS NOT NULL FROM query.queries WHERE org_id = $1 AND id = $2")
            .bind(key.org.0)
            .bind(key.id)
            .fetch_optional(conn)
            .await?;
    Ok(asked == Some(true))
}
