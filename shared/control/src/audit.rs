//! The trail of every change: who, what, when, why. Table `control.audit_log`, append-only.
//!
//! A row is written in the transaction of the change that it tells of, never apart from it.

use chrono::{DateTime, Utc};
use isotherm_types::OrgId;
use sqlx::PgConnection;

use crate::codec::storable;
use crate::error::ControlError;

/// One change to be written down.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    /// Whose subject it is.
    pub org_id: Option<OrgId>,
    /// Who did it: a worker's name, `dispatcher`, `reaper`, `apply`, or a person.
    pub actor: &'a str,
    /// What was done, such as `claimed`.
    pub action: &'a str,
    /// Kind of thing: `task`, `job` or `trigger`.
    pub subject: &'a str,
    /// Its row.
    pub subject_id: i64,
    /// State before, where the subject has states.
    pub from_state: Option<&'a str>,
    /// State after.
    pub to_state: Option<&'a str>,
    /// Why, in words or as an error code.
    pub reason: Option<&'a str>,
}

/// Writes `change` down.
///
/// # Errors
/// Only what Postgres reports.
pub async fn record(conn: &mut PgConnection, change: &Change<'_>) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO control.audit_log (org_id, actor, action, subject, subject_id, from_state, to_state, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(change.org_id.map(|org| org.0))
    .bind(storable(change.actor))
    .bind(change.action)
    .bind(change.subject)
    .bind(change.subject_id)
    .bind(change.from_state)
    .bind(change.to_state)
    .bind(change.reason.map(storable))
    .execute(conn)
    .await?;
    Ok(())
}

/// A change as it was written down.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// State before.
    pub from_state: Option<String>,
    /// State after.
    pub to_state: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// The trail of one subject, oldest first.
///
/// # Errors
/// Only what Postgres reports.
pub async fn trail(conn: &mut PgConnection, subject: &str, subject_id: i64) -> Result<Vec<Entry>, ControlError> {
    let entries = sqlx::query_as(
        "SELECT at, actor, action, from_state, to_state, reason
           FROM control.audit_log WHERE subject = $1 AND subject_id = $2 ORDER BY id",
    )
    .bind(subject)
    .bind(subject_id)
    .fetch_all(conn)
    .await?;
    Ok(entries)
}
