//! Holding a job's tasks back, and letting them go again.

use isotherm_types::{JobId, OrgId};
use sqlx::{Connection, PgConnection};

use crate::audit;
use crate::error::ControlError;

/// What became of a [`set_paused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseChange {
    /// The job is as asked from now on.
    Changed(JobId),
    /// It was as asked before.
    Already(JobId),
    /// The organisation has no job of this name.
    Unknown,
}

/// Pauses the job or lets it go on. Doing it twice changes nothing the second time.
///
/// Tasks of a paused job that run go on to their end; queued ones are not claimed, and new ones are made and wait. That is so
/// for a source too. Applying a file changes nothing about it.
///
/// # Errors
/// Only what Postgres reports.
pub async fn set_paused(
    conn: &mut PgConnection,
    org_id: OrgId,
    job: &str,
    paused: bool,
    actor: &str,
    reason: Option<&str>,
) -> Result<PauseChange, ControlError> {
    let mut db_tx = conn.begin().await?;
    let row: Option<(i64, bool)> =
        sqlx::query_as("SELECT id, paused FROM control.jobs WHERE org_id = $1 AND name = $2 FOR NO KEY UPDATE")
            .bind(org_id.0)
            .bind(job)
            .fetch_optional(&mut *db_tx)
            .await?;
    let Some((id, was_paused)) = row else { return Ok(PauseChange::Unknown) };
    if was_paused == paused {
        return Ok(PauseChange::Already(JobId(id)));
    }
    sqlx::query("UPDATE control.jobs SET paused = $2 WHERE id = $1").bind(id).bind(paused).execute(&mut *db_tx).await?;
    let change = audit::Change {
        org_id: Some(org_id),
        actor,
        action: if paused { "paused" } else { "resumed" },
        subject: "job",
        subject_id: id,
        reason,
        ..audit::Change::default()
    };
    audit::record(&mut db_tx, &change).await?;
    db_tx.commit().await?;
    Ok(PauseChange::Changed(JobId(id)))
}
