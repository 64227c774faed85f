//! `hot.gap_checks`: a person asks the follower to look at everything that is stored of its chain.

use chrono::{DateTime, Utc};
use isotherm_types::ChainId;
use sqlx::PgConnection;

use crate::error::HotStoreError;

/// A look that is asked for. Gone once the follower has taken it, which looks as soon as the chain has nothing new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asked last.
    pub asked_by: String,
    /// When.
    pub asked_at: DateTime<Utc>,
}

/// Asks for a look. Asked again before the follower has taken it, it is one look.
///
/// # Errors
/// What Postgres reports.
pub async fn ask(conn: &mut PgConnection, chain_id: ChainId, by: &str) -> Result<(), HotStoreError> {
    sqlx::query(
        "INSERT INTO hot.gap_checks (chain_id, asked_by) VALUES ($1, $2)
         ON CONFLICT (chain_id) DO UPDATE SET asked_by = EXCLUDED.asked_by, asked_at = now()",
    )
    .bind(chain_id.0.cast_signed())
    .bind(by)
    .execute(conn)
    .await
    .map_err(HotStoreError::database("ask for a look at the gaps"))?;
    Ok(())
}

/// The look that is asked for; `None` if there is none that the follower has not taken.
///
/// # Errors
/// What Postgres reports.
pub async fn asked(conn: &mut PgConnection, chain_id: ChainId) -> Result<Option<Request>, HotStoreError> {
    let row: Option<(String, DateTime<Utc>)> =
        sqlx::query_as("SELECT asked_by, asked_at FROM hot.gap_checks WHERE chain_id = $1")
            .bind(chain_id.0.cast_signed())
            .fetch_optional(conn)
            .await
            .map_err(HotStoreError::database("see whether a look is asked for"))?;
    Ok(row.map(|(asked_by, asked_at)| Request { asked_by, asked_at }))
}

/// Takes the request away; returns whether there was one.
///
/// # Errors
/// What Postgres reports.
pub async fn take_request(conn: &mut PgConnection, chain_id: ChainId) -> Result<bool, HotStoreError> {
    let deleted = sqlx::query("DELETE FROM hot.gap_checks WHERE chain_id = $1")
        .bind(chain_id.0.cast_signed())
        .execute(conn)
        .await
        .map_err(HotStoreError::database("take the request for a look"))?;
    Ok(deleted.rows_affected() == 1)
}
