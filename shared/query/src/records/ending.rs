//! How queries end.

use isotherm_types::OrgId;
use sqlx::PgConnection;

use super::{QueryKey, QueryState, RecordError, stored_count};
use crate::answer::AnswerSummary;
use crate::results::StoredResult;

/// Code of an interactive query whose runner did not come back.
pub const LOST: &str = "query.lost";

/// How a query has ended.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// With an answer.
    Completed {
        /// What the engine says of it.
        summary: &'a AnswerSummary,
        /// Its file, if it is one.
        result: Option<&'a StoredResult>,
    },
    /// Without one.
    Failed {
        /// Stable name of the error.
        code: &'a str,
    },
    /// By somebody's wish.
    Cancelled,
}

impl End<'_> {
    /// The state after it.
    pub fn state(&self) -> QueryState {
        match self {
            Self::Completed { .. } => QueryState::Completed,
            Self::Failed { .. } => QueryState::Failed,
            Self::Cancelled => QueryState::Cancelled,
        }
    }
}

/// Writes down how a query has ended. Returns `false` if it was over already, which then stays as it is.
///
/// A batch query is ended in a transaction that holds its task's fence.
///
/// # Errors
/// [`RecordError::Database`].
pub async fn finish(conn: &mut PgConnection, key: QueryKey, end: End<'_>) -> Result<bool, RecordError> {
    let (summary, result, code) = match end {
        End::Completed { summary, result } => (Some(summary), result, None),
        End::Failed { code } => (None, None, Some(code)),
        End::Cancelled => (None, None, None),
    };
    let duration_ms = summary.map(|summary| i64::try_from(summary.duration.as_millis()).unwrap_or(i64::MAX));
    let updated = sqlx::query(
        "UPDATE query.queries
            SET state = $3, finished_at = now(), lease_expires_at = NULL,
                row_count = $4, bytes = $5, duration_ms = $6, cold_files = $7, cold_bytes = $8, error_code = $9,
                result_key = $10, result_bytes = $11, result_sha256 = $12
          WHERE org_id = $1 AND id = $2 AND state IN ('queued', 'running')",
    )
    .bind(key.org.0)
    .bind(key.id)
    .bind(end.state().as_str())
    .bind(summary.map(|summary| stored_count(summary.row_count)))
    .bind(summary.map(|summary| stored_count(summary.bytes)))
    .bind(duration_ms)
    .bind(summary.map(|summary| stored_count(summary.cold_files as u64)))
    .bind(summary.map(|summary| stored_count(summary.cold_bytes)))
    .bind(code)
    .bind(result.map(|result| result.key.as_str()))
    .bind(result.map(|result| stored_count(result.digest.size_bytes)))
    .bind(result.map(|result| result.digest.sha256.as_bytes().as_slice()))
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Gives up the organisation's interactive queries whose lease is over: the function that ran them is gone.
///
/// # Errors
/// [`RecordError::Database`].
pub async fn abandon_overdue(conn: &mut PgConnection, org: OrgId) -> Result<u64, RecordError> {
    let updated = sqlx::query(
        "UPDATE query.queries
            SET state = 'failed', error_code = $2, finished_at = now(), lease_expires_at = NULL
          WHERE org_id = $1 AND mode = 'interactive' AND finished_at IS NULL AND lease_expires_at < now()",
    )
    .bind(org.0)
    .bind(LOST)
    .execute(conn)
    .await?;
    Ok(updated.rows_affected())
}
