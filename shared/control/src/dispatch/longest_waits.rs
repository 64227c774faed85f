//! How long tasks have waited, for whoever watches. Read only.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::PgConnection;

use crate::codec;
use crate::error::ControlError;

/// Of each operator that has due tasks of jobs at work: for how long the one that waits longest has been due.
///
/// # Errors
/// Only what Postgres reports.
pub async fn longest_waits(conn: &mut PgConnection) -> Result<BTreeMap<String, Duration>, ControlError> {
    let rows: Vec<(String, f64)> = sqlx::query_as(
        "SELECT j.operator, extract(epoch FROM now() - min(t.not_before))::double precision
           FROM control.tasks t JOIN control.jobs j ON j.id = t.job_id
          WHERE t.state = 'queued' AND t.not_before <= now() AND j.active AND NOT j.paused
          GROUP BY j.operator",
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(operator, wait)| (operator, codec::seconds(wait))).collect())
}
